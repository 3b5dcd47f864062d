"""LocalBus: the broker of this node, as functions use it.  Connected when it is first wanted."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from sylvite.client.address import SYSTEM_FILES, SYSTEM_SOCKETS, VARIABLE, bus_in
from sylvite.client.sync_client import Client
from sylvite.client.sync_subscription import Subscription
from sylvite.core import known_tags
from sylvite.core.event import Event
from sylvite.core.tag import check_tag
from sylvite.errors import AckUnknown, InvalidPattern
from sylvite.functions.data import plain, stamp

logger = logging.getLogger("sylvite.functions")


class LocalBus:
    """A context manager: leaving it closes the connection."""

    def __init__(
        self,
        socket: str | None = None,
        *,
        node: str | None = None,
        name: str = "functions",
        timeout_s: float = 10.0,
    ) -> None:
        """`socket`: of the broker; None looks where clients look.  `node`: master or minion, whose bus that is; None: of both.

        `name`: what `sylvite status` shows.
        """
        self.socket = socket
        self._node, self._name, self._timeout_s = node, name, timeout_s
        self._client: Client | None = None

    def __enter__(self) -> LocalBus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def open(self) -> Client:
        """Connect, unless that is done.  Raises BrokerNotReachable, NotAllowed, NotAuthenticated."""
        if self._client is None:
            self._client = Client.connect(self.socket, timeout_s=self._timeout_s, name=self._name)
        return self._client

    def fire(self, tag: str, data: dict[str, Any]) -> None:
        data["_stamp"] = stamp(time.time_ns())
        client = self.open()
        try:
            client.publish(tag, plain(data), timeout_s=self._timeout_s)
        except AckUnknown as unknown:
            # The broker has gone away meanwhile, and may come back: the event is not taken twice.
            client.retry(unknown, timeout_s=self._timeout_s)

    def publish(self, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
        self.open().publish_many(events, level="synced", timeout_s=self._timeout_s)

    def fire_master(self, tag: str, data: Any, preload: Mapping[str, Any] | None) -> None:
        self.fire(known_tags.OUTBOX, envelope(tag, data, preload))

    @contextlib.contextmanager
    def watch(self, tagmatch: str, *, node: str, sock_dir: str | None) -> Generator[Iterator[Event]]:
        with Client.connect(
            self._place_of(node, sock_dir), timeout_s=self._timeout_s, reconnect_s=None, name=self._name
        ) as client, _subscribe(client, tagmatch) as subscription:  # fmt: skip
            yield iter(subscription)

    def _place_of(self, node: str, sock_dir: str | None) -> str | None:
        """Return the socket: what the call says, what we were told, that of the node."""
        if sock_dir is not None:
            return _there(bus_in(sock_dir, "ipc"), bus_in(sock_dir, "tcp")) or bus_in(sock_dir, "ipc")
        if self._node in (None, node) and (self.socket is not None or VARIABLE in os.environ):
            return self.socket
        number = 0 if node == "master" else 1
        return _there(SYSTEM_SOCKETS[number], SYSTEM_FILES[number])


def _there(*places: str) -> str | None:
    return next(filter(os.path.exists, places), None)


def envelope(tag: str, data: Any, preload: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what an event that goes up is on the bus of the minion.  Raises InvalidTag."""
    if preload is None:
        return {"tag": check_tag(tag), "data": data, "events": None, "pretag": None}
    return {"tag": check_tag(tag), "data": data, **preload}


def _subscribe(client: Client, tagmatch: str) -> Subscription:
    # What the broker can leave out need not travel; what it cannot read as a pattern is looked at here alone.
    try:
        return client.subscribe(fnmatch=[tagmatch], regex=[rf"{tagmatch}\Z"], on_gap=_tell)
    except InvalidPattern:
        return client.subscribe(on_gap=_tell)


def _tell(gap: object) -> None:
    logger.warning("%s", gap)
