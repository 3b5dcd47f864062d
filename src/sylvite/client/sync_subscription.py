"""Subscription: events, one by one; the blocking shell around client/subscription.py."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import cast

from sylvite.client.subscription import Incoming, Standing
from sylvite.client.sync_connection import SyncConnection
from sylvite.core.event import Event


class Subscription(Standing):
    """Events, one by one: an iterator and a context manager.  Iteration waits for ever, or ends with `until_end`."""

    def __init__(self, connection: SyncConnection, incoming: Incoming) -> None:
        super().__init__(incoming)
        self._connection = connection

    def __iter__(self) -> Iterator[Event]:
        incoming = self._incoming
        while True:
            # As `next` does it, without a call for each event.
            items = incoming.items
            if incoming.are_events:
                yield from cast("Iterator[Event]", items)
            else:
                for item in items:
                    if isinstance(item, Event):
                        yield item
                    else:
                        incoming.miss(item)
            if incoming.items is items and not incoming.load():
                event = self.next(None)
                if event is None:
                    return
                yield event

    def __next__(self) -> Event:
        event = self.next(None)
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout_s: float | None = None) -> Event | None:
        """Return the next event; None if there is none in time, or the subscription has ended.

        Raises:
            EventsMissed: a gap, without `on_gap`.  SylviteError: the broker does not let us go on.
        """
        incoming = self._incoming
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            event = incoming.take()
            if event is not None:
                return event
            if incoming.has_ended:
                incoming.end()
                return None
            try:
                self._connection.until(incoming.feed.has_more, deadline)
            except TimeoutError:
                return None

    def ack(self, event: Event | int) -> None:
        """This event, or the one at this offset, and all before it are done: a new start of this cursor begins behind it."""
        self._incoming.acknowledge(event)

    def close(self) -> None:
        """End the subscription; the event handed out last counts as done."""
        self._incoming.finish(clean=True)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._incoming.finish(clean=kind is None)
