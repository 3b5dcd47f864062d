"""Several masters: what each event and each listener costs brokers, bridges and NATS servers, and what follows for larger sites.

    python -m bench.scale [--quick]

Three NATS servers and one, two, three masters with all their parts, on this machine.  Prices are found from some measurements
and tried on others (bench/scale_model.py); what they say of sites that do not fit here goes into docs/scale.md, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench import idle_minions, link, scale_page
from bench.events import job_return
from bench.jobs import Master, master, part_of, until
from bench.pace import paced
from bench.processes import Line, Worker, cpu_s
from bench.scale_model import LinkPrices, Sample, prices_of
from bench.sections import parser_of, run_alone, section
from sylvite import Client
from sylvite.client.async_client import AsyncClient
from sylvite.cluster.asking import ask_all
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import SYSTEM, Allowed, DevCluster
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.stream import stream_name
from sylvite.core.batch import Batch
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data

NODES = ("mars", "venus", "pluto")
TAG = "bench/n"
WITHIN_S = 120.0
LASTS_S, QUICK_LASTS_S = 6.0, 0.5
SETTLES_S, QUICK_SETTLES_S = 2.0, 0.2
IDLE, IDLE_S = 1000, 20.0
FIRING, FIRED = 100, 10_000
"""How many minions idle, for how long; how many fire, and how many events together."""
QUICK_IDLE, QUICK_IDLE_S, QUICK_FIRING, QUICK_FIRED = 30, 1.0, 10, 300
STATSZ = "$SYS.REQ.SERVER.PING.STATSZ"


class Case(NamedTuple):
    """Each master gets `rate` events a second, `each` of them in a batch, `at_once` batches at a time, as of so many minions;
    `listeners` at each hear all of all masters."""

    masters: int
    rate: int
    each: int
    at_once: int
    listeners: int

    @property
    def words(self) -> str:
        batches = f"{self.at_once} at a time" if self.at_once > 1 else "one at a time"
        return f"{self.masters}; {self.rate}/s of each, {self.each} in a batch, {batches}; {self.listeners}"


FOUND_FROM = (
    Case(1, 0, 1, 1, 1), Case(1, 200, 1, 1, 1), Case(1, 2000, 50, 1, 1), Case(1, 200, 1, 1, 10), Case(1, 1000, 50, 1, 10),
    Case(1, 200, 20, 1, 100), Case(1, 1000, 1, 20, 1), Case(1, 400, 1, 40, 20),
    Case(2, 0, 1, 1, 1), Case(2, 150, 1, 1, 1), Case(2, 2000, 50, 1, 1), Case(2, 150, 1, 1, 10), Case(2, 200, 20, 1, 100),
    Case(2, 600, 1, 20, 1), Case(2, 300, 1, 50, 10),
    Case(3, 0, 1, 1, 1), Case(3, 100, 1, 1, 1), Case(3, 1000, 50, 1, 1), Case(3, 300, 20, 1, 10), Case(3, 400, 1, 20, 1),
)  # fmt: skip
TRIED_ON = (
    Case(1, 600, 10, 1, 30), Case(1, 600, 1, 10, 5), Case(2, 100, 1, 1, 3), Case(2, 800, 10, 1, 10), Case(2, 400, 1, 10, 3),
    Case(3, 60, 1, 1, 10), Case(3, 500, 10, 1, 3), Case(3, 300, 1, 30, 3),
)  # fmt: skip
QUICK_FOUND_FROM = (Case(1, 200, 1, 1, 1), Case(1, 500, 10, 1, 10), Case(2, 100, 1, 1, 1), Case(2, 400, 1, 10, 3))
QUICK_TRIED_ON = (Case(2, 200, 5, 1, 2),)
MINION = "minion:bench"


class Wire(NamedTuple):
    """Bytes until now: `sent` by NATS servers and `received` from masters; `stored`: of the stream, on each of its replicas; `logged`:
    of the log of the first master, with events that are in it."""

    sent: int
    received: int
    stored: int
    logged: int
    events: int


class Bytes(NamedTuple):
    """For each event, of all masters together."""

    wire: float
    stored: float
    logged: float


class Measured(NamedTuple):
    case: Case
    sample: Sample
    bytes: Bytes | None


class _Data(msgspec.Struct, frozen=True):
    bytes: int = 0


class _Route(msgspec.Struct, frozen=True):
    received: _Data = _Data()


class _Stats(msgspec.Struct, frozen=True):
    sent: _Data = _Data()
    received: _Data = _Data()
    routes: tuple[_Route, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    statsz: _Stats


class Growing:
    """NATS servers, and masters that come one after the other."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sylvite-bench-")))
        self._servers = stack.enter_context(DevCluster(self._folder / "nats", dict.fromkeys(NODES, Allowed())))
        self._settings = ClusterSettings(
            servers=tuple(self._servers.urls), credentials=str(self._servers.credentials(NODES[0]))
        )
        self.masters: list[Master] = []

    def grow(self, count: int) -> None:
        """Start masters until there are so many, and return once all hear each other."""
        for node in NODES[len(self.masters) : count]:
            own = self._folder / node
            own.mkdir()
            said = {"servers": self._servers.urls, "node": node, "credentials": str(self._servers.credentials(node))}
            found, _ = self._stack.enter_context(master(own, more={"id": node, "cluster": json.dumps(said)}))
            self.masters.append(found)
        for here in self.masters:
            for there in self.masters:
                _wait_until_heard(here.bus, there.bus)

    def spent(self) -> tuple[float, float, float]:
        """Return the processor time until now: of brokers and of bridges, each on average, and of all NATS servers."""
        brokers, bridges = (
            sum(cpu_s(part_of(each.pid, name)) for each in self.masters) / len(self.masters)
            for name in ("broker", "bridge")
        )
        return brokers, bridges, sum(map(cpu_s, self._servers.pids.values()))

    def wire(self) -> Wire:
        return asyncio.run(self._wire())

    async def _wire(self) -> Wire:
        system = msgspec.structs.replace(self._settings, credentials=str(self._servers.credentials(SYSTEM)))
        async with await Connection.open(system, name="bench") as there:
            stats = [each.statsz for each in await ask_all(there, STATSZ, _Answer, expected=len(NODES))]
        async with await Connection.open(self._settings, name="bench") as there:
            state = (await there.jetstream.stream_info(stream_name(self._settings))).state
        with Client.connect(self.masters[0].bus) as client:
            log = client.ask("log")
        routed = sum(route.received.bytes for each in stats for route in each.routes)
        received = sum(each.received.bytes for each in stats) - routed
        return Wire(sum(each.sent.bytes for each in stats), received, state.bytes, int(log["bytes"]), int(log["end"]))


def _wait_until_heard(here: Path, there: Path) -> None:
    with Client.connect(here) as on_first, Client.connect(there) as on_second, on_second.subscribe("x/hello") as heard:

        def is_heard() -> bool:
            on_first.publish("x/hello")
            return heard.next(timeout_s=1.0) is not None

        until(is_heard, "the masters do not hear each other")


# -- Those who work ----------------------------------------------------------------------------------------------------


def relay(line: Line, bus: Path, case: Case, count: int) -> None:
    """Bring events as the link does that has them from so many minions at a time."""
    asyncio.run(_relay(line, bus, case, count))


async def _relay(line: Line, bus: Path, case: Case, count: int) -> None:
    async with AsyncClient.connect(bus) as client:
        line()
        line.told_to_go(WITHIN_S)
        many, epoch = case.each * case.at_once, time.time_ns()
        for number in paced(count // many, case.rate / many):
            firsts = range(number * many, (number + 1) * many, case.each)
            answers = await client.relay_many(
                MINION, epoch, [(first, _block(first, case.each), case.each, None) for first in firsts]
            )
            if any(answers):
                raise RuntimeError(f"the broker does not take it: {answers}")


def _block(first: int, count: int) -> bytes:
    builder = BlockBuilder()
    for number in range(first, first + count):
        builder.add(TAG, pack_data(job_return(number)))
    return builder.take()[0]


def publish(line: Line, bus: Path, case: Case, count: int) -> None:
    with Client.connect(bus) as client:
        line()
        line.told_to_go(WITHIN_S)
        for number in paced(count // case.each, case.rate / case.each):
            first = number * case.each
            client.publish_many((TAG, job_return(first + more)) for more in range(case.each))


def hear(line: Line, bus: Path, listeners: int, count: int) -> None:
    """Be listeners that take batches as they come, and decode none of them, until each has so many events."""
    asyncio.run(_hear(line, bus, listeners, count))


async def _hear(line: Line, bus: Path, listeners: int, count: int) -> None:
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        standing = [asyncio.Event() for _ in range(listeners)]
        for stands in standing:
            group.create_task(_listen(bus, count, stands))
        for stands in standing:
            await stands.wait()
        line()


async def _listen(bus: Path, count: int, stands: asyncio.Event) -> None:
    async with AsyncClient.connect(bus) as client:
        batches = await client.read_batches(since=client.welcome.end)
        stands.set()
        while count > 0:
            item = await batches.next()
            if isinstance(item, Batch) and item.tags == [TAG]:
                count -= item.count
        batches.close()


# -- Measuring ---------------------------------------------------------------------------------------------------------


def measure(site: Growing, case: Case, lasts_s: float, settles_s: float) -> Measured:
    site.grow(case.masters)
    count = round(case.rate * lasts_s / case.each / case.at_once) * case.each * case.at_once
    bring = publish if case.at_once == 1 else relay
    with ExitStack() as stack:
        hearing = [
            stack.enter_context(Worker(hear, each.bus, case.listeners, count * case.masters)) for each in site.masters
        ]
        publishing = [stack.enter_context(Worker(bring, each.bus, case, count)) for each in site.masters if count]
        for worker in (*hearing, *publishing):
            worker.ready(WITHIN_S)
        time.sleep(settles_s)
        wire, before, begun = site.wire(), site.spent(), time.monotonic()
        for worker in publishing:
            worker.go()
        for worker in (*publishing, *hearing):
            worker.result(WITHIN_S)
        if not count:
            time.sleep(lasts_s)
        spent, seconds = site.spent(), time.monotonic() - begun
        bytes_ = _bytes(wire, site.wire(), count * case.masters)
    used = [after - each for each, after in zip(before, spent, strict=True)]
    sent = count / case.each
    sample = Sample(
        seconds, case.masters, count, count * (case.masters - 1), sent, sent * case.masters, sent / case.at_once,
        case.listeners if count else 0, *used,
    )  # fmt: skip
    print(case.words, sample, bytes_, file=sys.stderr, flush=True)
    return Measured(case, sample, bytes_)


def _bytes(before: Wire, after: Wire, events: int) -> Bytes | None:
    if not events:
        return None
    wire = after.sent + after.received - before.sent - before.received
    logged = (after.logged - before.logged) / max(after.events - before.events, 1)
    return Bytes(wire / events, (after.stored - before.stored) / events, logged)


def measure_all(cases: Sequence[Case], lasts_s: float, settles_s: float) -> dict[Case, Measured]:
    with ExitStack() as stack:
        site = Growing(stack)
        return {case: measure(site, case, lasts_s, settles_s) for case in sorted(cases)}


def measure_link(*, quick: bool) -> tuple[int, LinkPrices]:
    """Return how many minions have idled, and what minions cost the link of their master."""
    sessions, rest_s = (QUICK_IDLE, QUICK_IDLE_S) if quick else (IDLE, IDLE_S)
    firing, events = (QUICK_FIRING, QUICK_FIRED) if quick else (FIRING, FIRED)
    idle = idle_minions.measure(sessions, rest_s)
    fired = link.simulated(firing, events)
    print(idle, fired, file=sys.stderr, flush=True)
    return sessions, LinkPrices(idle.cpu / sessions, (fired.link_us or 0.0) / 1e6)


def main() -> int:
    says: list[str] = []

    def part(given: argparse.Namespace) -> str:
        found_from, tried_on = (QUICK_FOUND_FROM, QUICK_TRIED_ON) if given.quick else (FOUND_FROM, TRIED_ON)
        lasts_s, settles_s = (QUICK_LASTS_S, QUICK_SETTLES_S) if given.quick else (LASTS_S, SETTLES_S)
        found = measure_all((*found_from, *tried_on), lasts_s, settles_s)
        prices = prices_of([found[case].sample for case in found_from])
        sessions, link_prices = measure_link(quick=given.quick)
        if given.write or not given.quick:
            says.append(scale_page.says(prices, link_prices))
        return section(
            "Several masters",
            scale_page.ABOUT.format(lasts=lasts_s),
            scale_page.measured_table([found[case] for case in (*found_from, *tried_on)]),
            scale_page.prices_table(prices, len(tried_on)),
            scale_page.link_words(sessions, link_prices),
            scale_page.tried_table(prices, [found[case] for case in tried_on]),
        )

    code = run_alone(parser_of("bench.scale", __doc__ or ""), part)
    for text in says:
        scale_page.write(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
