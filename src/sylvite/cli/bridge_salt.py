"""`sylvite bridge salt`: the bus of a running Salt, into ours."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.daemon_options import given_logging, logging_options
from sylvite.client.address import default_socket

SALT_FOLDER = Path("/var/run/salt")

EXAMPLES = (
    Example(
        "sylvite bridge salt --socket ./bus/bus.sock",
        "All that happens on the Salt master of this machine",
        endless=True,
    ),
    Example(
        "sylvite bridge salt --minion web1 --prefix web1/ --socket ./bus/bus.sock",
        "On the Salt minion web1, with web1/ before each tag",
        endless=True,
    ),
)


@command("salt", examples=EXAMPLES)
@click.option(
    "--sock-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Salt's sock_dir [/var/run/salt/master or .../minion].",
)
@click.option("--minion", metavar="ID", help="The bus of the minion with this id, rather than that of the master.")
@click.option("--hash-type", default="sha256", metavar="NAME", help="That minion's hash_type [sha256].")
@click.option(
    "--tcp", type=click.IntRange(1, 65_535), metavar="PORT", help="Salt's port for readers, with ipc_mode: tcp."
)
@click.option("--prefix", default="", metavar="TEXT", help="What stands before each tag [nothing].")
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write a line there once it is attached.")
@logging_options
@pass_options
def salt(
    options: GlobalOptions,
    sock_dir: Path | None,
    minion: str | None,
    hash_type: str,
    tcp: int | None,
    prefix: str,
    *,
    ready_fd: int | None,
    log_level: str | None,
    log_format: str | None,
    log_file: Path | None,
) -> int:
    """Copy the bus of a running Salt into ours, live, until SIGTERM or Ctrl-C.

    It waits for a Salt that is not there, and comes back to one that was restarted; for the time between, the event bridge/salt/gap
    says what is missing. It has to run as a user who may read Salt's socket.
    """
    from sylvite.compat.bridging import Bridged, main
    from sylvite.compat.endpoints import TcpEndpoints, master_endpoints, minion_endpoints
    from sylvite.core.tag import check_tag
    from sylvite.daemons.configuration import part_configuration

    if prefix:
        check_tag(prefix)
    folder = sock_dir or SALT_FOLDER / ("minion" if minion is not None else "master")
    if tcp is not None:
        found = TcpEndpoints(tcp, tcp)
    else:
        found = master_endpoints(folder) if minion is None else minion_endpoints(folder, minion, hash_type)
    bus = Path(options.socket) if options.socket is not None else Path(default_socket())
    configuration = part_configuration(None, given_logging(log_level, log_format, log_file))
    return main(configuration, Bridged(found, bus, prefix), ready_fd=ready_fd)
