"""The bus as Salt's event library sees it: where it is, and its events as tag and data, one after the other."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from sylvite.client.address import SOCKET, VARIABLE, bus_in, default_socket
from sylvite.client.start import Since
from sylvite.client.sync_client import ANSWER_S, Client
from sylvite.client.sync_subscription import Subscription
from sylvite.compat.defaults import SALT_SOCK_DIRS, SOCK_DIRS
from sylvite.compat.payload import from_wire, map_with_text_keys
from sylvite.core.event import Event, Gap
from sylvite.errors import AckUnknown, ConnectionLost, InvalidInput, SylviteError, WaitTimeout
from sylvite.functions.data import stamp

CONNECT_S_LEAST = 0.2
logger = logging.getLogger("salt.utils.event")


def find_bus(node: str, opts: Mapping[str, Any]) -> str:
    """Return the address of the bus of a node, as its options say it: for `Client.connect`.

    Where they name the usual folder, of Sylvite or of Salt, and no bus is there, it is where clients look for one.
    """
    role = "master" if node == "master" else "minion"
    # Programs write it with a slash at the end, too.
    folder = os.path.normpath(str(opts["sock_dir"]))
    if opts.get("ipc_mode") == "tcp":
        places = [bus_in(str(place), "tcp") for place in (folder, opts.get("data_dir")) if place]
        return next((place for place in places if os.path.exists(place)), places[0])
    path = os.path.join(folder, SOCKET)
    if os.path.exists(path) or folder not in (SOCK_DIRS[role], SALT_SOCK_DIRS[role]):
        return path
    own = os.path.join(SOCK_DIRS[role], SOCKET)
    if role == "minion":  # Where clients look by themselves is the master's, first of all.
        return own if os.path.exists(own) else os.environ.get(VARIABLE, own)
    return own if os.path.exists(own) else default_socket()


class Received(NamedTuple):
    tag: str
    data: dict[Any, Any]


def received(event: Event) -> Received:
    """Return an event as Salt's library gives it out: what was published without a stamp has the broker's."""
    data = from_wire(event.data)
    if "_stamp" not in data:
        data["_stamp"] = stamp(event.stamp_ns)
    return Received(event.tag, data)


GAP_TAG = "sylvite/gap"
"""Of an event that stands where others are missing: only the broker may publish such a tag, and it does not."""


def gap_data(gap: Gap) -> dict[Any, Any]:
    """Return what an event says of events that are missing."""
    said = {"first": gap.first, "next": gap.next, "count": gap.count, "reason": gap.reason}
    return {**said, "_stamp": stamp(time.time_ns())}


class Reader:
    """All events of a bus, from the moment of its making on.  After a loss it goes on where it was."""

    def __init__(self, path: str, name: str, timeout_s: float, *, since: Since = None) -> None:
        """Raises SylviteError: there is no bus, or not for us."""
        self._gaps: deque[Gap] = deque()
        self._held: Received | None = None
        self._client = Client.connect(path, name=name, timeout_s=max(timeout_s, CONNECT_S_LEAST))
        try:
            self._subscription: Subscription = self._client.subscribe(on_gap=self._miss, since=since)
        except BaseException:
            self._client.close()
            raise

    def next(self, timeout_s: float | None) -> Received | None:
        """Return the next event, or None where there is none in time; None waits for ever.

        Where events are missing, one says so: `sylvite/gap`.

        Raises:
            SylviteError: the bus cannot be read any more.
        """
        held, self._held = self._held, None
        if held is None:
            event = self._subscription.next(timeout_s)
            held = None if event is None else received(event)
        if self._gaps:
            self._held = held
            return Received(GAP_TAG, gap_data(self._gaps.popleft()))
        return held

    def _miss(self, gap: Gap) -> None:
        logger.warning("%s", gap)
        self._gaps.append(gap)

    def close(self) -> None:
        self._client.close()

    def abandon(self) -> None:
        """After a fork: it is the parent's."""
        self._client.abandon()


class Writer:
    """Publishes on a bus, and waits until it has what was published."""

    def __init__(self, path: str, name: str, timeout_s: float) -> None:
        """Raises SylviteError: there is no bus, or not for us."""
        self._client = Client.connect(path, name=name, timeout_s=max(timeout_s, CONNECT_S_LEAST))

    def publish(self, tag: str, wire: Mapping[Any, Any], timeout_s: float) -> bool:
        """Return whether the bus has the event; False where it cannot be reached in time, or will not have it.

        Raises:
            InvalidInput: a tag or data that no bus takes.
        """
        data = map_with_text_keys(wire, logger.warning)
        try:
            try:
                self._client.publish(tag, data, timeout_s=timeout_s)
            except AckUnknown as unknown:
                if not self._is_connected():
                    raise
                # It is there, and busy: an answer that comes late is better than one that may be wrong.
                self._client.retry(unknown, timeout_s=ANSWER_S)
        except InvalidInput:
            raise
        except (ConnectionLost, WaitTimeout, AckUnknown) as error:
            logger.debug("event %r was not fired: %s", tag, error)
            return False
        except SylviteError as error:
            logger.error("event %r was not fired: %s", tag, error)
            return False
        return True

    def _is_connected(self) -> bool:
        try:
            _ = self._client.welcome
        except ConnectionLost:
            return False
        return True

    def close(self) -> None:
        self._client.close()

    def abandon(self) -> None:
        """After a fork: it is the parent's."""
        self._client.abandon()
