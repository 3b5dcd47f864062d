"""Streams over HTTP: events to 1, 50 and 1,000 clients, from our interface and from Salt's own `salt-api`.

    python -m bench.sse [--quick] [--clients 1,50,1000] [--idle 10000] [--without-salt]

The same light clients for all, in one process of their own (bench/sse_clients.py), and the same events.  The master runs with
all its parts; what fires is a program on its bus.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import uvloop

from bench.budgets import Row, many
from bench.environments import NotInstalled
from bench.idle_minions import SPARE_DESCRIPTORS
from bench.page import MIB, budgets_table, duration, rate
from bench.processes import percentile
from bench.sections import parser_of, run_alone, section
from bench.sse_clients import Client, Clients, all_have, total
from bench.sse_servers import Server, ours, salts

COUNTS = (1, 50, 1000)
IDLE, QUICK_IDLE = 10_000, 200
ONE_TO_ALL_S_MAX = 1.0
WITHIN_S = 60.0
SINGLES, QUICK_SINGLES = 20, 3
SINGLES_S = 30.0
"""After that no further one is begun."""
PAUSE_S = 0.1
GOODBYES = 10
FLOW_S, QUICK_FLOW_S = 3.0, 0.3
FLOW_MOST = 50_000
COMINGS, QUICK_COMINGS = 20, 3
COMING_RATE = 100.0
POOL = 1100
"""Threads of Salt's interface, for a thousand clients: each has one for itself."""
ABOUT = (
    "One event at a time to all clients, from the moment before it is fired until the first and the last client have it; then events as fast as all "
    "take them, for about {seconds:g} s: what all clients got in a second, and processor time for each event that one client got. The clients decode nothing. "
    "Salt's interface runs a thread for each client, 100 by itself (`thread_pool`)."
)
ABOUT_COMING = "From the start of a client's connection to its first event, of {rate:g} a second, while nobody else is there; median of {runs}."
ABOUT_IDLE = "Clients of our `/events` that only wait, and an event to all of them now and then."
HEAD = (
    "| stream | clients | all answered within | one event: first client | last client, p50 | at most | delivered | missing | interface, each delivered | bus, each | "
    "clients, each | memory of the interface |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)


class Scale(NamedTuple):
    singles: int
    flow_s: float
    comings: int


FULL, QUICK = Scale(SINGLES, FLOW_S, COMINGS), Scale(QUICK_SINGLES, QUICK_FLOW_S, QUICK_COMINGS)


class Singles(NamedTuple):
    """Single events to all: how long until the first and the last client had each."""

    first: list[float]
    last: list[float]


class Flow(NamedTuple):
    delivered: int
    missing: int
    took_s: float
    api_s: float
    bus_s: float
    clients_s: float

    def cells(self) -> str:
        each = (duration(part / max(self.delivered, 1)) for part in (self.api_s, self.bus_s, self.clients_s))
        return f"{rate(self.delivered / self.took_s)} | {self.missing or 'none'} | {' | '.join(each)}"


class Figure(NamedTuple):
    """`answered`: of `wanted` clients; where some were not, nothing else is measured."""

    words: str
    wanted: int
    answered: int
    in_s: float
    api_bytes: int
    singles: Singles | None = None
    flow: Flow | None = None

    def row(self) -> str:
        head = f"| {self.words} | {many(self.wanted)} | "
        if self.singles is None or self.flow is None:
            return f"{head}{self.answered} of them within {self.in_s:.0f} s; the others waited in vain |{' |' * 9}"
        size = f"{self.api_bytes / MIB:.0f} MiB"
        return f"{head}{duration(self.in_s)} | {_singles_cells(self.singles)} | {self.flow.cells()} | {size} |"


def _singles_cells(found: Singles) -> str:
    return f"{duration(percentile(found.first, 0.5))} | {duration(percentile(found.last, 0.5))} | {duration(max(found.last))}"


# -- What is done with a server --------------------------------------------------------------------------------------


async def coming(server: Server, runs: int) -> float:
    """Return the median time from the start of a connection to its first event."""
    times: list[float] = []
    server.firing.begin(int(runs * COMING_RATE), COMING_RATE)
    for _ in range(runs):
        clients, begun = Clients(server.port, server.request, server.mark), time.monotonic()
        answered = await clients.connect(1, WITHIN_S)
        if not answered:
            raise RuntimeError(f"a stream was answered with {clients.all[0].status}")
        client = answered[0]
        if await all_have([client], [1], WITHIN_S):
            times.append(client.last_at - begun)
        clients.close()
    await asyncio.to_thread(server.firing.times)
    return percentile(times, 0.5)


async def singles(server: Server, clients: Sequence[Client], runs: int) -> Singles:
    """Raises TimeoutError: an event has not come to all."""
    found, enough_s = Singles([], []), time.monotonic() + SINGLES_S
    while len(found.last) < runs and not (found.last and time.monotonic() > enough_s):
        await asyncio.sleep(PAUSE_S)
        wanted = [client.events + 1 for client in clients]
        server.firing.begin(1)
        if not await all_have(clients, wanted, WITHIN_S):
            raise TimeoutError(f"an event has not come to all of {len(clients)} clients within {WITHIN_S:g} s")
        (fired,) = await asyncio.to_thread(server.firing.times)
        found.first.append(min(client.last_at for client in clients) - fired)
        found.last.append(max(client.last_at for client in clients) - fired)
    return found


async def flow(server: Server, clients: Sequence[Client], seconds: float) -> Flow:
    """Fire more and more events until they take long enough."""
    count = max(1000 // len(clients), 1)
    while True:
        found = await _flow_once(server, clients, count)
        most = min(FLOW_MOST, 30 * count)
        if found.took_s >= seconds / 2 or found.missing or count == FLOW_MOST:
            return found
        count = min(max(int(count / max(found.took_s, 1e-3) * seconds), 2 * count), most)


async def _flow_once(server: Server, clients: Sequence[Client], count: int) -> Flow:
    before, own, start = server.uses(), time.process_time(), total(clients)
    wanted = [client.events + count for client in clients]
    server.firing.begin(count)
    firing = asyncio.create_task(asyncio.to_thread(server.firing.times))
    await all_have(clients, wanted, WITHIN_S)
    fired = await firing
    after, delivered = server.uses(), total(clients) - start
    took_s = max(client.last_at for client in clients) - fired[0]
    missing = count * len(clients) - delivered
    return Flow(
        delivered, missing, max(took_s, 1e-9), after.api_s - before.api_s, after.bus_s - before.bus_s,
        time.process_time() - own,
    )  # fmt: skip


async def _forgotten(server: Server) -> None:
    """Let the server see that its clients have gone: Salt's does where it writes, and keeps a thread for each until then."""
    server.firing.begin(GOODBYES, 1 / PAUSE_S)
    await asyncio.to_thread(server.firing.times)
    await asyncio.sleep(GOODBYES * PAUSE_S)


async def delivery(words: str, server: Server, count: int, scale: Scale) -> Figure:
    clients, begun = Clients(server.port, server.request, server.mark), time.monotonic()
    try:
        answered = await clients.connect(count, WITHIN_S)
        in_s = time.monotonic() - begun
        await asyncio.sleep(1.0)  # Until nothing of the beginning is left to do.
        found = Figure(words, count, len(answered), in_s, server.uses().api_bytes)
        if len(answered) == count:
            found = found._replace(
                singles=await singles(server, answered, scale.singles), flow=await flow(server, answered, scale.flow_s)
            )
    finally:
        clients.close()
        await _forgotten(server)
    print(found.row(), file=sys.stderr, flush=True)
    return found


async def idle(server: Server, count: int, runs: int) -> list[Row]:
    """Return the budgets' rows for so many clients that wait.  Raises TimeoutError."""
    clients, before, begun = Clients(server.port, server.request, server.mark), server.uses(), time.monotonic()
    try:
        answered = await clients.connect(count, 5 * WITHIN_S)
        in_s = time.monotonic() - begun
        if len(answered) < count:
            raise TimeoutError(f"{len(answered)} of {count} clients were answered within {in_s:.0f} s")
        await asyncio.sleep(1.0)
        each = (server.uses().api_bytes - before.api_bytes) / count
        found = await singles(server, answered, runs)
    finally:
        clients.close()
    words, last = f"{many(count)} idle clients of `/events`", percentile(found.last, 0.5)
    is_whole = count >= IDLE
    rows = [
        Row(f"{words}: one event to all, until the last has it", duration(last), f"at most {duration(max(found.last))}; the first has it after "
            f"{duration(percentile(found.first, 0.5))}", "", f"{IDLE} clients, 1 s" if is_whole else "", last <= ONE_TO_ALL_S_MAX if is_whole else None),
        Row(f"{words}: memory of the interface, each", f"{each / 1024:.0f} KiB", f"all are let in within {in_s:.0f} s", "", "", None),
    ]  # fmt: skip
    print(rows, file=sys.stderr, flush=True)
    return rows


# -- All of it -------------------------------------------------------------------------------------------------------


class Found:
    """What one run has found, as it comes."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.figures: list[Figure] = []
        self.comings: list[str] = []
        self.idle: list[Row] = []
        self.notes: list[str] = []

    def measure(self, words: str, server: Server, counts: Sequence[int]) -> None:
        self.comings.append(f"| {words} | {duration(uvloop.run(coming(server, self.scale.comings)))} |")
        for count in counts:
            self._deliver(words, server, count)

    def _deliver(self, words: str, server: Server, count: int) -> None:
        try:
            self.figures.append(uvloop.run(delivery(words, server, count, self.scale)))
        except TimeoutError as error:
            self.notes.append(f"{words}: {error}.")

    def measure_ours(self, counts: Sequence[int], idle_count: int) -> None:
        with ours(max(*counts, idle_count)) as (salt_form, native):
            self.measure("Sylvite, `/events`", salt_form, counts)
            self.measure("Sylvite, `/v1/events/stream`", native, counts)
            self.idle = uvloop.run(idle(salt_form, idle_count, self.scale.singles))

    def measure_salt(self, counts: Sequence[int]) -> None:
        """Raises NotInstalled."""
        with salts() as server:
            self.measure("Salt, `/events`", server, counts)
        if any(figure.answered < figure.wanted for figure in self.figures):
            with salts(POOL) as server:
                self._deliver(f"Salt, `thread_pool: {POOL}`", server, max(counts))

    def texts(self) -> list[str]:
        coming_words = ABOUT_COMING.format(rate=COMING_RATE, runs=self.scale.comings)
        return [
            ABOUT.format(seconds=self.scale.flow_s), "\n".join([HEAD, *(figure.row() for figure in self.figures)]),
            *self.notes, coming_words, "\n".join(["| stream | first event after |", "|---|---|", *self.comings]),
            ABOUT_IDLE, budgets_table(self.idle),
        ]  # fmt: skip


def measure(given: argparse.Namespace) -> str:
    found = Found(QUICK if given.quick else FULL)
    sessions = given.idle or (QUICK_IDLE if given.quick else IDLE)
    counts = given.clients or (COUNTS[:2] if given.quick else COUNTS)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most < sessions + SPARE_DESCRIPTORS:
        found.notes.append(f"`ulimit -n` says {most}: {sessions} idle clients could not be.")
        sessions = most - SPARE_DESCRIPTORS
    found.measure_ours(counts, sessions)
    if not given.without_salt:
        try:
            found.measure_salt(counts)
        except (NotInstalled, TimeoutError) as error:
            found.notes.append(f"Salt could not be measured: {error}.")
    return section("Streams over HTTP", *found.texts())


def main() -> int:
    parser = parser_of("bench.sse", __doc__ or "")
    parser.add_argument("--clients", metavar="N,...", help=f"how many clients {COUNTS}",
                        type=lambda text: [int(count) for count in text.split(",")])  # fmt: skip
    parser.add_argument("--idle", type=int, default=0, metavar="N", help=f"how many that only wait ({IDLE})")
    parser.add_argument("--without-salt", action="store_true")
    return run_alone(parser, measure)


if __name__ == "__main__":
    sys.exit(main())
