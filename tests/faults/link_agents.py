"""Simulated minions, many in one process: real keys, real TLS, the real uplink, and no log."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Sequence
from typing import cast

from sylvite.auth.enrolment import Token
from sylvite.auth.keys import Fingerprint, KeyPair
from sylvite.core.event import pack_data
from sylvite.errors import ConnectionLost, SylviteError
from sylvite.link.tls import minion_context
from sylvite.link.uplink import Load, Uplink

LET_IN_WITHIN_S = 60.0
CLOSED_AFTER = 20
"""Rounds of a loop, each with a moment for the network."""
TLS = minion_context()
"""One for all of them."""


class Agent(asyncio.Protocol):
    """`epoch`: of the log that it has not got.  `taken_s`: how long the master took for each load that it has taken."""

    def __init__(self, id_: str, pair: KeyPair, master: Fingerprint) -> None:
        self.id, self.pair = id_, pair
        self.uplink = Uplink(pair, id_)
        self.epoch = int.from_bytes(os.urandom(6), "little")
        self.next = 0
        self.taken_s: list[float] = []
        self.error = ""
        self.token: Token | None = None
        self._master = master
        self._fired: deque[tuple[int, float]] = deque()
        self._transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()

    async def connect(self, port: int) -> None:
        """Connect, and wait for the verdict.  Raises OSError, ConnectionLost: there was none."""
        self.error = ""
        async with asyncio.timeout(LET_IN_WITHIN_S):
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port, ssl=TLS)
            await self._until(lambda: self.uplink.verdict is not None)

    @property
    def is_up(self) -> bool:
        return self._transport is not None and self.uplink.is_up

    def fire(self, tag: str, data: object, **more: object) -> None:
        """Send an event up."""
        self.send(pack_data({"id": self.id, "tag": tag, "data": data, "cmd": "_minion_event", **more}))

    def send(self, packed: bytes) -> None:
        """Send a load up, whatever it is."""
        self.uplink.offer(Load(self.epoch, self.next, packed))
        self._fired.append((self.next, time.monotonic()))
        self.next += 1
        self.write()

    def raw(self, data: bytes) -> None:
        """Say something that no uplink says."""
        if self._transport is not None:
            self._transport.write(data)

    async def all_taken(self) -> None:
        """Wait until the master has taken everything.  Raises ConnectionLost: the connection has ended before."""
        await self._until(lambda: not self._fired)

    async def gone(self) -> None:
        """Wait until the connection has ended."""
        while self._transport is not None:
            self._changed.clear()
            await self._changed.wait()

    def leave(self) -> None:
        """Go without a word."""
        if self._transport is not None:
            self._transport.abort()

    def write(self) -> None:
        if self._transport is not None:
            self._transport.writelines(self.uplink.take_bytes())

    async def _until(self, holds: object) -> None:
        assert callable(holds)
        while not holds():
            if self._transport is None:
                raise ConnectionLost(self.error or "the connection was lost")
            self._changed.clear()
            await self._changed.wait()

    # -- asyncio calls these -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.uplink.connect(self._master, self.token)

    def data_received(self, data: bytes) -> None:
        try:
            self.uplink.feed(data)
        except SylviteError as error:
            self.error = str(error)
            self.leave()
            return
        done, self.uplink.done = self.uplink.done, None
        now = time.monotonic()
        while done is not None and self._fired and self._fired[0][0] <= done.offset:
            self.taken_s.append(now - self._fired.popleft()[1])
        self.write()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = self.error or str(exc or "")
        self._transport = None
        verdict = self.uplink.verdict
        self.uplink.lost()
        self.uplink.verdict = verdict
        self._changed.set()


async def come_back(agent: Agent, port: int, *, pause_s: float = 0.2) -> None:
    """Connect, again and again, until the master lets it in."""
    while not agent.is_up:
        try:
            await agent.connect(port)
        except (OSError, ConnectionLost):
            pass  # It is away, or has closed; TimeoutError is an OSError.
        if not agent.is_up:
            agent.leave()
            await asyncio.sleep(pause_s * random.random())


async def all_closed() -> None:
    """Let connections that are about to close do so, before the loop ends."""
    for _ in range(CLOSED_AFTER):
        await asyncio.sleep(0.01)


def p99(values: Sequence[float]) -> float:
    """Return what all but one of a hundred are below."""
    return sorted(values)[len(values) * 99 // 100] if values else 0.0
