"""The options that say which events, shared by `tail` and `wait`."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from sylvite.cli.command import Function

MATCHES = ("startswith", "endswith", "find", "regex", "fnmatch", "exact")


class Wanted(NamedTuple):
    """Which events, as the client takes it."""

    patterns: tuple[str, ...] = ()
    match: str | None = None
    where: str | None = None
    exclude: tuple[str, ...] = ()

    @property
    def positional(self) -> tuple[str, ...]:
        """The patterns that the client shall match in its usual way."""
        return () if self.match is not None else self.patterns

    @property
    def named(self) -> dict[str, Any]:
        """Everything else."""
        named: dict[str, Any] = {"where": self.where, "exclude": self.exclude}
        if self.match is not None:
            named[self.match] = self.patterns
        return named


def selection_options(function: Function) -> Function:
    """Add --where, --exclude and --match."""
    added = (
        click.option("--where", metavar="EXPR", help="Only where this holds, such as 'data.retcode != 0'."),
        click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these tags; may be repeated."),
        click.option(
            "--match", type=click.Choice(MATCHES), metavar="HOW",
            help=f"How PATTERN matches: {', '.join(MATCHES)} [fnmatch with * ? [, else startswith].",
        ),
    )  # fmt: skip
    for add in reversed(added):
        function = add(function)
    return function
