"""Publisher: many events, pipelined; the blocking shell around client/publisher.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from sylvite.client.publisher import Counts, Outgoing
from sylvite.client.sync_connection import SyncConnection
from sylvite.core.event import Event
from sylvite.errors import AckTimeout


class Publisher(Counts):
    """Many events, pipelined.  A context manager; leaving it waits until all is acknowledged.

    As with a file, events are collected and leave when a batch is full, at `flush` and at the end.  A block that is
    refused raises at one of the next calls, with all its events; nothing is dropped in silence.
    """

    def __init__(self, connection: SyncConnection, outgoing: Outgoing, timeout_s: float) -> None:
        super().__init__(outgoing)
        self._connection, self._timeout_s = connection, timeout_s

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._outgoing.give_up()

    def publish(self, tag: str, data: Mapping[str, Any], cause: Event | int | None = None) -> None:
        """Collect an event; where the batch is full, send that first, and wait while the window is full.

        Whatever is raised, this event was not taken.

        Raises:
            InvalidTag, InvalidData, EventTooBig: it cannot be.
            SylviteError: earlier ones were refused.  AckTimeout: no answer for `timeout_s`; ConnectionLost.
        """
        outgoing = self._outgoing
        if cause is None and outgoing.collect(tag, data):
            return  # Nearly always, and with one call less.
        while not outgoing.add(tag, data, cause):
            self._push(time.monotonic() + self._timeout_s)
            outgoing.raise_refusal()

    def _push(self, deadline: float) -> None:
        outgoing, connection = self._outgoing, self._connection
        connection.ensure_open(deadline)
        self._until(outgoing.has_room if outgoing.waits_for_answers else connection.is_sent, deadline)
        outgoing.send()
        connection.send()

    def _until(self, holds: Callable[[], bool], deadline: float) -> None:
        try:
            self._connection.until(holds, deadline)
        except TimeoutError:
            raise AckTimeout(
                "the broker has not answered in time: events may be in the log, or not; flush() goes on waiting for them"
            ) from None

    def flush(self) -> None:
        """Send what is collected and return once all is answered.  Raises: as `publish`."""
        outgoing, connection = self._outgoing, self._connection
        deadline = time.monotonic() + self._timeout_s
        self._push(deadline)
        self._until(lambda: outgoing.is_settled() and connection.is_sent(), deadline)
        outgoing.raise_refusal()
