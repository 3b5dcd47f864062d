"""AsyncPublisher: many events, pipelined; the asyncio shell around client/publisher.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from sylvite.client.async_connection import AsyncConnection
from sylvite.client.publisher import Counts, Outgoing
from sylvite.core.event import Event
from sylvite.errors import AckTimeout


class AsyncPublisher(Counts):
    """As `Publisher`, with `await`; one task at a time."""

    def __init__(self, connection: AsyncConnection, outgoing: Outgoing, timeout_s: float) -> None:
        super().__init__(outgoing)
        self._connection, self._timeout_s = connection, timeout_s

    async def __aenter__(self) -> AsyncPublisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.flush()
        finally:
            self._outgoing.give_up()

    async def publish(self, tag: str, data: Mapping[str, Any], cause: Event | int | None = None) -> None:
        """As `Publisher.publish`."""
        outgoing = self._outgoing
        if cause is None and outgoing.collect(tag, data):
            return  # Nearly always, and with one call less.
        while not outgoing.add(tag, data, cause):
            await self._push(time.monotonic() + self._timeout_s)
            outgoing.raise_refusal()

    async def _push(self, deadline: float) -> None:
        outgoing, connection = self._outgoing, self._connection
        await connection.ensure_open(deadline)
        await self._until(outgoing.has_room if outgoing.waits_for_answers else connection.is_sent, deadline)
        outgoing.send()
        connection.send()

    async def _until(self, holds: Callable[[], bool], deadline: float) -> None:
        try:
            await self._connection.until(holds, deadline)
        except TimeoutError:
            raise AckTimeout(
                "the broker has not answered in time: events may be in the log, or not; flush() goes on waiting for them"
            ) from None

    async def flush(self) -> None:
        """As `Publisher.flush`."""
        outgoing, connection = self._outgoing, self._connection
        deadline = time.monotonic() + self._timeout_s
        await self._push(deadline)
        await self._until(lambda: outgoing.is_settled() and connection.is_sent(), deadline)
        outgoing.raise_refusal()
