"""AsyncSubscription: events, one by one; the asyncio shell around client/subscription.py."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from types import TracebackType

from sylvite.client.async_connection import AsyncConnection
from sylvite.client.subscription import Incoming, Standing
from sylvite.core.event import Event


class AsyncSubscription(Standing):
    """As `Subscription`, with `async for`."""

    def __init__(self, connection: AsyncConnection, incoming: Incoming) -> None:
        super().__init__(incoming)
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[Event]:
        incoming = self._incoming
        while True:
            # As `Subscription.__iter__`.
            items = incoming.items
            for item in items:
                if isinstance(item, Event):
                    yield item
                else:
                    incoming.miss(item)
            if incoming.items is items and not incoming.load():
                event = await self.next(None)
                if event is None:
                    return
                yield event

    async def __anext__(self) -> Event:
        event = await self.next(None)
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout_s: float | None = None) -> Event | None:
        """As `Subscription.next`."""
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
                await self._connection.until(incoming.feed.has_more, deadline)
            except TimeoutError:
                return None

    async def ack(self, event: Event | int) -> None:
        """As `Subscription.ack`."""
        self._incoming.acknowledge(event)

    async def close(self) -> None:
        """As `Subscription.close`."""
        self._incoming.finish(clean=True)

    async def __aenter__(self) -> AsyncSubscription:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._incoming.finish(clean=kind is None)
