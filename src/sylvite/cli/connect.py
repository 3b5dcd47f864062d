"""Connect: a client for the broker that the options name."""

from __future__ import annotations

import click

from sylvite.cli.command import GlobalOptions
from sylvite.client.sync_client import Client

RECONNECT_S = 10.0


def connect(options: GlobalOptions, *, endless: bool = False, timeout_s: float = 10.0) -> Client:
    """Return a connected client.

    `endless`: for what runs until it is interrupted: a broker that goes away is waited for without limit, else for
    RECONNECT_S.

    Raises:
        BrokerNotReachable, NotAuthenticated: see the client.
    """
    client = Client.connect(
        options.socket,
        timeout_s=timeout_s,
        reconnect_s=None if endless else RECONNECT_S,
        name=click.get_current_context().command_path,
    )
    if options.verbose:
        welcome = client.welcome
        click.echo(f"connected to {welcome.broker} as {welcome.sender}; its log ends before @{welcome.end}", err=True)
    return client
