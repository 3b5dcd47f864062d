"""Running Salt's programs: their command line becomes one of `sylvite`, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from sylvite.compat.cloud_lines import translate_cloud
from sylvite.compat.command_lines import DAEMONS, PROGRAMS, UsageError, translate
from sylvite.compat.version import SALT_VERSION
from sylvite.version import __version__

USAGE = 64
"""The exit code of Salt's programs where the command line is wrong."""
INTERRUPTED = 130
Main = Callable[[Sequence[str]], int]
"""The program `sylvite`: words in, exit code out."""

_SYNOPSIS = {
    "salt": "'<target>' <function> [arguments]",
    "salt-key": "",
    "salt-cloud": "",
    "salt-master": "",
    "salt-minion": "",
    "salt-api": "",
}


def run_program(name: str, typed: Sequence[str], main: Main) -> int:
    """Run a program of Salt's with what was typed behind its name; return its exit code."""
    if "--version" in typed or "-V" in typed:
        sys.stdout.write(f"{name} {SALT_VERSION} (Sylvite {__version__})\n")
        return 0
    try:
        if name == "salt-key":
            from sylvite.compat.key_program import run_key_program  # It loads what other programs have no use for.

            return run_key_program(typed)
        return _run(name, typed, main)
    except UsageError as error:
        synopsis = _SYNOPSIS.get(name, "<function> [arguments]")
        sys.stderr.write(f"Usage: {name} [options] {synopsis}".rstrip() + f"\n\n{name}: error: {error}\n")
        return USAGE


def _run(name: str, typed: Sequence[str], main: Main) -> int:
    if "--help" in typed or "-h" in typed:
        return main([*(("cloud",) if name == "salt-cloud" else PROGRAMS[name].command), "--help"])
    if name in DAEMONS:
        from sylvite.compat.daemon_programs import run_daemon

        return run_daemon(name, typed, main)
    found = translate_cloud(typed) if name == "salt-cloud" else translate(name, typed)
    for note in found.notes:
        sys.stderr.write(f"{note}\n")
    code = main(found.words)
    if code == INTERRUPTED:
        sys.stderr.write("\nExiting gracefully on Ctrl-c\n")
    return found.ends_with.get(code, code)
