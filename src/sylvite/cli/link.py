"""`sylvite link`: the port of a master that minions connect to, alone."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.daemon_options import given, given_logging, logging_options, part_option
from sylvite.cli.master_place import configured_part, dir_option
from sylvite.cli.option_types import ADDRESS

EXAMPLES = (
    Example("sylvite link --dir ./bus --listen 127.0.0.1:4507", "Let minions of this machine in, beside a broker", endless=True),
    Example("sylvite link --master /etc/sylvite/master", "As `sylvite master` starts it", endless=True),
)  # fmt: skip


@command("link", examples=EXAMPLES)
@part_option
@dir_option
@click.option("--listen", type=ADDRESS, metavar="HOST:PORT", help="Where minions connect [0.0.0.0:4507].")
@click.option("--name", metavar="NAME", help="What minions are told of this master [the host's name, and _master].")
@click.option("--auth-events/--no-auth-events", default=None, help="Publish salt/auth when a minion asks [yes].")
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write the port there once it listens.")
@logging_options
@pass_options
def link(
    options: GlobalOptions,
    master_file: Path | None,
    folder: Path | None,
    listen: tuple[str, int] | None,
    name: str | None,
    *,
    auth_events: bool | None,
    ready_fd: int | None,
    log_level: str | None,
    log_format: str | None,
    log_file: Path | None,
) -> int:
    """Let minions in, and bring their events onto the bus, until SIGTERM or Ctrl-C.

    `sylvite master` runs this beside a broker. Whom it lets in, `sylvite keys` says. What is given here wins over the file
    of --master.
    """
    from sylvite.daemons.link import main

    host, port = listen or (None, None)
    more = given(interface=host, ret_port=port, id=name, auth_events=auth_events)
    configuration, socket = configured_part(
        options, master_file, folder, more | given_logging(log_level, log_format, log_file)
    )
    return main(configuration, socket, ready_fd=ready_fd)
