"""The link for real: two brokers as processes, TLS on loopback, a keyring on the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sylvite import Event
from sylvite.auth.enrolment import Pins, read_pins
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import State
from sylvite.auth.keys import KeyPair, make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.link import master_end, minion_end
from sylvite.link.gatekeeper import Gatekeeper, announce_due
from sylvite.link.master_end import MasterEnd
from sylvite.link.minion_end import OUTBOX_TAG, MinionEnd
from sylvite.testing.broker import BrokerProcess

WITHIN_S = 20.0
JID = "20261123224631804181"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
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
        self.master_pair, self.minion_pair = make_pair(), make_pair()
        self.port = 0

    @asynccontextmanager
    async def master(self) -> AsyncGenerator[MasterEnd]:
        socket = str(self.master_broker.socket)
        async with AsyncClient.connect(socket) as bus:
            with Keyring.open(self.keys) as keyring:
                end = MasterEnd(
                    bus, Gatekeeper(keyring), partial(announce_due, self.keys, socket), self.master_pair, name="master"
                )
                self.port = await end.start("127.0.0.1", self.port)
                try:
                    yield end
                finally:
                    await end.stop()

    @asynccontextmanager
    async def minion(
        self, id_: str = "alpha", pair: KeyPair | None = None, pins: Pins | None = None
    ) -> AsyncGenerator[MinionEnd]:
        pins = pins or read_pins([self.master_pair.fingerprint])
        async with AsyncClient.connect(self.minion_broker.socket) as bus:
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
        await bus.publish(OUTBOX_TAG, {"tag": tag, "data": data or {}, "events": None, "pretag": None})


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


def test_an_event_of_a_minion_reaches_the_masters_bus_in_salts_shape(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), node.minion(), buses(node) as (master, minion):
            await node.fire(minion, "myco/mytag/success", {"message": "It works!"})
            (event,) = await take(master, 1, "myco/")
            assert event.sender == "minion:alpha"
            assert {key: event.data[key] for key in ("id", "cmd", "tag", "data")} == {
                "id": "alpha",
                "cmd": "_minion_event",
                "tag": "myco/mytag/success",
                "data": {"message": "It works!"},
            }
            assert abs(event.data["ts"] - time.time()) < 60

    play(tmp_path, scene)


def test_a_minion_waits_until_its_key_is_accepted(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        async with node.master(), node.minion() as end, buses(node) as (master, minion):
            await node.fire(minion, "myco/early")
            await until(lambda: bool(node.keyring.all_keys("alpha")))
            (key,) = node.keyring.all_keys("alpha")
            assert key.state is State.PENDING
            assert not end.is_up
            node.keyring.accept("alpha", node.minion_pair.fingerprint, time.time_ns())
            await take(master, 1, "myco/early")
            acts = [event.data["act"] for event in await take(master, 2, "salt/key")]
            assert acts == ["pending", "accepted"]
            asked = [event.data["act"] for event in await take(master, 1, "salt/auth")]
            assert asked[0] == "pend"

    play(tmp_path, scene)


def test_what_is_fired_while_the_master_is_away_arrives_once_and_in_order(tmp_path: Path) -> None:
    """The master's link is stopped and started again, and the minion's too, under a minion that goes on firing."""

    async def scene(node: Node) -> None:
        node.accept()
        async with buses(node) as (master, minion):
            number = 0

            async def some(count: int) -> None:
                nonlocal number
                for _ in range(count):
                    await node.fire(minion, f"myco/{number % 7}", {"n": number})
                    number += 1

            await some(20)
            for _ in range(3):
                async with node.master():
                    async with node.minion() as end:
                        await until(lambda: end.is_up)
                        await some(30)
                    await some(10)
                    async with node.minion():
                        await some(30)
                await some(10)
            async with node.master(), node.minion():
                events = await take(master, number, "myco/")
            await asyncio.sleep(0)
            assert [event.data["data"]["n"] for event in events] == list(range(number))
            everything = [event async for event in await master.subscribe("myco/", since="oldest", until_end=True)]
            assert len(everything) == number

    play(tmp_path, scene)


def test_a_key_that_is_revoked_has_its_session_ended(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master() as end, node.minion() as minion_end_, buses(node) as (master, minion):
            await until(lambda: minion_end_.is_up)
            node.keyring.revoke("alpha", node.minion_pair.fingerprint, time.time_ns())
            await until(lambda: not end.sessions)
            await node.fire(minion, "myco/late")
            assert not [event async for event in await master.subscribe("myco/", since="oldest", until_end=True)]

    play(tmp_path, scene)


def test_a_master_with_another_key_is_told_nothing(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        other = read_pins([make_pair().fingerprint])
        async with node.master(), node.minion(pins=other) as end, buses(node) as (master, minion):
            await node.fire(minion, "myco/secret")
            await asyncio.sleep(0.3)
            assert not end.is_up
            assert node.keyring.all_keys() == []
            assert not [event async for event in await master.subscribe(since="oldest", until_end=True)]

    play(tmp_path, scene)


def test_a_job_goes_down_to_the_minions_it_names_and_its_return_comes_up(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), node.minion() as end, buses(node) as (master, minion):
            await until(lambda: end.is_up)
            job: dict[str, Any] = {
                "jid": JID,
                "fun": "test.ping",
                "arg": [],
                "tgt": "*",
                "tgt_type": "glob",
                "user": "root",
            }
            await master.publish(f"salt/job/{JID}/new", {**job, "minions": ["alpha"], "missing": []})
            await master.publish(f"salt/job/{JID}/publish", {**job, "ret": ""})
            (down,) = await take(minion, 1, "salt/job/")
            assert (down.tag, down.data["fun"]) == (f"salt/job/{JID}/publish", "test.ping")
            load = {"cmd": "_return", "jid": JID, "return": True, "retcode": 0, "success": True, "fun": "test.ping"}
            await minion.publish(OUTBOX_TAG, load)
            (back,) = await take(master, 1, f"salt/job/{JID}/ret/")
            assert (back.tag, back.data["return"]) == (f"salt/job/{JID}/ret/alpha", True)

    play(tmp_path, scene)


def test_what_a_minion_may_not_write_is_refused_and_told(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), node.minion(), buses(node) as (master, minion):
            await node.fire(minion, "salt/key", {"act": "accept"})
            await node.fire(minion, "salt/minion/beta/start")
            await node.fire(minion, "myco/fine")
            await take(master, 1, "myco/fine")
            told = await take(master, 1, "salt/link/refused")
            assert told[0].data["id"] == "alpha"
            assert told[0].data["first_tag"] == "salt/key"
            keys = [event async for event in await master.subscribe("salt/key", since="oldest", until_end=True)]
            assert all(event.sender.startswith("uid:") for event in keys)

    play(tmp_path, scene)


def test_a_stranger_with_an_id_that_is_taken_is_denied(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), buses(node) as (master, minion):
            async with node.minion() as end:
                await until(lambda: end.is_up)
            await node.fire(minion, "myco/forged")
            async with node.minion(pair=make_pair()) as stranger:
                await until(lambda: len(node.keyring.all_keys("alpha")) == 2)
                assert not stranger.is_up
            assert State.DENIED in {key.state for key in node.keyring.all_keys("alpha")}
            assert not [event async for event in await master.subscribe("myco/", since="oldest", until_end=True)]

    play(tmp_path, scene)
