"""Batches for those who carry them on: read as they lie in the log, brought for others."""

from __future__ import annotations

import time

import msgspec

from sylvite.client.async_connection import AsyncConnection
from sylvite.client.feed import Feed
from sylvite.core.batch import Batch, Passage
from sylvite.core.event import Gap
from sylvite.errors import ConnectionLost
from sylvite.wire.messages import Progress

Relayed = tuple[int, bytes, int, Passage | None]
"""A block of somebody else: seq, the block, its count of events, how it has come."""


class Brought(msgspec.Struct, frozen=True):
    """A block of somebody else, with all that says whose it is."""

    sender: str
    source_epoch: int
    seq: int
    block: bytes
    count: int
    passage: Passage | None


class AsyncBatches:
    """Batches as they lie in the log.  `start`: the offset that it has begun at; `epoch`: of the event before that, 0 for none."""

    def __init__(self, connection: AsyncConnection, feed: Feed) -> None:
        self._connection, self._feed = connection, feed
        self.start, self.epoch = feed.wanted, feed.epoch

    async def next(self, timeout_s: float | None = None) -> Batch | Gap | Progress | None:
        """Return what comes next; None where nothing has come in time.  Raises SylviteError: why there will be nothing more."""
        feed = self._feed
        try:
            await self._connection.until(feed.has_more, None if timeout_s is None else time.monotonic() + timeout_s)
        except TimeoutError:
            return None
        if not feed.waiting:
            raise feed.error or ConnectionLost("the subscription is closed")
        item = self._connection.core.take_whole(feed)
        self._connection.send()
        return item

    def advance(self, offset: int) -> None:
        """Everything below an offset is done."""
        self._connection.core.advance(self._feed, offset)
        self._connection.send()

    def close(self) -> None:
        self._connection.core.unsubscribe(self._feed)
        self._connection.send()
