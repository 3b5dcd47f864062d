"""C-12: what strangers can do to a master before they have shown anything, while minions that were let in send on."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import PENDING_MAX, State
from sylvite.auth.keys import make_pair
from tests.faults import proc
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.link_agents import Agent, all_closed, come_back, p99
from tests.faults.link_site import LinkSite
from tests.faults.report import control, report

MINIONS = 10
BASE_S = 0.02
"""A p99 below this is taken for it: the rest is the disk, and the machine."""
P99_TIMES = 2.0
SHORT_P99_TIMES = 20.0
"""Of the short form: it compares one second with few, while other tests share processors and disk; 9 was seen."""
QUIET_S = 10.0
ELSEWHERE = 19
"""How nice strangers are: they have machines of their own, and do not take the processor from who is attacked."""
GROWTH_MIB = 32.0
ENDED_WITHIN_S = 25.0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.link_parent") as parent:
        yield parent


class Strangers(msgspec.Struct):
    """What they have done.  `kept`: connections that have shown nothing, and that the master has not ended in time."""

    tried: int = 0
    kept: int = 0


@asynccontextmanager
async def _strangers(
    site: LinkSite, scale: int, ended_s: float
) -> AsyncGenerator[Callable[[str], Awaitable[Strangers]]]:
    """Start them; what is given does one of the things that they can do, and says what they have done by then."""
    words = (str(site.port), site.master.fingerprint, str(scale), str(ended_s))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.strangers", *words, stdin=PIPE, stdout=PIPE
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, ELSEWHERE)

    async def do(kind: str) -> Strangers:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{kind}\n".encode())
        return msgspec.json.decode(await process.stdout.readline(), type=Strangers)

    try:
        yield do
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _measured(agents: list[Agent], during: asyncio.Future[Any]) -> float:
    """Let minions send as long as a task runs; return the p99 of how long their events took."""
    for agent in agents:
        agent.taken_s.clear()
    while not during.done():
        for agent in agents:
            agent.fire("load/good", {})
        await asyncio.sleep(0.1)
    await asyncio.gather(*(agent.all_taken() for agent in agents))
    return p99([taken for agent in agents for taken in agent.taken_s])


def _abuse(
    forks: Forks, folder: Path, scale: int, kinds: tuple[str, ...], *, is_long: bool = False, without: str | None = None
) -> None:
    site = LinkSite(forks, folder, hurried=False, without={"link": without} if without else None)
    site.start("broker", "link")
    strangers = Strangers()
    agents = [Agent(f"good{number}", make_pair(), site.master.fingerprint) for number in range(MINIONS)]
    with Keyring.open(site.keys) as keyring:
        for agent in agents:
            keyring.expect(agent.id, agent.pair.fingerprint, time.time_ns())
    counters: dict[str, float] = {}

    async def scene() -> None:
        async with _strangers(site, scale, 6.0 if without else ENDED_WITHIN_S) as do:
            await disturb(do)

    async def disturb(do: Callable[[str], Awaitable[Strangers]]) -> None:
        nonlocal strangers
        await asyncio.gather(*(come_back(agent, site.port) for agent in agents))
        quiet_s = await _measured(agents, asyncio.create_task(asyncio.sleep(QUIET_S if is_long else 1.0)))
        memory = proc.memory_bytes(site.parts["link"])
        worst_s = 0.0
        for kind in kinds:
            work = asyncio.ensure_future(do(kind))
            worst_s = max(worst_s, await _measured(agents, work))
            strangers = await work
        counters["lost_minions"] = sum(not agent.is_up for agent in agents)
        counters["growth_mib"] = round((proc.memory_bytes(site.parts["link"], "VmHWM") - memory) / 2**20, 1)
        counters["p99_times"] = round(max(worst_s, BASE_S) / max(quiet_s, BASE_S), 1)
        counters["p99_ms"] = round(1000 * worst_s, 1)
        counters["quiet_ms"] = round(1000 * quiet_s, 1)
        for agent in agents:
            agent.leave()
        await all_closed()

    try:
        asyncio.run(scene())
        with Keyring.open(site.keys) as keyring:
            waiting = sum(key.state in (State.PENDING, State.DENIED) for key in keyring.all_keys())
    finally:
        site.close()
    counters |= {
        "not_ended": strangers.kept,
        "waiting_beyond_the_limit": max(0, waiting - min(PENDING_MAX, 10)),
        "tracebacks": len(site.tracebacks()),
    }
    limits = dict.fromkeys(("lost_minions", "not_ended", "waiting_beyond_the_limit", "tracebacks"), 0.0)
    limits |= {"growth_mib": GROWTH_MIB, "p99_times": P99_TIMES if is_long else SHORT_P99_TIMES}
    report("C-12", seed=0, runs=strangers.tried, counters=counters, target=limits, without=without)


def test_strangers_do_not_disturb_minions(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """200 half-open connections, 10 slow ones, 1,000 with garbage, 10 with too much, 100 ids that are asked for."""
    _abuse(forks, tmp_path_factory.mktemp("c12"), 10, ("half_open", "slow", "garbage", "huge", "enrol"))


@pytest.mark.long
@pytest.mark.parametrize("scale", [50, 1000])
def test_many_strangers_do_not_disturb_minions(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, scale: int
) -> None:
    """1,000 half-open connections; 100,000 with garbage, 10,000 ids."""
    kinds = ("half_open", "slow", "huge") if scale == 50 else ("garbage", "enrol")
    _abuse(forks, tmp_path_factory.mktemp("c12"), scale, kinds, is_long=True)


@pytest.mark.parametrize(
    ("without", "kind"), [("limits of who waits", "enrol"), ("deadlines of handshakes", "half_open")]
)  # fmt: skip
def test_a_master_that_is_too_patient_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, without: str, kind: str
) -> None:
    """Negative controls."""
    with control("C-12", without=without, match='"row": "C-12"'):
        _abuse(forks, tmp_path_factory.mktemp("c12"), 2, (kind,), without=without)
