"""The workloads of the comparison, written once: what each does with a peer, and how much of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from bench.events import TAG, job_return
from bench.installed import times_s
from bench.pace import paced
from bench.peers.peer import Connection, Data, Event, Pattern, Peer, Tally
from bench.processes import Line, Worker, cpu_s, forget_memory_peak, memory_bytes, memory_peak_bytes, percentile

FULL_S = 1.5
"""About how long one run publishes; the peer's own rate decides how many events that are."""
QUICK_S = 0.3
HELLO_S = 0.5
"""The longest pause between two hellos of a publisher that waits to begin."""
GROWTH_MAX = 30
RATE = 500.0
MIB = 1024 * 1024


class Scale(NamedTuple):
    """How much to do."""

    quick: bool

    @property
    def seconds(self) -> float:
        return QUICK_S if self.quick else FULL_S

    @property
    def first(self) -> int:
        """How many events to begin with, before it is known how fast a peer is; a multiple of 100."""
        return 200 if self.quick else 1000

    def count(self, full: int) -> int:
        """Return `full`, or a small part of it; a multiple of 100."""
        return max(full // 3000, 10) * 100 if self.quick else full


@dataclass(frozen=True)
class ProcessUse:
    """What the processes of one role used: processor time together while measured, resident memory the largest of them.

    Forked ones share most of their memory, so that a sum would say nothing.
    """

    role: str
    number: int
    cpu_s: float
    memory_bytes: int


@dataclass(frozen=True)
class Outcome:
    """What one run found: figures by name, how many events that were, and what it cost."""

    figures: dict[str, float]
    count: int = 0
    lost: int = 0
    doubled: int = 0
    processes: list[ProcessUse] = field(default_factory=list[ProcessUse])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Flow:
    """Publishers that publish tags in turn as fast as they can, and one subscriber for each pattern."""

    tags: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    publishers: int = 1
    count: int = 600_000


EVERYTHING = Pattern("salt/job/")
WEB = tuple(f"salt/job/20261123224730771814/ret/web{number}" for number in range(10))
FLOWS = {
    "1 to 1": Flow((TAG,), (EVERYTHING,)),
    "1 to 10": Flow((TAG,), (EVERYTHING,) * 10, count=200_000),
    "1 to 100": Flow((TAG,), (EVERYTHING,) * 100, count=30_000),
    "100 to 1": Flow((TAG,), (EVERYTHING,), publishers=100),
    "prefixes": Flow(
        tuple(f"bench/{number:03d}/done" for number in range(100)),
        tuple(Pattern(f"bench/{number:03d}/") for number in range(100)),
    ),
    "globs": Flow(WEB, tuple(Pattern(f"salt/job/*/ret/web{number}") for number in range(10))),
}


def _greet(line: Line, connection: Connection, tags: list[str], number: int) -> None:
    """Publish hellos, which subscribers wait for to know that they are heard, until told to go."""
    wait_s = 0.02
    while not line.told_to_go(wait_s):
        for tag in tags:
            connection.publish_one(tag, job_return(-number))
        wait_s = min(2 * wait_s, HELLO_S)


def _use(role: str, cpu_before: float) -> ProcessUse:
    return ProcessUse(role, 1, time.process_time() - cpu_before, memory_peak_bytes())


def _publish(line: Line, peer: Peer, tags: list[str], hellos: list[str], part: range, number: int) -> ProcessUse:
    def events() -> Iterator[Event]:
        data = job_return()
        for each in part:
            data["n"] = each
            yield tags[each % len(tags)], data

    with peer.connect() as connection:
        _greet(line, connection, hellos, number)
        used = time.process_time()
        connection.publish_many(events())
        return _use("publisher", used)


class Received(NamedTuple):
    last_at: float
    lost: int
    doubled: int
    use: ProcessUse


def _receive(line: Line, peer: Peer, pattern: Pattern, expected: int, numbers: int, publishers: int) -> Received:
    used = 0.0

    def ready() -> None:
        nonlocal used
        used = time.process_time()
        line()

    tally = Tally(expected, numbers, publishers, ready)
    with peer.connect() as connection:
        connection.receive(pattern, tally)
        return Received(tally.last_at, tally.lost, tally.doubled, _use("subscriber", used))


def _together(uses: list[ProcessUse]) -> list[ProcessUse]:
    roles = dict.fromkeys(use.role for use in uses)
    found = {role: [use for use in uses if use.role == role] for role in roles}
    return [
        ProcessUse(role, len(own), sum(use.cpu_s for use in own), max(use.memory_bytes for use in own))
        for role, own in found.items()
    ]


class _Servers:
    """The peer's own processes, over a time."""

    def __init__(self, peer: Peer) -> None:
        self._pids = peer.pids()
        self._before = {name: cpu_s(pid) for name, pid in self._pids.items()}

    def uses(self) -> list[ProcessUse]:
        return [
            ProcessUse(name, 1, cpu_s(pid) - self._before[name], memory_peak_bytes(pid))
            for name, pid in self._pids.items()
        ]


def _flow_once(peer: Peer, flow: Flow, count: int) -> Outcome:
    # Split by tag, not by position, so that each publisher publishes every tag.
    tags = [peer.spell(tag) for tag in flow.tags]
    hellos = [peer.spell(tag) for tag in dict.fromkeys(pattern.example() for pattern in flow.patterns)]
    turns = {tag: sum(1 for _ in range(turn, count, len(flow.tags))) for turn, tag in enumerate(flow.tags)}
    with ExitStack() as stack:
        subscribers = [
            stack.enter_context(
                Worker(
                    _receive, peer, pattern, sum(turns[tag] for tag in flow.tags if pattern.matches(tag)), count,
                    flow.publishers,
                )
            )
            for pattern in flow.patterns
        ]  # fmt: skip
        publishers = [
            stack.enter_context(Worker(_publish, peer, tags, hellos, range(number, count, flow.publishers), number + 1))
            for number in range(flow.publishers)
        ]
        for subscriber in subscribers:
            subscriber.ready()
        servers = _Servers(peer)
        started = time.perf_counter()
        for publisher in publishers:
            publisher.go()
        uses: list[ProcessUse] = [publisher.result() for publisher in publishers]
        received: list[Received] = [subscriber.result() for subscriber in subscribers]
        uses = servers.uses() + _together(uses + [each.use for each in received])
    wanted = sum(turns[tag] for pattern in flow.patterns for tag in flow.tags if pattern.matches(tag))
    lost = sum(each.lost for each in received)
    took_s = max(max(each.last_at for each in received) - started, 1e-9)
    # What is lost did not arrive: it is no part of the rate.
    rate = count * (1 - lost / wanted) / took_s
    return Outcome({"rate": rate}, count, lost, sum(each.doubled for each in received), uses)


def flow(peer: Peer, scale: Scale, flow: Flow) -> Outcome:
    """Publish for about `scale.seconds`: more and more events until it takes that long, or all are published."""
    most, count = scale.count(flow.count), scale.first
    while True:
        outcome = _flow_once(peer, flow, count)
        rate = outcome.figures["rate"]
        if count >= most or count > rate * scale.seconds / 2:
            return outcome
        # A small run is slower than a large one: its rate says too little, but never too much.
        count = min(max(int(rate * scale.seconds) // 100 * 100, 2 * count), GROWTH_MAX * count, most)


class _Times(Tally):
    """Also how long each event took from its stamp to here."""

    def __init__(self, expected: int, ready: Callable[[], None]) -> None:
        super().__init__(expected, expected, 1, ready)
        self.times: list[float] = []

    def take(self, _tag: str, data: Data) -> bool:
        if data["n"] >= 0:
            self.times.append(time.perf_counter() - data["at"])
        return super().take(_tag, data)


def _publish_paced(line: Line, peer: Peer, count: int) -> ProcessUse:
    tag = peer.spell(TAG)
    with peer.connect() as connection:
        _greet(line, connection, [tag], 1)
        used, data = time.process_time(), job_return()
        for number in paced(count, RATE):
            data["n"], data["at"] = number, time.perf_counter()
            connection.publish_one(tag, data)
        return _use("publisher", used)


def _receive_times(line: Line, peer: Peer, expected: int) -> tuple[list[float], int, ProcessUse]:
    tally = _Times(expected, line)
    used = time.process_time()
    with peer.connect() as connection:
        connection.receive(EVERYTHING, tally)
        return tally.times, tally.lost, _use("subscriber", used)


def latency(peer: Peer, scale: Scale) -> Outcome:
    """One publisher at 500 events a second, each alone, and one subscriber, on a bus that is idle but for that."""
    count = scale.count(2500) if scale.quick else 2500
    with Worker(_receive_times, peer, count) as subscriber, Worker(_publish_paced, peer, count) as publisher:
        subscriber.ready()
        servers = _Servers(peer)
        publisher.go()
        use: ProcessUse = publisher.result()
        times, lost, own = subscriber.result()
    figures = {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99)} if times else {}
    return Outcome(figures, count, lost, 0, [*servers.uses(), use, own])


def _publish_singly(_line: Line, peer: Peer, count: int, seconds: float) -> tuple[list[float], ProcessUse]:
    tag, data = peer.spell(TAG), job_return()
    times: list[float] = []
    with peer.connect() as connection:
        for _ in range(20):
            connection.publish_one(tag, data)
        used, deadline = time.process_time(), time.perf_counter() + seconds
        while len(times) < count and time.perf_counter() < deadline:
            started = time.perf_counter()
            connection.publish_one(tag, data)
            times.append(time.perf_counter() - started)
        return times, _use("publisher", used)


def publish(peer: Peer, scale: Scale) -> Outcome:
    """Publish one event after the other, each acknowledged before the next."""
    servers = _Servers(peer)
    with Worker(_publish_singly, peer, scale.count(5000), 2 * scale.seconds) as publisher:
        times, use = publisher.result()
    return Outcome({"p50": percentile(times, 0.5)}, len(times), 0, 0, [*servers.uses(), use])


def _fill(_line: Line, peer: Peer, count: int, seconds: float) -> int:
    tag, data, done = peer.spell(TAG), job_return(), 0

    def events(part: range) -> Iterator[Event]:
        for number in part:
            data["n"] = number
            yield tag, data

    deadline = time.perf_counter() + seconds
    with peer.connect() as connection:
        while done < count and time.perf_counter() < deadline:
            part = range(done, min(done + 10_000, count))
            connection.publish_many(events(part))
            done = part.stop
    return done


def _replay(line: Line, peer: Peer, count: int) -> tuple[float, Received]:
    tally = Tally(count, count, 1, line)
    with peer.connect() as connection:
        line()
        started, used = time.perf_counter(), time.process_time()
        connection.replay(tally)
        took_s = tally.last_at - started
        return took_s, Received(tally.last_at, tally.lost, tally.doubled, _use("reader", used))


def replay(peer: Peer, scale: Scale) -> Outcome:
    """Read a million events of history, or as many as the peer took in half a minute, from the oldest on."""
    with Worker(_fill, peer, scale.count(1_000_000), 30.0) as filling:
        count: int = filling.result()
    servers = _Servers(peer)
    with Worker(_replay, peer, count) as reader:
        reader.ready()
        took_s, received = reader.result()
    rate = (count - received.lost) / max(took_s, 1e-9)
    return Outcome({"rate": rate}, count, received.lost, received.doubled, [*servers.uses(), received.use])


STOPPED_TAG = "bench/stopped/done"
STOPPED_PATTERN = Pattern("bench/stopped/")


def _publish_big(line: Line, peer: Peer, count: int) -> ProcessUse:
    tag, data = peer.spell(STOPPED_TAG), {"pad": "x" * 1000, "n": 0}

    def events() -> Iterator[Event]:
        for number in range(count):
            data["n"] = number
            yield tag, data

    with peer.connect() as connection:
        _greet(line, connection, [tag], 1)
        used = time.process_time()
        connection.publish_many(events())
        return _use("publisher", used)


def _memory(peer: Peer) -> int:
    return sum(memory_bytes(pid) for pid in peer.pids().values())


def _stopped_once(peer: Peer, count: int) -> tuple[Outcome, float]:
    wanted = (peer, STOPPED_PATTERN, count, count, 1)
    with ExitStack() as stack:
        stopped = stack.enter_context(Worker(_receive, *wanted))
        reading = stack.enter_context(Worker(_receive, *wanted))
        publisher = stack.enter_context(Worker(_publish_big, peer, count))
        stopped.ready()
        reading.ready()
        os.kill(stopped.pid, signal.SIGSTOP)
        for pid in peer.pids().values():
            forget_memory_peak(pid)
        servers, before = _Servers(peer), _memory(peer)
        started = time.perf_counter()
        publisher.go()
        use: ProcessUse = publisher.result()
        other: Received = reading.result()
        grown = sum(memory_peak_bytes(pid) for pid in peer.pids().values()) - before
        os.kill(stopped.pid, signal.SIGCONT)
        late: Received = stopped.result()
    figures = {"grown": float(grown), "missed": float(late.lost), "other_missed": float(other.lost)}
    uses = [*servers.uses(), *_together([use, other.use, late.use])]
    return Outcome(figures, count, late.lost + other.lost, late.doubled + other.doubled, uses), (
        other.last_at - started
    )


def one_stopped(peer: Peer, scale: Scale) -> Outcome:
    """One of two subscribers does not read while 100 000 events of 1 KiB pass, and then reads on."""
    first, took_s = _stopped_once(peer, 1000)
    most = 10_000 if scale.quick else 100_000
    count = min(int(1000 / max(took_s, 1e-3) * 10 * scale.seconds), most)
    return _stopped_once(peer, count)[0] if count > 1000 else first


def _one(_line: Line, peer: Peer) -> None:
    with peer.connect() as connection:
        connection.publish_one(peer.spell(TAG), job_return())


def at_rest(peer: Peer, _scale: Scale) -> Outcome:
    """Start the peer, publish one event, and look at the memory of its processes."""
    with Worker(_one, peer) as publisher:
        publisher.result()
    return Outcome({"bytes": float(_memory(peer))}, 1, 0, 0, _Servers(peer).uses())


def command(peer: Peer, scale: Scale) -> Outcome:
    """Publish one event from the shell, all in all."""
    runs = 3 if scale.quick else 20
    times = times_s([*peer.command(peer.spell(TAG))], runs)
    return Outcome({"p50": percentile(times, 0.5)}, runs)


def script(peer: Peer, scale: Scale) -> Outcome:
    """Run a Python program that publishes one event with the usual client, all in all."""
    runs = 3 if scale.quick else 20
    times = times_s([peer.python(), "-W", "ignore", "-c", peer.script(peer.spell(TAG))], runs)
    return Outcome({"p50": percentile(times, 0.5)}, runs)


def size(peer: Peer, _scale: Scale) -> Outcome:
    """What is installed."""
    return Outcome({"bytes": float(peer.installed_bytes())})


OTHERS: dict[str, Callable[[Peer, Scale], Outcome]] = {
    "latency": latency,
    "publish": publish,
    "stopped": one_stopped,
    "replay": replay,
    "command": command,
    "script": script,
    "rest": at_rest,
    "size": size,
}
NAMES = (*FLOWS, *OTHERS)


def run(name: str, peer: Peer, scale: Scale) -> Outcome:
    """Do one workload with a peer that has been started.

    Raises whatever the peer's client does; subprocess.SubprocessError from programs.
    """
    if name in FLOWS:
        return flow(peer, scale, FLOWS[name])
    return OTHERS[name](peer, scale)
