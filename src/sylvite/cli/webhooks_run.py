"""`sylvite webhooks run`: the part of a master that posts events, alone."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.daemon_options import given_logging, logging_options, part_option
from sylvite.cli.master_place import configured_part, dir_option

EXAMPLES = (
    Example("sylvite webhooks run --dir ./bus", "Beside a broker", endless=True),
    Example("sylvite webhooks run --master /etc/sylvite/master", "As `sylvite master` starts it", endless=True),
)


@command("run", examples=EXAMPLES)
@part_option
@dir_option
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write a line there once events are posted.")
@logging_options
@pass_options
def run(
    options: GlobalOptions,
    master_file: Path | None,
    folder: Path | None,
    ready_fd: int | None,
    log_level: str | None,
    log_format: str | None,
    log_file: Path | None,
) -> int:
    """Post the events of all webhooks, until SIGTERM or Ctrl-C.

    `sylvite master` runs this when there are any. A restart goes on where it was: what came meanwhile is in the log.
    """
    from sylvite.daemons.webhooks import main

    configuration, socket = configured_part(
        options, master_file, folder, given_logging(log_level, log_format, log_file)
    )
    return main(configuration, socket, ready_fd=ready_fd)
