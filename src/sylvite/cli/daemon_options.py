"""Options of the commands that run daemons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sylvite.cli.command import Function

LEVELS = ("all", "garbage", "trace", "debug", "profile", "info", "warning", "error", "critical", "quiet")
FORMATS = ("text", "json")


def logging_options(function: Function) -> Function:
    """Add --log-level, --log-format and --log-file; `given_logging` makes options of a node of them."""
    for add in (
        click.option("--log-file", type=click.Path(path_type=Path), metavar="FILE", help="Log to this file too."),
        click.option(
            "--log-format", type=click.Choice(FORMATS), metavar="FORMAT", help="text, or json: an object a line [text]."
        ),
        click.option(
            "-l",
            "--log-level",
            type=click.Choice(LEVELS),
            metavar="LEVEL",
            help="debug, info, warning, error, quiet [info].",
        ),
    ):
        function = add(function)
    return function


def given_logging(log_level: str | None, log_format: str | None, log_file: Path | None) -> dict[str, Any]:
    """Return what was given, by the names of fields of `NodeOptions`."""
    return given(log_level=log_level, log_format=log_format, log_file=log_file)


def given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def part_option(function: Function) -> Function:
    """Add --master, as `master_file`: the command runs as a part of that master."""
    return click.option(
        "--master",
        "master_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="As a part of the master that this file configures; SIGHUP reads it again.",
    )(function)
