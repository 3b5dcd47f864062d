"""Options that `call` and `run` share, and what is made of them."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from sylvite.cli.color import wants_color
from sylvite.cli.command import Function, GlobalOptions
from sylvite.cli.exit_codes import exit_code_of
from sylvite.cli.outputters import OUTPUTTERS, show
from sylvite.config import read_config
from sylvite.daemons.precautions import check_file
from sylvite.errors import SylviteError
from sylvite.functions.errors import FunctionNotAvailable, InvalidArguments
from sylvite.functions.settings import FunctionSettings

USUAL_CONFIG = Path("/etc/sylvite/functions.yaml")


class Shown(NamedTuple):
    """How results are shown."""

    outputter: str | None
    indent: int | None
    json: bool
    color: bool

    def write(self, value: Any, *, usual: str = "nested") -> None:
        if self.json and self.outputter is None:
            text = show(value, "json", indent=-1)
        else:
            text = show(value, self.outputter or usual, indent=self.indent, color=self.color)
        if text is not None:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


def call_options(function: Function) -> Function:
    """Give a command the options that calling functions has."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


_OPTIONS: tuple[Callable[[Function], Function], ...] = (
    click.option(
        "-c", "--config", metavar="FILE", type=click.Path(path_type=Path), help=f"Configuration [{USUAL_CONFIG}]."
    ),
    click.option(
        "-m", "--module-dirs", metavar="DIR", multiple=True, help="A folder with modules of your own, besides."
    ),
    click.option(
        "--out", "out", type=click.Choice(OUTPUTTERS), metavar="FORMAT", help=", ".join(OUTPUTTERS) + " [nested]."
    ),
    click.option("--out-indent", type=int, metavar="N", help="Indent by N; JSON with -1 is one line."),
    click.option("--no-parse", metavar="NAMES", default="", help="Keywords whose values stay text: a,b."),
    click.option("-d", "--doc", is_flag=True, help="Show what functions say of themselves; FUNCTION may be a module."),
)


def read_settings(config: Path | None, module_dirs: tuple[str, ...], *, kind: str) -> FunctionSettings:
    """Return the settings.  `kind`: the one that `module_dirs` is added to.

    Raises:
        InvalidSetting: the file is wrong, or others could have written it.
    """
    path = config if config is not None else (USUAL_CONFIG if USUAL_CONFIG.exists() else None)
    settings = FunctionSettings()
    if path is not None:
        check_file(path, "config")
        settings = read_config(path, FunctionSettings)
    return msgspec.structs.replace(settings, **{kind: (*module_dirs, *getattr(settings, kind))})


def shown(options: GlobalOptions, out: str | None, indent: int | None) -> Shown:
    return Shown(out, indent, options.json, wants_color(options.color, sys.stdout))


def log_to_stderr(options: GlobalOptions) -> None:
    """Write warnings to stderr, as Salt does; -q leaves them out."""
    level = logging.ERROR if options.quiet else logging.INFO if options.verbose else logging.WARNING
    if options.debug:
        level = logging.DEBUG
    logging.basicConfig(stream=sys.stderr, level=level, format="[%(levelname)-8s] %(message)s")


def names_of(text: str) -> Iterable[str]:
    return [name for name in text.split(",") if name]


def write_docs(options: GlobalOptions, docs: Mapping[str, str]) -> None:
    """Write docstrings: the name of a function, an empty line, the text indented."""
    if options.json:
        Shown(None, None, True, False).write(dict(docs))
        return
    for name, text in docs.items():
        lines = inspect.cleandoc(text).splitlines()
        body = "\n".join(f"    {line}".rstrip() for line in lines)
        sys.stdout.write(f"{name}:\n\n{body}\n\n")


def answer_error(options: GlobalOptions, error: SylviteError, failure: str) -> int:
    """Write why a function did not run, or failed, in Salt's words; return the exit code.  `failure`: what to say of that.

    Raises: the error itself, where answers are JSON.
    """
    if options.json:
        raise error
    if isinstance(error, FunctionNotAvailable):
        click.echo(str(error))
    elif isinstance(error, InvalidArguments):
        _write_usage(error, error.usage)
    else:
        if options.debug:
            import traceback

            traceback.print_exception(error.__cause__ or error)
        click.echo(failure, err=True)
    return exit_code_of(error.code)


def _write_usage(reason: object, usage: str) -> None:
    """Write that a function cannot be called so, in Salt's words."""
    sys.stdout.write(f"\nPassed invalid arguments: {str(reason).rstrip('.')}.\n\nUsage:\n{usage}\n")
