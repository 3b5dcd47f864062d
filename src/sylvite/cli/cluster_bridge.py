"""`sylvite cluster bridge`: the part of a master that shares its log with others, alone."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.cluster import require_library
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.daemon_options import given_logging, logging_options, part_option
from sylvite.cli.master_place import configured_part, dir_option

EXAMPLES = (
    Example("sylvite cluster bridge --master /etc/sylvite/master", "As `sylvite master` starts it", endless=True),
)  # fmt: skip


@command("bridge", examples=EXAMPLES)
@part_option
@dir_option
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write a line there once it is at work.")
@logging_options
@pass_options
def bridge(
    options: GlobalOptions,
    master_file: Path | None,
    folder: Path | None,
    ready_fd: int | None,
    log_level: str | None,
    log_format: str | None,
    log_file: Path | None,
) -> int:
    """Share the log of a master with the others of its cluster, until SIGTERM or Ctrl-C.

    `sylvite master` runs this beside a broker where the option `cluster` names servers of NATS. While they are away, what is
    to go there waits in the log.
    """
    require_library()
    from sylvite.api.tokens_shared import Tokens
    from sylvite.daemons.cluster import main

    configuration, socket = configured_part(
        options, master_file, folder, given_logging(log_level, log_format, log_file)
    )
    sharing = {"tokens": Tokens(configuration.options.data_dir).share}
    return main(configuration, socket, sharing, ready_fd=ready_fd)
