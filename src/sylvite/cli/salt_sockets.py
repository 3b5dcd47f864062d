"""`sylvite salt-sockets`: Salt's own sockets in front of a bus, alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.daemon_options import given_logging, logging_options, part_option
from sylvite.cli.master_place import bus_of_part

if TYPE_CHECKING:
    from sylvite.compat.endpoints import Endpoints

EXAMPLES = (
    Example("sylvite salt-sockets --sock-dir ./bus", "Let programs written for a Salt master attach, in ./bus", endless=True),
    Example(
        "sylvite salt-sockets --sock-dir ./bus --minion web1 --framing length",
        "The sockets of a minion, for programs of Salt 3006.27 to 3006.29",
        endless=True,
    ),
    Example("sylvite salt-sockets --master /etc/sylvite/master", "As `sylvite master` starts it", endless=True),
)  # fmt: skip


@command("salt-sockets", examples=EXAMPLES)
@part_option
@click.option("--sock-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where to put them [beside the bus].")
@click.option("--minion", metavar="ID", help="Those of the minion with this id, rather than those of a master.")
@click.option("--hash-type", default="sha256", metavar="NAME", help="Of the minion: the hash in their names [sha256].")
@click.option(
    "--tcp", nargs=2, type=click.IntRange(0, 65_535), metavar="PUB PULL", help="Two ports of the loopback instead."
)
@click.option(
    "--framing",
    type=click.Choice(("stream", "length")),
    help="Of what is read: length for 3006.27 and later 3006 [stream].",
)
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write a line there once they are there.")
@logging_options
@pass_options
def salt_sockets(
    options: GlobalOptions,
    master_file: Path | None,
    sock_dir: Path | None,
    minion: str | None,
    hash_type: str,
    tcp: tuple[int, int] | None,
    framing: str | None,
    *,
    ready_fd: int | None,
    log_level: str | None,
    log_format: str | None,
    log_file: Path | None,
) -> int:
    """Let programs written for Salt's event bus attach, until SIGTERM or Ctrl-C.

    `sylvite master` and `sylvite minion` do so by themselves. On ports, only programs of the user of this process and of root
    are let in.
    """
    from sylvite.compat.serving import Served, endpoints_of, main
    from sylvite.daemons.configuration import part_configuration

    configuration = part_configuration(master_file, given_logging(log_level, log_format, log_file))
    found = configuration.options
    bus = bus_of_part(options, master_file, found)
    endpoints = (
        endpoints_of(found) if master_file is not None else _endpoints(sock_dir or bus.parent, minion, hash_type, tcp)
    )
    chosen = "length" if (framing or found.salt_socket_framing) == "length" else "stream"
    return main(configuration, Served(bus, endpoints, chosen), ready_fd=ready_fd)


def _endpoints(sock_dir: Path, minion: str | None, hash_type: str, tcp: tuple[int, int] | None) -> Endpoints:
    from sylvite.compat.endpoints import TcpEndpoints, master_endpoints, minion_endpoints

    if tcp is not None:
        return TcpEndpoints(*tcp)
    if minion is not None:
        return minion_endpoints(sock_dir, minion, hash_type)
    return master_endpoints(sock_dir)
