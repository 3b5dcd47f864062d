"""Connect: a client for the broker that the options name."""

from __future__ import annotations

import os

import click

from sylvite.cli.command import GlobalOptions
from sylvite.client import address
from sylvite.client.sync_client import Client

RECONNECT_S = 10.0
CONFIGURED = ("SYLVITE_CONFIG_DIR", "SYLVITE_MASTER_CONFIG", "SYLVITE_MINION_CONFIG")


def find_bus(options: GlobalOptions) -> str:
    """Return where the bus is: as it was told, at the usual places, or where the configuration of this machine has it.

    The configuration is read only where it has to be: that takes longer than publishing an event.
    """
    if options.socket is not None or os.environ.get(address.VARIABLE):
        return options.socket or address.default_socket()
    usual = address.default_socket()
    if not any(map(os.environ.get, CONFIGURED)) and os.path.exists(usual):
        return usual
    return _configured_bus() or usual


def _configured_bus() -> str | None:
    from sylvite.daemons.options.computing import bus_of
    from sylvite.daemons.options.reading import is_there, load_master, load_minion, usual_file

    found: list[str] = []
    for node, load in (("master", load_master), ("minion", load_minion)):
        if is_there(usual_file(node)) and not (loaded := load()).errors:
            found.append(str(bus_of(loaded.options)))
    return next((path for path in found if os.path.exists(path)), found[0] if found else None)


def connect(options: GlobalOptions, *, endless: bool = False, timeout_s: float = 10.0) -> Client:
    """Return a connected client.

    `endless`: for what runs until it is interrupted: a broker that goes away is waited for without limit, else for
    RECONNECT_S.

    Raises:
        BrokerNotReachable, NotAuthenticated: see the client.
    """
    client = Client.connect(
        find_bus(options),
        timeout_s=timeout_s,
        reconnect_s=None if endless else RECONNECT_S,
        name=click.get_current_context().command_path,
    )
    if options.verbose:
        welcome = client.welcome
        click.echo(f"connected to {welcome.broker} as {welcome.sender}; its log ends before @{welcome.end}", err=True)
    return client
