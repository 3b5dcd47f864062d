"""Between two masters: events from one's publisher to a listener on the other, and acknowledgements `replicated`.

    python -m bench.cluster [--quick]

Three NATS servers, as `sylvite cluster dev` runs them, and two masters with all their parts, on this machine.  Beside them
nats-py on the same servers, without Sylvite, in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import bare_jetstream
from bench.budgets import between
from bench.events import job_return
from bench.jobs import Master, master, part_of, until
from bench.pace import paced
from bench.page import duration, multiple, rate
from bench.processes import Line, Spread, Worker, cpu_s, percentile, spread
from bench.sections import parser_of, run_alone, section
from sylvite import Client
from sylvite.cluster.dev import Allowed, DevCluster
from sylvite.cluster.settings import ClusterSettings

NODES = ("mars", "venus")
TAG = "bench/n"
RUNS, EVENTS, SINGLES = 3, 20_000, 300
QUICK_RUNS, QUICK_EVENTS, QUICK_SINGLES = 1, 1000, 30
RATE = 100.0
WITHIN_S = 120.0
ABOUT = (
    "Three NATS servers that sync each message, and two masters, all on one machine; events of 250 bytes. From the publisher on one master, many on their "
    "way, to a listener on the other, which decodes them; `replicated` is acknowledged once the stream's quorum has it. Beside it nats-py on the same "
    "servers: a stream in files on all three, published asynchronously, taken by an ordered consumer, packed and decoded with the same codec. "
    "Our events are in each master's log, too. Single events come at {rate:g} a second. Median of {runs}, with the least and the most; a ratio is ours over "
    "that of nats-py."
)


class Figures(NamedTuple):
    """What one of the two has given: rates in a second, times in seconds."""

    flow: Spread
    acks: Spread
    ack_s: Spread
    latency_s: Spread
    latency_p99_s: Spread


class Site(NamedTuple):
    """Two masters that share their logs, and how their bridges reach the servers."""

    masters: tuple[Master, Master]
    settings: ClusterSettings

    @property
    def sockets(self) -> tuple[Path, Path]:
        first, second = self.masters
        return first.bus, second.bus

    def bridges_s(self) -> tuple[float, float]:
        """Return the processor time of the two bridges until now."""
        first, second = (cpu_s(part_of(each.pid, "bridge")) for each in self.masters)
        return first, second


@contextmanager
def site() -> Generator[Site]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sylvite-bench-")))
        servers = stack.enter_context(DevCluster(folder / "nats", dict.fromkeys(NODES, Allowed())))
        masters: list[Master] = []
        for node in NODES:
            own = folder / node
            own.mkdir()
            said = {"servers": servers.urls, "node": node, "credentials": str(servers.credentials(node))}
            found, _ = stack.enter_context(master(own, more={"id": node, "cluster": json.dumps(said)}))
            masters.append(found)
        settings = ClusterSettings(servers=tuple(servers.urls), credentials=str(servers.credentials(NODES[0])))
        first, second = masters
        made = Site((first, second), settings)
        _wait_until_bridged(made)
        bare_jetstream.make_stream(settings)
        yield made


def _wait_until_bridged(found: Site) -> None:
    """Wait until what is published on the first master is heard on the second."""
    here, there = found.sockets
    with (
        Client.connect(here) as on_first,
        Client.connect(there) as on_second,
        on_second.subscribe("bench/hello") as heard,
    ):

        def is_heard() -> bool:
            on_first.publish("bench/hello")
            return heard.next(timeout_s=1.0) is not None

        until(is_heard, "the masters do not hear each other")


# -- Ours ------------------------------------------------------------------------------------------------------------


def hear(line: Line, socket: Path, count: int) -> tuple[float, list[float]]:
    """As `bare_jetstream.receive`, on a bus of ours."""
    last, times = 0.0, list[float]()
    with Client.connect(socket) as bus, bus.subscribe(TAG) as heard:
        line()
        for _ in range(count):
            event = heard.next(timeout_s=WITHIN_S)
            if event is None:
                raise TimeoutError(f"nothing has come for {WITHIN_S:g} s")
            last = time.monotonic()
            if isinstance(at := event.data.get("at"), float):
                times.append(last - at)
    return last, times


def publish(line: Line, socket: Path, level: str, count: int) -> tuple[float, float]:
    with Client.connect(socket) as bus:
        line()
        begun = time.monotonic()
        bus.publish_many(((TAG, job_return(number)) for number in range(count)), level=level)
        return begun, time.monotonic() - begun


def publish_singly(line: Line, socket: Path, rate: float, count: int) -> list[float]:
    times: list[float] = []
    with Client.connect(socket) as bus:
        line()
        for number in paced(count, rate):
            begun = time.monotonic()
            bus.publish(TAG, {**job_return(number), "at": begun}, level="replicated", timeout_s=WITHIN_S)
            times.append(time.monotonic() - begun)
    return times


# -- Both ------------------------------------------------------------------------------------------------------------


class Ways(NamedTuple):
    """How one of the two is measured: workers that hear so many, publish so many, and publish so many singly."""

    name: str
    hear: Callable[[int], Worker]
    publish: Callable[[int], Worker]
    acknowledged: Callable[[int], Worker]
    singly: Callable[[int], Worker]


def ours(found: Site) -> Ways:
    here, there = found.sockets
    return Ways(
        "ours", partial(Worker, hear, there), partial(Worker, publish, here, "synced"),
        partial(Worker, publish, here, "replicated"), partial(Worker, publish_singly, here, RATE),
    )  # fmt: skip


def bare(settings: ClusterSettings) -> Ways:
    send = partial(Worker, bare_jetstream.publish, settings)
    return Ways(
        "nats-py", partial(Worker, bare_jetstream.receive, settings), send, send,
        partial(Worker, bare_jetstream.publish_singly, settings, RATE),
    )  # fmt: skip


def measure(ways: Ways, runs: int, events: int, singles: int) -> Figures:
    found: list[tuple[float, ...]] = []
    for _ in range(runs):
        begun, _, last, _ = _run(ways.hear, ways.publish, events)
        _, acks_s, _, _ = _run(ways.hear, ways.acknowledged, events)
        with ways.hear(singles) as hearing:
            hearing.ready()
            with ways.singly(singles) as publishing:
                publishing.ready()
                times: list[float] = publishing.result()
            _, latencies = hearing.result()
        found.append((
            events / (last - begun), events / acks_s, percentile(times, 0.5), percentile(latencies, 0.5), percentile(latencies, 0.99),
        ))  # fmt: skip
        print(ways.name, found[-1], file=sys.stderr, flush=True)
    return Figures(*(spread(values) for values in zip(*found, strict=True)))


def _run(
    hear: Callable[[int], Worker], publish: Callable[[int], Worker], count: int
) -> tuple[float, float, float, list[float]]:
    """Return when it began, how long all acknowledgements took, when the last event was heard, and the times of events."""
    with hear(count) as hearing:
        hearing.ready()
        with publish(count) as publishing:
            publishing.ready()
            begun, acks_s = publishing.result()
        last, times = hearing.result()
    return begun, acks_s, last, times


# -- All of it -------------------------------------------------------------------------------------------------------


LINES: tuple[tuple[str, Callable[[Figures], Spread], Callable[[float], str]], ...] = (
    ("events to a listener on the other", lambda found: found.flow, rate),
    ("acknowledgements `replicated`, many on their way", lambda found: found.acks, rate),
    ("one publish, acknowledged `replicated`, p50", lambda found: found.ack_s, duration),
    ("publish to a listener on the other, p50", lambda found: found.latency_s, duration),
    ("publish to a listener on the other, p99", lambda found: found.latency_p99_s, duration),
)


def table(found: Figures, beside: Figures) -> str:
    rows = [
        f"| {words} | {between(pick(found), show)} | {between(pick(beside), show)} | {multiple(pick(found).median / pick(beside).median)} |"
        for words, pick, show in LINES
    ]
    return "\n".join(["| what | Sylvite | nats-py alone | ratio |", "|---|---|---|---|", *rows])


def part(given: argparse.Namespace) -> str:
    runs, events, singles = (QUICK_RUNS, QUICK_EVENTS, QUICK_SINGLES) if given.quick else (RUNS, EVENTS, SINGLES)
    with site() as found:
        before = found.bridges_s()
        figures = measure(ours(found), runs, events, singles)
        sent, taken = (
            (after - each) / (runs * (2 * events + singles)) * 1e6
            for each, after in zip(before, found.bridges_s(), strict=True)
        )
        beside = measure(bare(found.settings), runs, events, singles)
    words = (
        f"The bridges' processor time for each event: {sent:.0f} µs where it is sent, {taken:.0f} µs where it is taken."
    )
    return section("Between two masters", ABOUT.format(rate=RATE, runs=runs), table(figures, beside), words)


def main() -> int:
    return run_alone(parser_of("bench.cluster", __doc__ or ""), part)


if __name__ == "__main__":
    sys.exit(main())
