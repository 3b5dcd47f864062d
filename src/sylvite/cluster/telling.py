"""Telling: events of the bridge's own, below sylvite/cluster/ on this master's bus.  One of each kind now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from sylvite.client.async_client import AsyncClient
from sylvite.errors import SylviteError

AGAIN_S = 10.0
"""Between two events of one kind about the same; those in between are counted."""
WAITING_MAX = 1000
EXPECTED = frozenset(("joined", "left", "back"))
TURNS = {
    "joined": ("left", "lost"),
    "left": ("joined",),
    "lost": ("joined",),
    "cut_off": ("back",),
    "back": ("cut_off",),
}
"""What is told makes the other one news again, however soon it comes: who reads has to know how things stand."""

Facts = Mapping[str, str | int | float | bool | None]
logger = logging.getLogger("sylvite.cluster")


class Telling:
    def __init__(self, bus: AsyncClient) -> None:
        self._bus = bus
        self._waiting: asyncio.Queue[tuple[str, Facts]] = asyncio.Queue(WAITING_MAX)
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def tell(self, name: str, about: str = "", **facts: str | int | float | bool | None) -> None:
        """Publish `sylvite/cluster/<name>`; `about`: what it is about: a master, say."""
        now_s = time.monotonic()
        last_s, untold = self._told.get((name, about), (-AGAIN_S, 0))
        if now_s - last_s < AGAIN_S or self._waiting.full():
            self._told[name, about] = (last_s, untold + 1)
            return
        self._told[name, about] = (now_s, 0)
        for other in TURNS.get(name, ()):
            if told := self._told.get((other, about)):
                self._told[other, about] = (-AGAIN_S, told[1])
        if untold:
            facts["untold"] = untold
        said = ", ".join(f"{key}={value}" for key, value in facts.items())
        logger.log(logging.INFO if name in EXPECTED else logging.WARNING, "%s: %s", name, said)
        self._waiting.put_nowait((name, facts))

    async def finish(self) -> None:
        """Wait until all of it is told, which `run` does meanwhile."""
        await self._waiting.join()

    async def run(self) -> None:
        while True:
            name, facts = await self._waiting.get()
            while True:
                try:
                    await self._bus.ask("cluster_event", name=name, data=dict(facts))
                except SylviteError as error:
                    logger.debug("%s is not told yet: %s", name, error)
                    await asyncio.sleep(1.0)
                else:
                    self._waiting.task_done()
                    break
