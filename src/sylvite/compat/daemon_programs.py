"""`salt-master`, `salt-minion` and `salt-api`: the daemons of `sylvite`, in the foreground or with `-d` behind it.

What is done for them here is what Salt's programs do themselves, and whoever starts those of ours does: go into the background, write
a file with the number of the process, become another user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import select
import signal
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sylvite.compat.command_lines import PROGRAMS, UsageError, configuration, read_options, translate
from sylvite.daemons.logs import LEVELS, STDERR_IS_FILE
from sylvite.errors import InvalidSetting

if TYPE_CHECKING:
    from sylvite.compat.programs import Main

READY_S = 60.0
"""So long `-d` waits for the daemon to be ready; a large log may take longer to be read."""
SAID_BYTES_MAX = 8192
LOGS = "/var/log/sylvite"
FAILED, TRY_AGAIN, CONFIGURATION = 1, 75, 78
_MORE = {
    # As Salt's: whoever runs the HTTP interface starts salt-api.
    "salt-master": ("--no-api",),
    # As Salt's: without master_finger, the first master that answers is the one.
    "salt-minion": ("--trust-first-master",),
    "salt-api": (),
}


class Wanted(NamedTuple):
    """What the command line and the configuration say of how to run."""

    is_detached: bool
    user: str | None
    pid_file: Path | None
    log_file: Path


def run_daemon(name: str, typed: Sequence[str], main: Main) -> int:
    """Run one of the daemons with what was typed behind its name; return the exit code.

    Raises:
        UsageError: the command line cannot be used.
    """
    found = translate(name, typed)
    given = {
        option.names: value for _, option, value in read_options(PROGRAMS[name].options, typed) if option is not None
    }
    *words, last = found.words
    if last != "--":
        raise UsageError(f"unexpected argument {last!r}")
    level = given.get("-l --log-level", "info")
    if level not in LEVELS:
        raise UsageError(f"{level!r} is no level of logs: {', '.join(LEVELS)}")
    words += _MORE[name]
    try:
        wanted = _read(name, given)
        if wanted.user is not None:
            become(wanted.user)
        return _detach(name, words, wanted, main) if wanted.is_detached else _run(words, wanted.pid_file, main)
    except InvalidSetting as error:
        sys.stderr.write(f"[CRITICAL] {error}\n")
        return CONFIGURATION


def _read(name: str, given: Mapping[str, str]) -> Wanted:
    """Raises InvalidSetting: the configuration is wrong; UsageError: there is none where the command line says."""
    from sylvite.daemons.options.computing import below_root
    from sylvite.daemons.options.opts import make_opts
    from sylvite.daemons.options.reading import load_node

    node = PROGRAMS[name].node
    file = configuration(node, given.get("-c --config-dir"))
    opts = make_opts(load_node(node, None if file is None else Path(file)).raise_first())
    if name == "salt-api" and not opts["rest_cherrypy"].get("port"):
        raise InvalidSetting(
            "rest_cherrypy", "", "has no port: salt-api serves what this part of the master's file says"
        )
    root = Path(opts["root_dir"])
    pid_file = given.get("--pid-file") or opts.get("pidfile")
    log_file = given.get("--log-file") or opts["log_file"] or below_root(root, Path(LOGS) / name.removeprefix("salt-"))
    return Wanted(
        "-d --daemon" in given,
        given.get("-u --user"),
        None
        if not pid_file
        else Path(pid_file).absolute()
        if "--pid-file" in given
        else below_root(root, Path(pid_file)),
        Path(log_file).absolute(),
    )


def become(name: str) -> None:
    """Become another user, for good.  Raises UsageError: there is none of this name, or we may not."""
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        raise UsageError(f"there is no user {name!r}") from error
    if os.geteuid() == user.pw_uid:
        return
    try:
        os.initgroups(name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    except PermissionError as error:
        raise UsageError(f"only root can run it as {name!r}") from error
    os.environ.update(HOME=user.pw_dir, USER=name, LOGNAME=name)


def _run(words: Sequence[str], pid_file: Path | None, main: Main) -> int:
    with _named(pid_file):
        return main(words)


@contextlib.contextmanager
def _named(pid_file: Path | None) -> Generator[None]:
    """Have the number of this process in a file.  Raises InvalidSetting: it cannot be written, or is another one's."""
    if pid_file is None:
        yield
        return
    try:
        pid_file.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(pid_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InvalidSetting("pidfile", str(pid_file), f"cannot be written: {error.strerror}") from error
    with os.fdopen(file, "r+", encoding="ascii") as held:
        try:
            # The lock, and not the number, says that it runs: after a crash the number may be somebody else's.
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            reason = f"is that of process {held.read().strip()}, which runs: stop it first"
            raise InvalidSetting("pidfile", str(pid_file), reason) from error
        held.truncate(0)
        held.write(f"{os.getpid()}\n")
        held.flush()
        try:
            yield
        finally:
            pid_file.unlink(missing_ok=True)


# -- In the background -------------------------------------------------------------------------------------------------


def _detach(name: str, words: Sequence[str], wanted: Wanted, main: Main) -> int:
    """Start it in a session of its own, which logs to its file; return once it is ready, or has ended."""
    log = _open_log(wanted.log_file)
    began = log.seek(0, os.SEEK_END)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _leave_terminal(log.fileno())
        os.environ[STDERR_IS_FILE] = "1"
        return _run([*words, "--log-file", str(wanted.log_file), "--ready-fd", str(writing)], wanted.pid_file, main)
    os.close(writing)
    with log:
        ready, _, _ = select.select([reading], [], [], READY_S)
        if not ready:
            sys.stderr.write(f"{name}: it goes on starting; {wanted.log_file} says how far it is\n")
            return TRY_AGAIN
        if os.read(reading, 64):
            return 0
        _, status = os.waitpid(child, 0)
        log.seek(began)
        sys.stderr.write(log.read()[-SAID_BYTES_MAX:].decode(errors="replace"))
        sys.stderr.write(f"{name}: error: it has not started\n")
        return max(os.waitstatus_to_exitcode(status), FAILED)


def _open_log(file: Path) -> Any:
    """Raises InvalidSetting: it cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
    except OSError as error:
        raise InvalidSetting("log_file", str(file), f"cannot be written: {error.strerror}") from error


def _leave_terminal(log: int) -> None:
    os.setsid()
    os.chdir("/")
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(log, 1)
    os.dup2(log, 2)
