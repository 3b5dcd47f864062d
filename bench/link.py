"""The link: how many events a second reach a listener on the master's bus, from minions, over TLS; and what idle ones cost.

    python -m bench.link [--quick] [--minions 1,100] [--idle 10000] [--without-salt]

The master has all its parts. What is fired is an event of about 250 bytes, each a load of its own; it counts when the
listener has it, decoded. Simulated minions are many in one process and have no bus (bench/minions.py); the real one is
fired on as programs do it, and its log has each event synced before it goes up. Beside it a real Salt master with a real
Salt minion, which keeps nothing: what it drops is said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench import idle_minions, minions
from bench.environments import NotInstalled
from bench.events import job_return
from bench.jobs import WITHIN_S, ask_salt, master, real_minion, salt_nodes
from bench.minions import count_parser
from bench.page import budgets_table
from bench.processes import Line, Worker, cpu_s, memory_bytes
from bench.sections import run_alone, section
from sylvite import Client
from sylvite.auth.keys import KeyPair
from sylvite.core.event import pack_data
from sylvite.core.known_tags import OUTBOX

COUNTS = (1, 100)
ABOUT = (
    "Events of 250 bytes, each fired alone, until a listener on the master's bus has them, decoded; all on one machine, over TLS, with all parts of a "
    "master. Simulated minions are sessions in one process, without a bus; a real one has each event synced in its log first. Salt's minion keeps "
    "nothing; what it drops is missing."
)
ABOUT_IDLE = (
    "Simulated minions that only idle, each with a key, TLS and a session of its own; all are in one process, which shares the machine with the "
    "master. They come back as fast as they can, 50 at a time: real ones spread themselves over seconds."
)
QUICK_IDLE = 200
EVENTS, QUICK_EVENTS, SALT_EVENTS = 100_000, 2000, 2000
TAG = "bench/n"
PAUSE_S = 1.0
"""Between the last minion that was let in and the first event."""
SALT_PROGRAM = """
import json, sys, time
import salt.client, salt.config, salt.exceptions, salt.utils.event
master_file, minion_file, count, within_s = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
until = time.monotonic() + within_s
while True:
    try:
        if salt.client.LocalClient(master_file).cmd("*", "test.ping", timeout=5) == {"salty": True}:
            break
    except (salt.exceptions.SaltException, OSError, SystemExit):
        pass  # The master or its key is not there yet.
    assert time.monotonic() < until, "the minion does not come"
    time.sleep(0.5)
master, minion = salt.config.master_config(master_file), salt.config.minion_config(minion_file)
with salt.utils.event.get_event("master", opts=master, sock_dir=master["sock_dir"], listen=True) as heard, \\
        salt.utils.event.get_event("minion", opts=minion, sock_dir=minion["sock_dir"], listen=False) as bus:
    heard.subscribe("bench/n")
    data, found = json.loads(sys.argv[5]), 0
    begun = last = time.perf_counter()
    for n in range(count):
        bus.fire_event({"tag": "bench/n", "data": {**data, "n": n}, "events": None, "pretag": None}, "fire_master")
    while found < count and heard.get_event(tag="bench/n", wait=15) is not None:
        found, last = found + 1, time.perf_counter()
print(json.dumps([found, last - begun]))
"""


class Figure(NamedTuple):
    """`link_us`: processor time of the master's link for one event; `session_bytes`: of its memory for an idle session."""

    words: str
    fired: int
    arrived: int
    took_s: float
    link_us: float | None = None
    session_bytes: float | None = None

    def row(self) -> str:
        cpu = "" if self.link_us is None else f"{self.link_us:.0f} µs"
        size = "" if self.session_bytes is None else f"{self.session_bytes / 1024:.0f} KiB"
        missing = f"{self.fired - self.arrived:,} of {self.fired:,}" if self.fired > self.arrived else "none"
        return f"| {self.words} | {self.arrived / self.took_s:,.0f}/s | {missing} | {cpu} | {size} |"


def load(number: int) -> dict[str, object]:
    return {"tag": TAG, "data": job_return(number), "events": None, "pretag": None}


def hear(line: Line, socket: Path, count: int) -> tuple[int, float]:
    """Hear so many events on a bus; return how many came, and when the last one did."""
    heard, last = 0, time.monotonic()
    with Client.connect(socket) as bus, bus.subscribe(TAG) as subscription:
        line()
        while heard < count and subscription.next(timeout_s=WITHIN_S / 4) is not None:
            heard, last = heard + 1, time.monotonic()
    return heard, last


def fire(line: Line, pairs: Mapping[str, KeyPair], port: int, each: int) -> float:
    """Be these minions, and fire so many events from each; return when it began.  It goes on until it is ended."""
    return asyncio.run(_fire(line, pairs, port, each))


async def _fire(line: Line, pairs: Mapping[str, KeyPair], port: int, each: int) -> float:
    packed = [pack_data(load(number)) for number in range(each)]
    found = await minions.connected(pairs, port)
    await asyncio.sleep(PAUSE_S)
    line()
    begun = time.monotonic()
    for minion in found:
        minion.fire(iter(packed))
    async with asyncio.timeout(WITHIN_S):
        while any(minion.is_firing for minion in found):
            await asyncio.sleep(0.05)
    return begun


def simulated(count: int, events: int) -> Figure:
    """Return the figure for so many simulated minions."""
    each = max(events // count, 1)
    with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as folder, master(Path(folder)) as (found, link):
        pairs = minions.let_in(found.data / "keys", count)
        before = memory_bytes(link)
        with Worker(hear, found.place.socket, count * each) as listener:
            listener.ready(WITHIN_S)
            with Worker(fire, pairs, found.port, each) as worker:
                worker.ready(WITHIN_S)
                session, cpu = (memory_bytes(link) - before) / count, cpu_s(link)
                begun = worker.result()
                arrived, last = listener.result()
                us = (cpu_s(link) - cpu) / (count * each) * 1e6
    words = f"{count:,} simulated minion{'s' if count > 1 else ''}"
    return Figure(words, count * each, arrived, last - begun, us, session if count >= 100 else None)


def real(events: int) -> Figure:
    """Return the figure for a real minion."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sylvite-bench-"))
        found, link = stack.enter_context(master(Path(folder)))
        socket = stack.enter_context(real_minion(found))
        listener = stack.enter_context(Worker(hear, found.place.socket, events)).ready(WITHIN_S)
        cpu = cpu_s(link)
        with Client.connect(socket) as bus:
            begun = time.monotonic()
            bus.publish_many((OUTBOX, load(number)) for number in range(events))
        arrived, last = listener.result()
        us = (cpu_s(link) - cpu) / events * 1e6
    return Figure("1 real minion", events, arrived, last - begun, us)


def salt(events: int) -> Figure:
    """Return the figure for a real Salt master and minion.  Raises NotInstalled."""
    with salt_nodes() as (python, master_file, minion_file):
        arrived, took_s = ask_salt(
            python, SALT_PROGRAM, str(master_file), str(minion_file), str(events), str(WITHIN_S), json.dumps(job_return())
        )  # fmt: skip
    return Figure("1 real Salt minion, Salt's master", events, arrived, took_s or 1.0)


def measure(counts: Sequence[int], *, quick: bool, with_salt: bool) -> str:
    """Return the figures as a table."""
    rows: list[str] = []
    notes: list[str] = []

    def note(figure: Figure) -> None:
        rows.append(figure.row())
        print(rows[-1], file=sys.stderr, flush=True)

    events = QUICK_EVENTS if quick else EVENTS
    for count in counts:
        note(simulated(count, events))
    note(real(events))
    if with_salt:
        try:
            note(salt(QUICK_EVENTS // 10 if quick else SALT_EVENTS))
        except NotInstalled as error:
            notes.append(f"Salt could not be measured: {error}")
    head = [
        "| events to the master's bus from | rate | missing | link, each event | link, each session |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, "", *notes])


def idle(count: int, *, quick: bool) -> str:
    """Return what so many idle minions cost, as a table; or why they cannot be."""
    try:
        found = idle_minions.measure(count, rest_s=2.0) if quick else idle_minions.measure(count)
    except idle_minions.TooFewDescriptors as error:
        return f"Idle minions were left out: {error}."
    return budgets_table(found.rows())


def main() -> int:
    parser = count_parser("bench.link", __doc__ or "", COUNTS)
    parser.add_argument("--idle", type=int, default=0, metavar="N", help="how many idle ones (10000)")

    def part(given: argparse.Namespace) -> str:
        sessions = given.idle or (QUICK_IDLE if given.quick else idle_minions.SESSIONS)
        texts = [measure(given.minions, quick=given.quick, with_salt=not given.without_salt)] if given.minions else []
        return section("The link", ABOUT, *texts, ABOUT_IDLE, idle(sessions, quick=given.quick))

    return run_alone(parser, part)


if __name__ == "__main__":
    sys.exit(main())
