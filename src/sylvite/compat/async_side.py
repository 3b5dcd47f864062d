"""The asynchronous half of Salt's event objects: reads and fires in an event loop that somebody else runs."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from sylvite.client.async_client import AsyncClient
from sylvite.compat.bus import GAP_TAG, gap_data, received
from sylvite.compat.packing import pack_event
from sylvite.compat.payload import map_with_text_keys
from sylvite.core.event import Gap
from sylvite.errors import SylviteError

AGAIN_S = 1.0
Handler = Callable[[bytes], Awaitable[None] | None]
logger = logging.getLogger("salt.utils.event")


class AsyncSide:
    """`loop`: asyncio's, or one of tornado's, which is one of asyncio's inside; None for the one that is running."""

    def __init__(self, loop: Any, address: Callable[[], str], name: str) -> None:
        self._loop: asyncio.AbstractEventLoop | None = getattr(loop, "asyncio_loop", loop)
        self._address, self._name = address, name
        self._handlers: list[Handler] = []
        self._reading: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Task[Any]] = set()
        self._client: AsyncClient | None = None

    @property
    def is_reading(self) -> bool:
        return self._reading is not None

    @property
    def is_writing(self) -> bool:
        return self._client is not None

    def read(self, handler: Handler | None = None) -> None:
        """Read from now on, and give each event to the handlers."""
        if handler is not None:
            self._handlers.append(handler)
        if self._reading is None:
            self._reading = self._start(self._read())

    def stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        self._handlers.clear()

    def write(self, tag: str, wire: Mapping[Any, Any]) -> None:
        """Publish soon; what goes wrong is logged."""
        task = self._start(self.publish(tag, wire, AGAIN_S))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    def stop_writing(self) -> None:
        for task in self._writes:
            task.cancel()
        client, self._client = self._client, None
        if client is not None:
            self._writes.add(task := self._start(client.close()))
            task.add_done_callback(self._writes.discard)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return (self._loop or asyncio.get_running_loop()).create_task(work)

    async def publish(self, tag: str, wire: Mapping[Any, Any], timeout_s: float) -> bool:
        """Return whether the bus has it."""
        data = map_with_text_keys(wire, logger.warning)
        try:
            if self._client is None:
                self._client = await AsyncClient.connect(self._address(), name=self._name, timeout_s=timeout_s)
            await self._client.publish(tag, data)
        except SylviteError as error:
            logger.error("event %r was not fired: %s", tag, error)
            return False
        return True

    async def _read(self) -> None:
        while True:
            try:
                async with AsyncClient.connect(self._address(), name=self._name) as bus:
                    await self._give_out(bus)
            except SylviteError as error:
                logger.debug("the bus cannot be read: %s", error)
            await asyncio.sleep(AGAIN_S)

    async def _give_out(self, bus: AsyncClient) -> None:
        gaps: list[Gap] = []
        async with await bus.subscribe(on_gap=gaps.append) as events:
            async for event in events:
                for gap in gaps:
                    logger.warning("%s", gap)
                    await self._handle(pack_event(GAP_TAG, gap_data(gap)))
                gaps.clear()
                await self._handle(pack_event(*received(event)))

    async def _handle(self, raw: bytes) -> None:
        for handler in list(self._handlers):
            try:
                waiting = handler(raw)
                if inspect.isawaitable(waiting):
                    await waiting
            except Exception:
                logger.exception("the handler of an event has failed; the next event goes on")
