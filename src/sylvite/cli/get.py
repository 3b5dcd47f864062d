"""`sylvite get`: single events, whole."""

from __future__ import annotations

import re

import click

from sylvite.cli import exit_codes
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.connect import connect
from sylvite.cli.option_types import OFFSET
from sylvite.cli.output import Lines
from sylvite.cli.output_options import output_options, stdout_rendering

EXAMPLES = (
    Example("sylvite get @0", "The first event, with who published it and when"),
    Example("sylvite get 0 1 --json", "Two, one JSON a line"),
)


@command("get", examples=EXAMPLES)
@click.argument("offsets", nargs=-1, required=True, type=OFFSET, metavar="OFFSET ...")
@output_options
@pass_options
def get(
    options: GlobalOptions,
    offsets: tuple[int, ...],
    output: str | None,
    fields: str | None,
    highlight: re.Pattern[str] | None,
) -> int:
    """Show single events, whole.

    Exit code 1 where there is none at that offset: not yet, or not any more.
    """
    show = stdout_rendering(options, output, fields, highlight, usual="full")
    lines = Lines()
    try:
        with connect(options) as client:
            for offset in offsets:
                lines.write(show.event(client.get(offset)))
    finally:
        lines.flush()
    return exit_codes.DONE
