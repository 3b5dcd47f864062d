"""Shared webhooks: the masters of a cluster post the events of all of them together, each event once.

The webhooks of one name are one, a group of readers: what a master that dies has not posted, another one posts that has the webhook, too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager

import msgspec

from sylvite.client.async_client import AsyncClient
from sylvite.cluster.carried import NOWHERE, Place
from sylvite.cluster.connection import Connection
from sylvite.cluster.groups import Group
from sylvite.cluster.holding import Batch
from sylvite.cluster.part import Received
from sylvite.cluster.settings import ClusterSettings
from sylvite.core.event import Event, Gap
from sylvite.errors import LeaseLost
from sylvite.export.sending import Source
from sylvite.export.settings import Webhook

ACK_S = 0.5
"""So often it is written how far a webhook is, while one batch is posted."""


class SharedWebhooks:
    """One connection to the servers for all webhooks of this process.  It is made when one is begun, and again when it was closed."""

    def __init__(self, bus: AsyncClient, settings: ClusterSettings) -> None:
        self._bus, self._settings = bus, settings
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def open(self, webhook: Webhook) -> AsyncGenerator[Source]:
        """Raises ClusterError: the servers do not answer, or refuse."""
        settings, connection = webhook.settings, await self._connected()
        place = await self._place_of(webhook.cursor)
        async with (
            Group(
                connection, group_of(webhook.name), *settings.tags, exclude=settings.exclude, where=settings.where,
                newest=True, places={} if place is None else {self._settings.node: place},
            ) as group,
            aclosing(group.read()) as batches,
        ):  # fmt: skip
            if place is not None:
                await self._bus.ask("cursor_delete", name=webhook.cursor)  # From here on the group knows it.
            yield _Shared(batches)

    async def _place_of(self, cursor: str) -> Place | None:
        """Return where the log of this master was read up to before it was in a cluster, or when the webhook was added."""
        found = await self._bus.ask("cursors")
        offset = next((each["offset"] for each in found["cursors"] if each["name"] == cursor), None)
        if not offset:
            return None if offset is None else NOWHERE
        batches = await self._bus.read_batches(since=offset)
        batches.close()
        return Place(batches.epoch, offset)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _connected(self) -> Connection:
        async with self._opening:
            if self._connection is None or self._connection.closed.is_set():
                self._connection = await Connection.open(self._settings, name="sylvite webhooks")
            return self._connection


def group_of(name: str) -> str:
    """Return what the group of a webhook is called."""
    return f"webhook_{name}"


class _Shared:
    """A group, as a source of events."""

    def __init__(self, batches: AsyncGenerator[Batch]) -> None:
        self._batches = batches
        self._batch: Batch | None = None
        self._left: deque[Received | Gap] = deque()
        self._last: Received | None = None
        self._acked_s = 0.0

    async def next(self) -> Event | Gap | None:
        while not self._left:
            self._begin(await anext(self._batches))
        item = self._left.popleft()
        if isinstance(item, Gap):
            return item
        self._last = item
        return msgspec.structs.replace(item, redelivered=False)  # The same each time, as its id is.

    def check(self) -> None:
        if self._batch is not None:
            with self._dropped_if_lost():
                self._batch.check()

    async def ack(self, item: Event | Gap) -> None:
        batch, now_s = self._batch, time.monotonic()
        if batch is None:
            return
        with self._dropped_if_lost():
            if not self._left:
                await batch.acknowledge()
            elif isinstance(item, Event) and now_s - self._acked_s >= ACK_S:
                self._acked_s = now_s
                await batch.acknowledge(self._last)

    def _begin(self, batch: Batch) -> None:
        self._batch, self._acked_s = batch, time.monotonic()
        for lost in batch.lost:
            self._left.append(Gap(lost.first, lost.next, "retention", lost.count, f"of {lost.node}"))
        self._left += (*batch.gaps, *batch.events)

    @contextmanager
    def _dropped_if_lost(self) -> Generator[None]:
        """Leave the rest of the batch to whoever has it by now."""
        try:
            yield
        except LeaseLost:
            self._batch = None
            self._left.clear()
            raise
