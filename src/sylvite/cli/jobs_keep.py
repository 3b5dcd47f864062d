"""`sylvite jobs keep`: the part of a master that keeps jobs, alone."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.daemon_options import given_logging, logging_options, part_option
from sylvite.cli.master_place import VARIABLE, configured_part

EXAMPLES = (
    Example("sylvite jobs keep --dir ./bus", "Keep the jobs of a bus, beside a broker", endless=True),
    Example("sylvite jobs keep --master /etc/sylvite/master", "As `sylvite master` starts it", endless=True),
)


@command("keep", examples=EXAMPLES)
@part_option
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), metavar="DIR",
    help=f"Data folder of the master; jobs go to DIR/jobs.db [{VARIABLE}, else the broker's].",
)  # fmt: skip
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write a line there once jobs are kept.")
@logging_options
@pass_options
def keep(
    options: GlobalOptions,
    master_file: Path | None,
    folder: Path | None,
    ready_fd: int | None,
    log_level: str | None,
    log_format: str | None,
    log_file: Path | None,
) -> int:
    """Keep jobs and returns so that they can be looked up, until SIGTERM or Ctrl-C.

    `sylvite master` runs this beside a broker, unless its `job_cache` is off. A restart goes on where it was: what came
    meanwhile waits in the event log.
    """
    from sylvite.daemons.job_keeping import main

    configuration, socket = configured_part(
        options, master_file, folder, given_logging(log_level, log_format, log_file)
    )
    return main(configuration, socket, ready_fd=ready_fd)
