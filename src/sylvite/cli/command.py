"""Commands and groups: what click's have not.

Global options are taken before and after the command's name, a group imports a command's module only when that
command is run, and help ends with examples that the tests run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import click

Function = Callable[..., Any]
AnyCommand = TypeVar("AnyCommand", bound=click.Command)


class Example(NamedTuple):
    """A line for a shell, and what it does.  `endless`: it runs until it is interrupted."""

    line: str
    about: str
    exit_code: int = 0
    endless: bool = False


class GlobalOptions:
    """The options that every command takes.  One object for one run of the program."""

    def __init__(self) -> None:
        self.socket: str | None = None
        self.json = False
        self.color = "auto"
        self.verbosity = 0
        self.debug = False

    @property
    def quiet(self) -> bool:
        return self.verbosity < 0

    @property
    def verbose(self) -> bool:
        return self.verbosity > 0


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    options = context.ensure_object(GlobalOptions)
    if value in (None, False, 0):
        return
    if parameter.name == "verbose":
        options.verbosity += value
    elif parameter.name == "quiet":
        options.verbosity -= value
    else:
        setattr(options, parameter.name or "", value)


def _global_options() -> list[click.Option]:
    shared: dict[str, Any] = {"expose_value": False, "callback": _keep, "is_eager": True}
    return [
        click.Option(
            ["--socket"], metavar="PATH", **shared,
            help="Socket of the broker [SYLVITE_SOCKET, else the default places].",
        ),
        click.Option(["--json"], is_flag=True, **shared, help="Write JSON, errors too."),
        click.Option(
            ["--color"], type=click.Choice(["auto", "always", "never"]), metavar="WHEN", **shared,
            help="auto, always or never [auto].",
        ),
        click.Option(["-v", "--verbose"], count=True, **shared, help="Say more on stderr."),
        click.Option(["-q", "--quiet"], count=True, **shared, help="Say less."),
        click.Option(["--debug"], is_flag=True, hidden=True, **shared),
    ]  # fmt: skip


class Command(click.Command):
    """A command with global options and examples."""

    def __init__(self, *arguments: Any, examples: Sequence[Example] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.examples = tuple(examples)
        self._globals = _global_options()

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *self._globals]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _format_options(self, self._globals, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write_text(f"# {example.about}")
                    # Never wrapped: a line has to survive copy and paste.
                    formatter.write(f"{'':{formatter.current_indent}}{example.line}\n")


class LazyGroup(click.Group):
    """A group whose commands are named here and made elsewhere.

    `lazy`: name to where it is (`module:attribute`) and its summary, so that help imports none of them.
    """

    def __init__(self, *arguments: Any, lazy: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lazy = lazy
        self._globals = _global_options()

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *self._globals]

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.lazy and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(name, possibilities=self.lazy, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _format_options(self, self._globals, ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.lazy.items()])


def _format_options(
    command: click.Command, shared: Sequence[click.Option], ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    own: list[tuple[str, str]] = []
    everywhere: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            (everywhere if parameter in shared else own).append(record)
    for title, records in (("Options", own), ("Everywhere", everywhere)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def command(name: str, *, examples: Sequence[Example]) -> Callable[[Function], Command]:
    """Make a command of a function whose docstring is the help: one line of summary first."""
    return click.command(name, cls=Command, examples=examples)


pass_options = click.make_pass_decorator(GlobalOptions, ensure=True)
