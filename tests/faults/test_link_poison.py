"""C-14: loads and messages that cannot be read, from a minion that was let in; and a part of C-06: how refusals are told."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_pair
from sylvite.client.async_client import AsyncClient
from sylvite.link import master_end
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.link_agents import Agent, all_closed, come_back, p99
from tests.faults.link_site import LinkSite
from tests.faults.poison import AFTER
from tests.faults.report import control, report
from tests.link.nodes import JID, Node, hurry, play

BASE_S = 0.02
"""A p99 below this is taken for it: the rest is the disk, and the machine."""
P99_TIMES = 10.0
"""While it comes: a mebibyte of it is written and synced, what of it is good, before what comes after it, and at the pace of
somebody who does nothing else.
"""
AFTERWARDS_TIMES = 2.0
"""Once it has come: what no worker got stuck with changes nothing."""
QUIET_S = 10.0
ELSEWHERE = 19
"""How nice the poisoner is: it has a machine of its own, and does not take the processor from who is poisoned."""
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.link_parent") as parent:
        yield parent


class Done(msgspec.Struct):
    """What the poisoner has done so far."""

    tried: int = 0
    loads: int = 0
    bad_is_up: bool = True


@asynccontextmanager
async def _poisoner(site: LinkSite, within_s: float) -> AsyncGenerator[Callable[[], Awaitable[Done]]]:
    """Start it; what is given has it do all of it once."""
    words = (str(site.port), site.master.fingerprint, str(site.folder), str(within_s))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.poison", *words, stdin=PIPE, stdout=PIPE
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, ELSEWHERE)
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    async def do() -> Done:
        stdin.write(b"again\n")
        return msgspec.json.decode(await stdout.readline(), type=Done)

    try:
        yield do
    finally:
        stdin.close()
        await process.wait()


async def _send_on(agent: Agent, during: asyncio.Future[Done] | asyncio.Task[None]) -> list[float]:
    """Let a minion send as long as something lasts; return how long its events took."""
    agent.taken_s.clear()
    while not during.done():
        agent.fire("load/good", {})
        await asyncio.sleep(0.02)
    await agent.all_taken()
    return list(agent.taken_s)


async def _p99_of_quiet(agent: Agent, rounds: int) -> float:
    return p99(await _send_on(agent, asyncio.create_task(asyncio.sleep(QUIET_S if rounds > 1 else 1.0))))


async def _works_on(site: LinkSite, bus: AsyncClient, good: Agent) -> int:
    """Return how many parts of the link's work do not go on: jobs go down, keys are looked at, who comes is let in."""
    await bus.publish(f"salt/job/{JID}/new", {"jid": JID, "minions": [good.id], "missing": []})
    await bus.publish(f"salt/job/{JID}/publish", {"jid": JID, "fun": "test.ping"})
    has_job = await _comes(lambda: bool(good.uplink.downs))
    good.leave()
    await good.gone()
    is_back = await _comes(lambda: good.is_up, come_back(good, site.port))
    with Keyring.open(site.keys) as keyring:
        keyring.revoke(good.id, good.pair.fingerprint, time.time_ns())
    return [has_job, is_back, await _comes(lambda: not good.is_up)].count(False)


async def _comes(holds: Callable[[], bool], work: Awaitable[None] | None = None) -> bool:
    try:
        async with asyncio.timeout(WITHIN_S):
            if work is not None:
                await work
            while not holds():
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False
    return True


def _poison(forks: Forks, folder: Path, rounds: int, *, without: str | None = None) -> None:
    site = LinkSite(
        forks, folder, ids=("good", "bad", "rude"), silent_s=WITHIN_S, without={"link": without} if without else None
    )
    site.start("broker", "link")
    counters: dict[str, float] = {}
    done = Done()

    async def scene() -> None:
        with KeyFolder(site.of("good") / "pki") as keys:
            good = Agent("good", load_pair(keys, "minion"), site.master.fingerprint)
        try:
            async with AsyncClient.connect(site.bus) as bus, _poisoner(site, 5.0 if without else WITHIN_S) as do:
                await watch(bus, good, do)
        finally:
            good.leave()
            await all_closed()

    async def watch(bus: AsyncClient, good: Agent, do: Callable[[], Awaitable[Done]]) -> None:
        nonlocal done
        await come_back(good, site.port)
        quiet_s = await _p99_of_quiet(good, rounds)
        taken_s: list[float] = []
        for _ in range(rounds):
            once = asyncio.ensure_future(do())
            taken_s += await _send_on(good, once)
            done = await once
        poisoned_s, refused = p99(taken_s), rounds * done.loads // 2
        counters["minions_lost"] = int(not good.is_up) + int(not done.bad_is_up)
        counters["held_up"] = rounds * done.loads - await _count(bus, AFTER)
        counters["p99_times"] = round(max(poisoned_s, BASE_S) / max(quiet_s, BASE_S), 1)
        if rounds > 1:
            afterwards_s = await _p99_of_quiet(good, rounds)
            counters["afterwards_times"] = round(max(afterwards_s, BASE_S) / max(quiet_s, BASE_S), 1)
        counters["p99_ms"], counters["quiet_ms"] = round(1000 * poisoned_s, 1), round(1000 * quiet_s, 1)
        counters["work_that_has_ended"] = await _works_on(site, bus, good)
        told = await _told_of(bus, refused)
        counters["refusals_not_told"], counters["told_in_events"] = max(0, refused - sum(told)), len(told)

    try:
        asyncio.run(scene())
    finally:
        site.close()
    counters["tracebacks"] = len(site.tracebacks())
    zero = ("minions_lost", "held_up", "work_that_has_ended", "refusals_not_told", "tracebacks")
    limits: dict[str, float] = dict.fromkeys(zero, 0.0)
    if rounds > 1:  # Seconds mean something where nothing else runs beside it.
        limits |= {"p99_times": P99_TIMES, "afterwards_times": AFTERWARDS_TIMES}
    report("C-14", seed=0, runs=done.tried, counters=counters, target=limits, without=without)


async def _told_of(bus: AsyncClient, count: int) -> list[int]:
    """Return how many refusals each event tells of, once they are so many, or no more come."""
    told: list[int] = []
    async with await bus.subscribe("salt/link/refused", since="oldest") as subscription:
        while sum(told) < count and (event := await subscription.next(WITHIN_S)) is not None:
            told.append(event.data["count"])
    return told


async def _count(bus: AsyncClient, tag: str) -> int:
    return len([event async for event in await bus.subscribe(tag, since="oldest", until_end=True)])


def test_what_cannot_be_read_holds_nobody_up(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """150 kinds of loads, and nine of messages."""
    _poison(forks, tmp_path_factory.mktemp("c14"), 1)


@pytest.mark.long
def test_what_cannot_be_read_again_and_again(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A hundred rounds of all kinds."""
    _poison(forks, tmp_path_factory.mktemp("c14"), 100)


def test_a_master_that_is_upset_by_a_load_is_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control: who cannot be understood is shown the door, and comes again with the same."""
    with control("C-14", without="refusing a load alone", by=(AssertionError, msgspec.DecodeError)):
        _poison(forks, tmp_path_factory.mktemp("c14"), 1, without="refusing a load alone")


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


def test_many_refusals_are_told_in_few_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    _refuse_many(tmp_path, 500)
