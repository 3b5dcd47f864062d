"""Intake: what minions send up, on its way onto the master's bus; and what was refused of it, told now and then."""

from __future__ import annotations

import asyncio
from itertools import groupby

from sylvite.auth.keyring_values import Identity
from sylvite.client.async_client import AsyncClient
from sylvite.errors import AckUnknown, ConnectionLost, StaleSequence
from sylvite.link.forwarding import Refusal
from sylvite.link.herald import AGAIN_S, PASSING, Herald
from sylvite.link.minion_session import Arrived, Block

REFUSED_TAG = "salt/link/refused"
TURNS = 16
"""So many minions have what they have sent brought at a time; the others wait for their turn."""


class Intake:
    def __init__(self, bus: AsyncClient, herald: Herald) -> None:
        self._bus, self._herald = bus, herald
        self._refused: dict[str, tuple[int, Refusal]] = {}
        self._turns = asyncio.Semaphore(TURNS)

    async def store(self, who: Identity, loads: list[Arrived]) -> None:
        """Bring loads of a minion onto the bus, and return once they are synced there.  They keep their order."""
        for load in loads:
            for refusal in load.refusals:
                self._refuse(who, refusal)
        for source_epoch, of_source in groupby(loads, key=lambda load: load.source_epoch):
            blocks = [block for load in of_source for block in load.blocks]
            while blocks:
                async with self._turns:
                    blocks = await self._bring(who, source_epoch, blocks)
                if blocks:
                    await asyncio.sleep(AGAIN_S)

    async def _bring(self, who: Identity, source_epoch: int, blocks: list[Block]) -> list[Block]:
        """Return what has to be brought again: it is not known to be stored, and the broker does not store it twice."""
        said = [(block.seq, block.packed, block.events, block.passage) for block in blocks]
        try:
            answers = await self._bus.relay_many(f"minion:{who.id}", source_epoch, said)
        except ConnectionLost:
            return blocks
        again: list[Block] = []
        for block, error in zip(blocks, answers, strict=True):
            if isinstance(error, AckUnknown) or (error is not None and error.code in PASSING):
                again.append(block)
            elif error is not None and not isinstance(error, StaleSequence):
                self._refuse(who, Refusal("", str(error)))
            # Stale: it came before, and is so old that the log does not tell any more.
        return again

    def _refuse(self, who: Identity, refusal: Refusal) -> None:
        count, first = self._refused.get(who.id, (0, refusal))
        self._refused[who.id] = (count + 1, first)

    def report(self) -> None:
        """Tell what was refused since the last time: one event for each minion."""
        refused, self._refused = self._refused, {}
        for id_, (count, first) in refused.items():
            data = {"id": id_, "count": count, "first_tag": first.tag[:256], "reason": first.reason[:512]}
            self._herald.tell(REFUSED_TAG, data)
