"""Options that `call` and `run` share, and what is made of them."""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from sylvite.cli.color import wants_color
from sylvite.cli.command import Function, GlobalOptions
from sylvite.cli.exit_codes import exit_code_of
from sylvite.cli.outputters import OUTPUTTERS, show
from sylvite.client.address import VARIABLE
from sylvite.errors import SylviteError
from sylvite.functions.errors import FunctionNotAvailable, InvalidArguments

if TYPE_CHECKING:
    from sylvite.functions.bus import LocalBus

Node = Literal["master", "minion"]


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
        "-c",
        "--config",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="Configuration: a file, or the folder of it [/etc/sylvite].",
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


class Configured(NamedTuple):
    """What is configured of a node of this machine.

    `is_there`: somebody has configured it, or it runs.  `bus`: that of the node, or the one that we were told.
    """

    opts: dict[str, Any]
    is_there: bool
    bus: LocalBus


def read_node(options: GlobalOptions, node: Node, config: Path | None, more: Mapping[str, Iterable[str]]) -> Configured:
    """Return the options of the master or minion of this machine, as functions see them.

    `more`: folders that are put before those of an option.  The bus is the one that --socket or SYLVITE_SOCKET names, else that
    of the node.

    Raises:
        InvalidSetting: the configuration is wrong, or others could have written it.
    """
    from sylvite.daemons.options.opts import make_opts
    from sylvite.daemons.options.reading import load_node
    from sylvite.functions.bus import LocalBus
    from sylvite.functions.opts import bus_of

    loaded = load_node(node, config).raise_first()
    opts = make_opts(loaded)
    for name, folders in more.items():
        opts[name] = [*folders, *opts.get(name, ())]
    own = bus_of(opts)
    told = options.socket or os.environ.get(VARIABLE)
    is_there = bool(loaded.files) or (told is None and own is not None and os.path.exists(own))
    name = click.get_current_context().command_path
    if told is not None or not is_there:
        return Configured(opts, is_there, LocalBus(told, name=name))
    return Configured(opts, is_there, LocalBus(own, node=node, name=name))


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
