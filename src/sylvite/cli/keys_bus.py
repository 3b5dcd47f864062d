"""The bus, for the commands that change keys: what they do is announced there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.cli.command import GlobalOptions
from sylvite.cli.connect import connect
from sylvite.client.address import VARIABLE
from sylvite.client.sync_client import Client
from sylvite.errors import SylviteError


class NotAnnounced(SylviteError):
    """The change is made, and its event is not on the bus yet."""

    code = "not_announced"


@contextlib.contextmanager
def announcing(options: GlobalOptions, keyring: Keyring, *, bus_first: bool) -> Generator[None]:
    """Announce what is done inside, and what was left from before.

    `bus_first`: what gives rights is not begun without a bus, for it would not count; what takes them away is done first.

    Raises:
        ConnectionLost, NotAllowed, NotAuthenticated: with `bus_first`: nothing was done.
        NotAnnounced: it was done, and the event is due.
    """
    _find_socket(options, keyring)
    client: Client | None = connect(options) if bus_first else None
    try:
        yield
        try:
            if keyring.due_count():
                client = client or connect(options)
                publisher = client
                announce(keyring, lambda events: publisher.publish_many(events, level="synced"))
        except SylviteError as error:
            raise NotAnnounced(
                f"the change is made, but not announced: {error}. An accepted key counts once it is; the next `sylvite "
                "keys` that changes something, or the master, announces it"
            ) from error
    finally:
        if client is not None:
            client.close()


def _find_socket(options: GlobalOptions, keyring: Keyring) -> None:
    """Unless it was said, the bus is the one beside the keys: there may be others on this machine, of a minion, say."""
    beside = keyring.folder.path.parent / "bus.sock"
    if options.socket is None and not os.environ.get(VARIABLE) and beside.exists():
        options.socket = str(beside)
