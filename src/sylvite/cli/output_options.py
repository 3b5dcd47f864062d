"""The options that say how events are shown, shared by `tail`, `get` and `wait`."""

from __future__ import annotations

import re
import shutil
import sys
from datetime import UTC, datetime

import click

from sylvite.cli.color import Painter, wants_color
from sylvite.cli.command import Function, GlobalOptions
from sylvite.cli.render import FORMATS, Look, Rendering, check_format, rendering
from sylvite.errors import InvalidInput


def _check_output(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else check_format(value)
    except InvalidInput as error:
        raise click.BadParameter(str(error), context, parameter) from error


def _check_highlight(context: click.Context, parameter: click.Parameter, value: str | None) -> re.Pattern[str] | None:
    try:
        return None if value is None else re.compile(value)
    except re.error as error:
        raise click.BadParameter(f"{value!r} is no regular expression: {error}", context, parameter) from error


def output_options(function: Function) -> Function:
    """Add -o, --fields and --highlight."""
    added = (
        click.option(
            "-o",
            "--output",
            callback=_check_output,
            metavar="FORMAT",
            help=f"{', '.join(FORMATS)}, template='{{tag}} {{data.id}}'.",
        ),
        click.option("--fields", metavar="A,B", help="Show only these fields: offset, tag, data.id, ..."),
        click.option("--highlight", callback=_check_highlight, metavar="REGEX", help="Mark what matches."),
    )
    for add in reversed(added):
        function = add(function)
    return function


def stdout_rendering(
    options: GlobalOptions, output: str | None, fields: str | None, highlight: re.Pattern[str] | None, *, usual: str
) -> Rendering:
    """Return what renders events for stdout.  `usual`: the format where neither -o nor --json names one.

    Raises:
        click.UsageError: these options do not go together.
    """
    format_ = output or ("json" if options.json else usual)
    names = [name.strip() for name in fields.split(",") if name.strip()] if fields is not None else []
    if names and format_ not in ("short", "full", "json"):
        raise click.UsageError(f"--fields goes with the formats short, full and json, not {format_!r}")
    look = Look(
        Painter(enabled=wants_color(options.color, sys.stdout)),
        width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None,
        today=f"{datetime.now(UTC).astimezone():%Y-%m-%d}",
        highlight=highlight,
    )
    try:
        return rendering(format_, look, names)
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error
