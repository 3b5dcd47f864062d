"""`sylvite link`: the port of a master that minions connect to, alone."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.keys_folder import dir_option, folder_of_keys
from sylvite.cli.option_types import ADDRESS
from sylvite.client.address import default_socket

EXAMPLES = (
    Example("sylvite link --dir ./bus --listen 127.0.0.1:4507", "Let minions of this machine in, beside a broker", endless=True),
)  # fmt: skip


@command("link", examples=EXAMPLES)
@dir_option
@click.option(
    "--listen", type=ADDRESS, default="0.0.0.0:4507", metavar="HOST:PORT", help="Where minions connect [0.0.0.0:4507]."
)
@click.option("--name", default="", metavar="NAME", help="What minions are told of this master [the host's name].")
@click.option("--auth-events/--no-auth-events", default=True, help="Publish salt/auth when a minion asks [yes].")
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write the port there once it listens.")
@pass_options
def link(
    options: GlobalOptions,
    folder: Path | None,
    listen: tuple[str, int],
    name: str,
    *,
    auth_events: bool,
    ready_fd: int | None,
) -> int:
    """Let minions in, and bring their events onto the bus, until SIGTERM or Ctrl-C.

    `sylvite master` runs this beside a broker. Whom it lets in, `sylvite keys` says.
    """
    from sylvite.daemons.link import LinkOptions, main

    host, port = listen
    return main(
        LinkOptions(
            socket=Path(options.socket if options.socket is not None else default_socket()),
            keys=folder_of_keys(folder),
            host=host,
            port=port,
            name=name or socket.gethostname(),
            auth_events=auth_events,
            ready_fd=ready_fd,
        )
    )
