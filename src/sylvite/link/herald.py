"""Herald: events that the link itself has to tell, on their way to the bus, in order; nobody waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from sylvite.client.async_client import AsyncClient
from sylvite.errors import AckUnknown, ConnectionLost, SylviteError

WAITING_MAX = 20_000
AT_ONCE = 200
AGAIN_S = 1.0
PASSING = ("no_space", "overloaded", "shutting_down", "log_error")
"""Codes of errors of the broker after which the same may be taken later."""
logger = logging.getLogger("sylvite.link")


class Herald:
    """What it was told is published in that order, and again where the broker was away.  `run` does it."""

    def __init__(self, bus: AsyncClient, *, waiting_max: int = WAITING_MAX) -> None:
        self._bus, self._waiting_max = bus, waiting_max
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._some = asyncio.Event()
        self._dropped = 0

    def tell(self, tag: str, data: dict[str, Any]) -> None:
        if len(self._waiting) >= self._waiting_max:
            self._dropped += 1
            return
        self._waiting.append((tag, data))
        self._some.set()

    async def run(self) -> None:
        while True:
            await self._some.wait()
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
                await asyncio.gather(*(self._publish(tag, data) for tag, data in some))
            self._some.clear()
            if self._dropped:
                logger.error("%d events of the link were dropped: the bus did not take them in time", self._dropped)
                self._dropped = 0

    async def _publish(self, tag: str, data: dict[str, Any]) -> None:
        unknown: AckUnknown | None = None
        while True:
            try:
                if unknown is None:
                    await self._bus.publish(tag, data)
                else:
                    await self._bus.retry(unknown)
            except AckUnknown as error:
                unknown = error
            except ConnectionLost:
                pass
            except SylviteError as error:
                if error.code not in PASSING:
                    logger.error("an event %s could not be published: %s", tag, error)
                    return
            else:
                return
            await asyncio.sleep(AGAIN_S)
