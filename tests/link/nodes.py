"""A master and a minion: two brokers as processes, TLS on loopback, a keyring on the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sylvite import Event
from sylvite.auth.enrolment import Pins, read_pins
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.auth.keys import KeyPair, make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.core.known_tags import OUTBOX
from sylvite.link import master_end, minion_end
from sylvite.link.gate import Gate
from sylvite.link.herald import Herald
from sylvite.link.master_end import MasterEnd
from sylvite.link.minion_end import MinionEnd
from sylvite.link.roll import Roll
from sylvite.link.settings import LinkSettings
from sylvite.testing.broker import BrokerProcess

WITHIN_S = 60.0
SETTINGS = LinkSettings(name="master")
JID = "20261123224631804181"


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are for people and networks are short here."""
    monkeypatch.setattr(minion_end, "BACK_OFF_S", (0.02, 0.1))
    monkeypatch.setattr(master_end, "LOOK_S", 0.05)
    monkeypatch.setattr(master_end, "REPORT_S", 0.1)
    monkeypatch.setattr("sylvite.link.gatekeeper.RETRY_S", 0.05)
    monkeypatch.setattr("sylvite.link.gatekeeper.SOON_S", 0.05)


class Node:
    """A master and a minion, each with a bus of its own."""

    def __init__(self, folder: Path, master: BrokerProcess, minion: BrokerProcess) -> None:
        self.folder, self.master_broker, self.minion_broker = folder, master, minion
        self.keys = folder / "keys"
        self.keyring = Keyring.open(self.keys, make=True)
        self.minion_pair = make_pair()
        with KeyFolder(self.keys) as keys:
            self.master_pair, _ = load_or_make_pair(keys, "master")
        self.port = 0

    @asynccontextmanager
    async def master(self, settings: LinkSettings = SETTINGS) -> AsyncGenerator[MasterEnd]:
        socket = str(self.master_broker.socket)
        async with AsyncClient.connect(socket) as bus:
            gate = await Gate.open(self.keys, socket)
            herald = Herald(bus)
            roll = await Roll.open(self.folder / "minions.db", herald, settings)
            end = MasterEnd(bus, gate, self.master_pair, settings, herald=herald, roll=roll)
            try:
                self.port = await end.start("127.0.0.1", self.port)
                yield end
            finally:
                await end.stop()
                await roll.close()
                await gate.close()

    @asynccontextmanager
    async def minion(
        self, id_: str = "alpha", pair: KeyPair | None = None, pins: Pins | None = None, socket: Path | None = None
    ) -> AsyncGenerator[MinionEnd]:
        pins = pins or read_pins([self.master_pair.fingerprint])
        async with AsyncClient.connect(socket or self.minion_broker.socket) as bus:
            end = MinionEnd(bus, pair or self.minion_pair, id_, [("127.0.0.1", self.port)], pins)
            await end.start()
            try:
                yield end
            finally:
                await end.stop()

    def accept(self) -> None:
        """Accept the minion's key before it asks."""
        self.keyring.expect("alpha", self.minion_pair.fingerprint, time.time_ns())

    async def fire(self, bus: AsyncClient, tag: str, data: dict[str, Any] | None = None) -> None:
        await bus.publish(OUTBOX, {"tag": tag, "data": data or {}, "events": None, "pretag": None})


@asynccontextmanager
async def buses(node: Node) -> AsyncGenerator[tuple[AsyncClient, AsyncClient]]:
    """The buses of master and minion."""
    connected = AsyncClient.connect
    async with connected(node.master_broker.socket) as master, connected(node.minion_broker.socket) as minion:
        yield master, minion


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.01)


async def take(bus: AsyncClient, count: int, pattern: str) -> list[Event]:
    """Return the first events of a pattern, from the log's beginning."""
    found: list[Event] = []
    async with asyncio.timeout(WITHIN_S):
        async with await bus.subscribe(pattern, since="oldest") as subscription:
            while len(found) < count:
                event = await subscription.next()
                assert event is not None
                found.append(event)
    return found


def play(tmp_path: Path, scene: Callable[[Node], Awaitable[None]]) -> None:
    """Run a scene with two brokers."""
    with BrokerProcess(tmp_path / "master") as master, BrokerProcess(tmp_path / "minion") as minion:
        node = Node(tmp_path, master, minion)

        async def run() -> None:
            await scene(node)

        try:
            asyncio.run(run())
        finally:
            node.keyring.close()
