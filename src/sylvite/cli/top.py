"""`sylvite top`: a terminal full of what happens."""

from __future__ import annotations

import sys

import click

from sylvite.cli import exit_codes
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.connect import find_bus
from sylvite.errors import InvalidSetting

EXAMPLES = (
    Example("sylvite top", "Everything, until q", endless=True),
    Example("sylvite top 'salt/job/'", "Of the events, only those of jobs", endless=True),
)


@command("top", examples=EXAMPLES)
@click.argument("patterns", nargs=-1, metavar="[PATTERN ...]")
@pass_options
def top(options: GlobalOptions, patterns: tuple[str, ...]) -> int:
    """Show, live, what the bus carries, who reads, and who is connected.

    Rates by tag, with * for job ids, numbers and names; minions; readers and how far behind each is; the log. A PATTERN is
    as with `sylvite tail`. Keys: q ends, p stops and goes on, s sorts by another column. Only for the user that runs the broker.
    """
    if options.json or not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise click.UsageError("top needs a terminal; for programs there is: sylvite status --json")
    try:
        from sylvite.cli.top_screen import Top
    except ImportError as error:
        raise InvalidSetting(
            "top", error.name, "is not installed; install sylvite with its extra: sylvite[tui]"
        ) from error

    failure = Top(find_bus(options), patterns).run()
    if failure is not None:
        raise failure
    return exit_codes.DONE
