"""C-12: what strangers can do to a master before they have shown anything, while minions that were let in send on."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import PENDING_MAX, State
from sylvite.auth.keys import make_pair
from sylvite.errors import ConnectionLost
from tests.faults import proc
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.link_agents import TLS, Agent, all_closed, come_back, p99
from tests.faults.link_site import LinkSite
from tests.faults.report import control, report

MINIONS = 10
BASE_S = 0.05
"""A p99 below this is taken for it: on a busy machine the rest is noise."""
P99_TIMES = 20.0
"""The target is 2; those who attack and those who are attacked share the machine."""
GROWTH_MIB = 32.0
ENDED_WITHIN_S = 25.0
AT_ONCE = 50


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.link_parent") as parent:
        yield parent


class Strangers:
    """`kept`: connections that have shown nothing, and that the master has not ended in time."""

    def __init__(self, site: LinkSite, scale: int, ended_s: float) -> None:
        self.site, self.scale, self._ended_s = site, scale, ended_s
        self.kept = self.tried = 0

    async def half_open(self) -> None:
        """Connect, some with the beginning of a handshake, and say no more."""
        hello = await self._hello()
        await self._each(
            20 * self.scale, lambda number: self._wait_for_end(hello[: (0, 5, 60)[number % 3]]), at_once=500
        )

    async def slow(self) -> None:
        """Say a byte of the handshake now and then."""
        hello = await self._hello()
        await self._each(self.scale, lambda _: self._wait_for_end(hello, each_s=0.5))

    async def garbage(self) -> None:
        """Connect, say nonsense, go."""
        await self._each(100 * self.scale, lambda number: self._say(bytes([number % 256]) * 200))

    async def huge(self) -> None:
        """A mebibyte where a hello, or after it a certificate, was due."""
        record = b"\x16\x03\x03\x40\x00" + b"\x0b\x0f\xff\xf0" + bytes(16380)
        hello = await self._hello()
        await self._each(self.scale, lambda number: self._say((hello if number % 2 else b"") + record * 64))

    async def enrol(self) -> None:
        """Ask for ids, each with a key of its own."""

        async def ask(number: int) -> None:
            agent = Agent(f"stranger{number}", make_pair(), self.site.master.fingerprint)
            with suppress(OSError, ConnectionLost):
                await agent.connect(self.site.port)
            agent.leave()

        await self._each(10 * self.scale, ask)

    async def _each(self, count: int, do: Callable[[int], Awaitable[None]], *, at_once: int = AT_ONCE) -> None:
        gate = asyncio.Semaphore(at_once)

        async def one(number: int) -> None:
            async with gate:
                await do(number)
                self.tried += 1

        await asyncio.gather(*(one(number) for number in range(count)))

    async def _hello(self) -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with suppress(ssl.SSLWantReadError):
            TLS.wrap_bio(incoming, outgoing).do_handshake()
        return outgoing.read()

    async def _say(self, what: bytes) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._ended_s):
                _, writer = await asyncio.open_connection("127.0.0.1", self.site.port)
                writer.write(what)
                await writer.drain()
                writer.close()

    async def _wait_for_end(self, said: bytes, each_s: float = 0.0) -> None:
        try:
            async with asyncio.timeout(self._ended_s):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.site.port)
                try:
                    for byte in said if each_s else ():
                        writer.write(bytes([byte]))
                        await asyncio.sleep(each_s)
                        if reader.at_eof() or writer.is_closing():
                            return
                    writer.write(b"" if each_s else said)
                    while await reader.read(65536):
                        pass
                finally:
                    writer.transport.abort()
        except TimeoutError:
            self.kept += 1
        except OSError:
            pass  # It was ended.


async def _measured(agents: list[Agent], during: asyncio.Task[None]) -> float:
    """Let minions send as long as a task runs; return the p99 of how long their events took."""
    for agent in agents:
        agent.taken_s.clear()
    while not during.done():
        for agent in agents:
            agent.fire("load/good", {})
        await asyncio.sleep(0.1)
    await asyncio.gather(*(agent.all_taken() for agent in agents))
    return p99([taken for agent in agents for taken in agent.taken_s])


def _abuse(forks: Forks, folder: Path, scale: int, kinds: tuple[str, ...], *, without: str | None = None) -> None:
    site = LinkSite(forks, folder, hurried=False, without={"link": without} if without else None)
    site.start("broker", "link")
    strangers = Strangers(site, scale, 6.0 if without else ENDED_WITHIN_S)
    agents = [Agent(f"good{number}", make_pair(), site.master.fingerprint) for number in range(MINIONS)]
    with Keyring.open(site.keys) as keyring:
        for agent in agents:
            keyring.expect(agent.id, agent.pair.fingerprint, time.time_ns())
    counters: dict[str, float] = {}

    async def scene() -> None:
        await asyncio.gather(*(come_back(agent, site.port) for agent in agents))
        quiet_s = await _measured(agents, asyncio.create_task(asyncio.sleep(1.0)))
        memory = proc.memory_bytes(site.parts["link"])
        worst_s = 0.0
        for kind in kinds:
            work = asyncio.create_task(getattr(strangers, kind)())
            worst_s = max(worst_s, await _measured(agents, work))
            await work
        counters["lost_minions"] = sum(not agent.is_up for agent in agents)
        counters["growth_mib"] = round((proc.memory_bytes(site.parts["link"], "VmHWM") - memory) / 2**20, 1)
        counters["p99_times"] = round(max(worst_s, BASE_S) / max(quiet_s, BASE_S), 1)
        counters["p99_ms"] = round(1000 * worst_s, 1)
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
    limits |= {"growth_mib": GROWTH_MIB, "p99_times": P99_TIMES}
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
    _abuse(forks, tmp_path_factory.mktemp("c12"), scale, kinds)


@pytest.mark.parametrize(
    ("without", "kind"), [("limits of who waits", "enrol"), ("deadlines of handshakes", "half_open")]
)  # fmt: skip
def test_a_master_that_is_too_patient_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, without: str, kind: str
) -> None:
    """Negative controls."""
    with control("C-12", without=without, match='"row": "C-12"'):
        _abuse(forks, tmp_path_factory.mktemp("c12"), 2, (kind,), without=without)
