"""Clients of a stream of server-sent events: as light as can be, so that what is measured is the server.

A client reads bytes from a socket, and counts how often the mark of an event is in them; nothing is decoded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import cast

AT_ONCE = 100
"""Connections that are made at the same time."""
LOOK_S = 0.002


class Client(asyncio.Protocol):
    """`status`: of the answer, 0 until it has begun.  `events`: how many have come; `last_at`: when the last one did."""

    def __init__(self, request: bytes, mark: bytes) -> None:
        self.status: int = 0
        self.events: int = 0
        self.last_at = 0.0
        self.answered = asyncio.Event()
        self._request, self._mark = request, mark
        self._head: bytes = b""
        self._rest: bytes = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.status:
            data = self._read_head(data)
        data = self._rest + data
        if found := data.count(self._mark):
            self.events += found
            self.last_at = time.monotonic()
        self._rest = data[-(len(self._mark) - 1) :]  # Of a mark that was cut.

    def _read_head(self, data: bytes) -> bytes:
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return b""
        self.status, self._head = int(head.split(b" ", 2)[1]), b""
        self.answered.set()
        return rest


class Clients:
    """All clients of one measurement.  `make`: the request of each, by its number."""

    def __init__(self, port: int, make: Callable[[int], bytes], mark: bytes) -> None:
        self._port, self._make, self._mark = port, make, mark
        self.all: list[Client] = []

    async def connect(self, count: int, within_s: float) -> list[Client]:
        """Connect so many more; return those that were answered with a stream in time."""
        room, new = asyncio.Semaphore(AT_ONCE), list[Client]()

        async def one(number: int) -> None:
            client = Client(self._make(number), self._mark)
            new.append(client)
            async with room:
                await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", self._port)
            await client.answered.wait()

        tasks = [asyncio.create_task(one(len(self.all) + number)) for number in range(count)]
        await asyncio.wait(tasks, timeout=within_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.all += new
        return [client for client in new if client.status == 200]

    def close(self) -> None:
        for client in self.all:
            if client.transport is not None:
                client.transport.abort()
        self.all.clear()


def total(clients: Sequence[Client]) -> int:
    return sum(client.events for client in clients)


async def all_have(clients: Sequence[Client], counts: Sequence[int], within_s: float) -> bool:
    """Wait until each of the clients has so many events; return whether that was in time."""
    until = time.monotonic() + within_s
    waiting = list(zip(clients, counts, strict=True))
    while waiting := [(client, count) for client, count in waiting if client.events < count]:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(LOOK_S)
    return True
