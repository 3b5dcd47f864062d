"""A master that does deeds while it holds a lease: `python -m tests.faults.lease_program NODE URLS CREDENTIALS LIFE_S PORT STAND_AT`.

It asks the place where they are done, on PORT, which number is next, and does one deed after the other.  Before the deed
STAND_AT it stops itself (SIGSTOP), at the worst moment: it has looked whether the lease is its own, and not yet acted.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from sylvite.cluster.connection import Connection
from sylvite.cluster.leases import Lease, Leases
from sylvite.cluster.settings import ClusterSettings
from sylvite.errors import LeaseLost

EVERY_S = 0.02
NAME = "deeds"


class Place:
    """The other end of the place where deeds are done."""

    def __init__(self, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._node, self._reader, self._writer = node, reader, writer

    async def ask(self, **question: Any) -> dict[str, Any]:
        self._writer.write(json.dumps({"node": self._node, **question}).encode() + b"\n")
        await self._writer.drain()
        line = await self._reader.readline()
        if not line:
            raise SystemExit(0)
        return json.loads(line)


async def _work(lease: Lease, place: Place, stand_at: int) -> None:
    while True:
        await lease.held()
        number = (await place.ask(what="next"))["number"]
        try:
            while True:
                fence = lease.fence()
                if number == stand_at:
                    os.kill(os.getpid(), signal.SIGSTOP)
                answer = await place.ask(what="do", number=number, fence=list(fence))
                if not answer["done"]:
                    break
                number += 1
                await asyncio.sleep(EVERY_S)
        except LeaseLost:
            pass
        if number >= stand_at:
            stand_at = sys.maxsize
        await place.ask(what="lost")
        await lease.lost()


async def main(node: str, urls: str, credentials: str, life_s: str, port: str, stand_at: str) -> None:
    settings = ClusterSettings(servers=tuple(urls.split(",")), node=node, credentials=credentials)
    place = Place(node, *await asyncio.open_connection("127.0.0.1", int(port)))
    async with await Connection.open(settings, name=node) as connection:
        leases = await Leases(connection, life_s=float(life_s)).open()
        async with leases.hold(NAME) as lease:
            await place.ask(what="ready")
            await _work(lease, place, int(stand_at))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
