"""C-14: loads and messages that cannot be read, from a minion that was let in; and a part of C-06: how refusals are told."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sylvite.auth.keys import make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.core.event import pack_data
from sylvite.errors import InvalidData
from sylvite.link import master_end, minion_session
from sylvite.link.forwarding import EVENTS_MAX
from sylvite.link.messages import Facts, Prove, Taken, Up, encode
from tests.faults.link_agents import Agent, all_closed, come_back, p99
from tests.faults.report import control, report
from tests.link.nodes import Node, hurry, play

BASE_S = 0.05
P99_TIMES = 20.0
"""The target is 1; both ends and all minions share the process of the test."""
DEEP = 100_000
WORK = {"link: keys", "link: jobs", "link: door", "link: events"}
"""Tasks of a master that none of it may end."""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    hurry(monkeypatch)


def _loads() -> Iterator[bytes]:
    """Loads of every kind that is none."""
    yield from (
        b"",
        b"\xc1",
        b"\xff" * 100,
        b"\x80",
        b"\x90",
        b"\xc0",
        b"\x01",
        b"\xa1a",
        b"\x81\xa1a",
        b"\xdf\xff\xff\xff\xff",
    )
    yield from (b"\x91" * DEEP, b"\x81\xa1a" * DEEP, b"\xc7\x01\x05x", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff")
    yield b"\x82\xa3tag\xa1a\xa3tag\xa1b"  # The same key twice.
    yield b"\x81\x01\x02"  # A key that is no text.
    yield b"\x82\xa3tag\xa2\xff\xfe\xa4data\x80"  # No UTF-8.
    values: tuple[Any, ...] = (
        None,
        True,
        -1,
        2**63,
        1.5,
        float("nan"),
        "",
        "x" * 300,
        "a\0b",
        "a\nb",
        [],
        {},
        [[]],
        b"\xff",
    )
    for value in values:
        for name in ("tag", "data", "events", "pretag", "id", "cmd", "jid"):
            yield msgspec.msgpack.encode(
                {"tag": "load/poison", "data": {}, name: value} | ({"return": 1} if name == "jid" else {})
            )
        yield msgspec.msgpack.encode({"events": [value], "pretag": value})
        yield msgspec.msgpack.encode({"cmd": "_return", "jid": value, "return": value})
    yield pack_data({"events": [{"tag": "load/poison"}] * (EVENTS_MAX + 1)})
    yield pack_data({"events": [{"tag": "load/poison", "data": {"pad": "x" * 100_000}}] * 9})
    yield pack_data({"tag": "load/poison", "data": "x" * (1024 * 1024 - 100)})


LOADS = tuple(_loads())


def _messages(agent: Agent) -> Iterator[bytes]:
    """What no uplink says: each ends the connection of who says it."""
    good = pack_data({"tag": "load/poison", "data": {}})
    yield encode(Up(agent.epoch, [(2**63, good)]))
    yield encode(Up(agent.epoch + 1, [(5, good), (5, good)]))
    yield encode(Prove(1, b""))
    yield encode(Taken(1, 1))
    yield encode(Facts(b"\xc1" * 300_000))
    yield struct.pack(">I", 2**32 - 1)
    yield struct.pack(">I", 1) + b"\xc8"
    yield struct.pack(">I", 3) + b"\x04\xc1\xc1"
    yield bytes(64)


def _poison(tmp_path: Path, rounds: int, *, without: str | None = None) -> None:
    counters: dict[str, float] = {}
    tried = 0

    async def scene(node: Node) -> None:
        nonlocal tried
        async with node.master(), AsyncClient.connect(node.master_broker.socket) as bus:
            agents = [Agent(id_, make_pair(), node.master_pair.fingerprint) for id_ in ("good", "bad", "rude")]
            for agent in agents:
                node.keyring.expect(agent.id, agent.pair.fingerprint, 0)
            good, bad, rude = agents
            await asyncio.gather(*(come_back(agent, node.port) for agent in (good, bad)))
            quiet = asyncio.create_task(asyncio.sleep(0.5))
            quiet_s = await _send_on(good, quiet)

            async def poison() -> None:
                nonlocal tried
                for _ in range(rounds):
                    for load in LOADS:
                        bad.send(load)
                        bad.fire("load/after", {})
                        tried += 1
                    async with asyncio.timeout(60):
                        await bad.all_taken()
                    for message in list(_messages(rude)):
                        await come_back(rude, node.port)
                        rude.raw(message)
                        await asyncio.wait_for(rude.gone(), 20)
                        tried += 1

            worst_s = await _send_on(good, asyncio.create_task(poison()))
            counters["minions_lost"] = int(not good.is_up) + int(not bad.is_up)
            counters["held_up"] = rounds * len(LOADS) - await _count(bus, "load/after")
            counters["p99_times"] = round(max(worst_s, BASE_S) / max(quiet_s, BASE_S), 1)
            counters["work_that_has_ended"] = 4 - len(WORK & {task.get_name() for task in asyncio.all_tasks()})
            await asyncio.sleep(2 * master_end.REPORT_S)
            told = [
                event.data async for event in await bus.subscribe("salt/link/refused", since="oldest", until_end=True)
            ]
            counters["refusals_not_told"] = max(0, rounds * len(LOADS) // 2 - sum(each["count"] for each in told))
            counters["told_in_events"] = len(told)
            for agent in agents:
                agent.leave()
            await all_closed()

    play(tmp_path, scene)
    limits = dict.fromkeys(("minions_lost", "held_up", "work_that_has_ended", "refusals_not_told"), 0.0) | {
        "p99_times": P99_TIMES
    }
    report("C-14", seed=0, runs=tried, counters=counters, target=limits, without=without)


async def _send_on(agent: Agent, during: asyncio.Task[None]) -> float:
    """Let a minion send as long as a task runs; return the p99 of how long its events took."""
    agent.taken_s.clear()
    while not during.done():
        agent.fire("load/good", {})
        await asyncio.sleep(0.02)
    await during
    await agent.all_taken()
    return p99(agent.taken_s)


async def _count(bus: AsyncClient, tag: str) -> int:
    return len([event async for event in await bus.subscribe(tag, since="oldest", until_end=True)])


def test_what_cannot_be_read_holds_nobody_up(tmp_path: Path) -> None:
    """150 kinds of loads, and nine of messages."""
    _poison(tmp_path, 1)


@pytest.mark.long
def test_what_cannot_be_read_again_and_again(tmp_path: Path) -> None:
    """A hundred rounds of all kinds."""
    _poison(tmp_path, 100)


def test_a_master_that_is_upset_by_a_load_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: who cannot be understood is shown the door, and comes again with the same."""

    def upset(*arguments: Any) -> Any:
        try:
            return unpack(*arguments)
        except InvalidData as error:
            raise TimeoutError(str(error)) from error

    unpack = minion_session.unpack_data
    monkeypatch.setattr(minion_session, "unpack_data", upset)
    with control("C-14", without="refusing a load alone", by=(Exception,)):
        _poison(tmp_path, 1, without="refusing a load alone")


def _refuse_many(tmp_path: Path, count: int) -> None:
    counters: dict[str, float] = {}

    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), AsyncClient.connect(node.master_broker.socket) as bus:
            agent = Agent("alpha", node.minion_pair, node.master_pair.fingerprint)
            await come_back(agent, node.port)
            for number in range(count):
                agent.fire("salt/key", {"act": "accept", "id": "beta", "n": number})
            await agent.all_taken()
            agent.leave()
            await all_closed()
            await asyncio.sleep(2 * master_end.REPORT_S)
            told = [
                event.data async for event in await bus.subscribe("salt/link/refused", since="oldest", until_end=True)
            ]
            keys = [event.data async for event in await bus.subscribe("salt/key", since="oldest", until_end=True)]
            counters["accepted"] = sum("n" in data for data in keys)
            counters["refusals_not_told"] = count - sum(each["count"] for each in told)
            counters["told_in_events"] = len(told)

    play(tmp_path, scene)
    target = {"accepted": 0.0, "refusals_not_told": 0.0, "told_in_events": count / 10}
    report("C-06 telling", seed=0, runs=count, counters=counters, target=target)


def test_many_refusals_are_told_in_few_events(tmp_path: Path) -> None:
    _refuse_many(tmp_path, 500)
