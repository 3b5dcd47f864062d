"""C-09: all minions come back at once, again and again, after their master was killed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.auth.keyring import Keyring
from sylvite.auth.keys import make_pair
from sylvite.client.sync_client import Client
from tests.faults import proc
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.link_agents import Agent, all_closed, come_back, p99
from tests.faults.link_site import LinkSite
from tests.faults.report import control, report

BACK_WITHIN_S = 60.0
EARLY_P99_S = 5.0
"""The target is half a second; both ends and all minions share the machine of the test."""
SESSION_KIB = 64.0
GROWTH_MIB = 16.0
FIRE_EVERY_S = 0.1
TAG = "load/back"
EARLY = "load/early"


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.link_parent") as parent:
        yield parent


class _Storms:
    """The run.  `back_s`: how long each storm took until all were in; `early_s`: how long events of those who were took."""

    def __init__(self, site: LinkSite, minions: int, limit_s: float) -> None:
        self.site, self.limit_s = site, limit_s
        self.agents = [Agent(f"m{number}", make_pair(), site.master.fingerprint) for number in range(minions)]
        self.back_s: list[float] = []
        self.early_s: list[float] = []
        self.not_back = self.fired = 0
        self.descriptors: list[int] = []
        self.memory: list[int] = []
        with Keyring.open(site.keys) as keyring:
            for agent in self.agents:
                keyring.expect(agent.id, agent.pair.fingerprint, time.time_ns())

    async def run(self, storms: int) -> None:
        self.empty_memory = proc.memory_bytes(self.site.parts["link"])
        await self._storm(watch=False)  # The first time they are strangers, and their keys are written down.
        for _ in range(storms):
            await asyncio.to_thread(self.site.kill, "link", "broker")
            await asyncio.gather(*(agent.gone() for agent in self.agents))
            await asyncio.to_thread(self.site.start, "broker", "link")
            self.fresh_memory = proc.memory_bytes(self.site.parts["link"])
            await self._storm(watch=True)
            await self._fire(TAG)
            self._measure()

    async def again(self, storms: int) -> None:
        """Let all lose their connections, and come back to the same process."""
        for _ in range(storms):
            for agent in self.agents:
                agent.leave()
            await self._storm(watch=True)
            await self._fire(TAG)
            self._measure()

    async def _storm(self, *, watch: bool) -> None:
        began = time.monotonic()
        for agent in self.agents:
            agent.taken_s.clear()
        early = asyncio.create_task(self._fire_early()) if watch else None
        coming = [asyncio.create_task(come_back(agent, self.site.port)) for agent in self.agents]
        _, late = await asyncio.wait(coming, timeout=self.limit_s)
        self.back_s.append(time.monotonic() - began)
        self.not_back += len(late)
        for task in (*late, *([early] if early else [])):
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await asyncio.gather(*(agent.all_taken() for agent in self.agents if agent.is_up))
        self.early_s += [taken for agent in self.agents for taken in agent.taken_s]

    async def _fire_early(self) -> None:
        """Those that are in fire, while the others come."""
        while True:
            for agent in [agent for agent in self.agents if agent.is_up][:20]:
                agent.fire(EARLY, {})
            await asyncio.sleep(FIRE_EVERY_S)

    async def _fire(self, tag: str) -> None:
        up = [agent for agent in self.agents if agent.is_up]
        for agent in up:
            agent.fire(tag, {"n": self.fired})
        self.fired += len(up)
        await asyncio.gather(*(agent.all_taken() for agent in up))

    def _measure(self) -> None:
        pid = self.site.parts["link"]
        self.descriptors.append(proc.descriptors(pid, but_below=Path("/nowhere")))
        self.memory.append(proc.memory_bytes(pid))


def _come_back(
    forks: Forks, folder: Path, minions: int, storms: int, *, limit_s: float = BACK_WITHIN_S, without: str | None = None
) -> None:
    """`storms`: half of them after the master was killed, half in the life of one."""
    site = LinkSite(forks, folder, hurried=False, without={"link": without} if without else None)
    site.start("broker", "link")
    run = _Storms(site, minions, limit_s)
    try:

        async def all_of_it() -> None:
            if without is None:
                await run.run(storms - storms // 2)
            await run.again(storms // 2)
            for agent in run.agents:
                agent.leave()
            await all_closed()

        asyncio.run(all_of_it())
        with Client.connect(site.bus) as bus, bus.subscribe(TAG, since="oldest", until_end=True) as subscription:
            came = Counter((event.data["id"], event.data["data"]["n"]) for event in subscription)
    finally:
        site.close()
    half = run.memory[len(run.memory) - storms // 2 :]
    base = getattr(run, "fresh_memory", 0)
    counters: dict[str, float] = {
        "not_back": run.not_back,
        "lost": run.fired - len(came),
        "duplicate": came.total() - len(came),
        "descriptors_kept": max(run.descriptors[-1] - run.descriptors[0], 0),
        "tracebacks": len(site.tracebacks()),
        "minions": minions,
        "back_s": round(max(run.back_s), 1),
        "early_p99_s": round(p99(run.early_s), 3),
        "session_kib": round(max(run.memory[0] - base, 0) / 1024 / minions, 1) if base else 0.0,
        "growth_mib": round((half[-1] - half[0]) / 2**20, 1),
        "early_events": len(run.early_s),
    }
    limits = dict.fromkeys(("not_back", "lost", "duplicate", "descriptors_kept", "tracebacks"), 0.0)
    limits |= {"back_s": BACK_WITHIN_S, "early_p99_s": EARLY_P99_S, "growth_mib": GROWTH_MIB}
    if minions >= 1000:
        limits["session_kib"] = SESSION_KIB  # Of fewer, what a process needs anyhow is too much of it.
    report("C-09", seed=0, runs=minions * storms, counters=counters, target=limits, without=without)
    assert run.early_s, "nobody was in before the others"


def test_all_minions_come_back_at_once(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """150 of them, four times."""
    _come_back(forks, tmp_path_factory.mktemp("c09"), 150, 4)


@pytest.mark.long
def test_two_thousand_minions_come_back_at_once(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Twenty times."""
    _come_back(forks, tmp_path_factory.mktemp("c09"), 2000, 20)


def test_a_master_that_lets_everybody_wait_is_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control."""
    with control("C-09", without="no pause between two guests", match='"not_back": [1-9]'):
        _come_back(forks, tmp_path_factory.mktemp("c09"), 30, 2, limit_s=4.0, without="no pause between two guests")
