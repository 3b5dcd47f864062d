"""Salt's names: `salt.utils.event` and the programs, ours (the distribution sylvite-salt) beside Salt's own.

    python -m bench.names [--quick]

The same programs run twice, unmodified: in an environment with our wheels, and in one with Salt.  First the bus alone, then
programs from their start to their end, with a master and a minion on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.budgets import between, ms
from bench.columns import NAMES, peer_class
from bench.comparison import Results, compare
from bench.environments import NotInstalled, interpreter
from bench.installed import times_s
from bench.jobs import WITHIN_S, ask_salt, master, real_minion, salt_nodes
from bench.page import LINES, multiple, set_up, table
from bench.processes import Spread, spread
from bench.sections import parser_of, run_alone, section

WORKLOADS = ("1 to 1", "1 to 10", "latency", "publish")
RUNS, QUICK_RUNS = 5, 2
ABOUT = (
    "`salt.utils.event` as programs written for Salt use it: `get_event`, `fire_event` one after the other, `get_event(full=True)` in a loop. The same "
    "program runs on each bus; which `salt` it imports is the only difference. Median of 3 runs, then the least and the most. Our `fire_event` returns "
    "once the event is synced, or written; Salt's once the socket has taken it, whoever hears it. A ratio is Salt's figure over ours with `written`; "
    "where Salt's is ahead it is bold."
)
ABOUT_PROGRAMS = (
    "From the start of a program to its end, with a master and a minion on this machine, which run already. Median, then the least and the most, of "
    "{runs} runs. `state.event` waits for one of 50 events a second."
)
TICKER = """
import sys, time
import salt.config, salt.utils.event
opts = salt.config.client_config(sys.argv[1])
with salt.utils.event.get_event("master", sock_dir=opts["sock_dir"], opts=opts, listen=False) as bus:
    while True:
        bus.fire_event({"n": 1}, "bench/tick")
        time.sleep(0.02)
"""
FIRE = """
import sys
import salt.config, salt.utils.event
opts = salt.config.client_config(sys.argv[1])
with salt.utils.event.get_event("master", sock_dir=opts["sock_dir"], opts=opts, listen=False) as bus:
    assert bus.fire_event({"n": 1}, "bench/cold")
"""
CLIENT = """
import sys
import salt.client
salt.client.LocalClient(sys.argv[1])
"""
PING = """
import json, sys, time
import salt.client, salt.exceptions
until = time.monotonic() + float(sys.argv[2])
while True:
    try:
        if True in salt.client.LocalClient(sys.argv[1]).cmd("*", "test.ping", timeout=5).values():
            break
    except (salt.exceptions.SaltException, OSError, SystemExit):
        pass  # The master or its key is not there yet.
    assert time.monotonic() < until, "the minion does not come"
    time.sleep(0.5)
print(json.dumps(True))
"""
"""Return once the minion answers."""


class Nodes(NamedTuple):
    """A master and a minion that run: the interpreter whose programs know them, and the folders of their configurations."""

    python: Path
    master: Path
    minion: Path

    def commands(self) -> dict[str, list[str | Path]]:
        """Return what is measured: its words, and the command line."""
        file, programs = self.master / "master", self.python.parent
        on_master, on_minion = ("-c", self.master), ("-c", self.minion)
        return {
            "`salt --version`": [programs / "salt", "--version"],
            "`salt-call event.fire '{n: 1}' TAG`": [programs / "salt-call", *on_minion, "event.fire", "{n: 1}", "bench/cold"],
            "`salt-call event.send TAG '{n: 1}'`": [programs / "salt-call", *on_minion, "event.send", "bench/cold", "{n: 1}"],
            "`salt-run event.send TAG '{n: 1}'`": [programs / "salt-run", *on_master, "event.send", "bench/cold", "{n: 1}"],
            "`salt-run state.event bench/tick count=1`": [programs / "salt-run", *on_master, "state.event", "bench/tick", "count=1"],
            "`salt '*' test.ping`": [programs / "salt", *on_master, "*", "test.ping"],
            "Python that makes a `salt.client.LocalClient`": [self.python, "-c", CLIENT, file],
            "Python that fires one event": [self.python, "-c", FIRE, file],
        }  # fmt: skip

    @contextlib.contextmanager
    def ticking(self) -> Generator[None]:
        """Fire 50 events a second meanwhile."""
        process = subprocess.Popen([self.python, "-W", "ignore", "-c", TICKER, self.master / "master"])
        try:
            yield
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def our_nodes() -> Generator[Nodes]:
    """Raises NotInstalled."""
    python = interpreter("names")
    with (
        tempfile.TemporaryDirectory(prefix="sylvite-bench-") as name,
        master(Path(name), python) as (found, _),
        real_minion(found),
    ):
        yield Nodes(python, found.folder, found.folder)


@contextlib.contextmanager
def their_nodes() -> Generator[Nodes]:
    """Raises NotInstalled."""
    with salt_nodes() as (python, master_file, minion_file):
        yield Nodes(python, master_file.parent, minion_file.parent)


def starts(runs: int) -> tuple[dict[str, Spread], dict[str, Spread]]:
    """Return how long each program took, ours and theirs.  Raises NotInstalled."""
    found: list[dict[str, Spread]] = []
    for running in (our_nodes, their_nodes):
        with running() as nodes, nodes.ticking():
            ask_salt(nodes.python, PING, str(nodes.master / "master"), str(WITHIN_S))
            found.append({words: _took(words, command, runs) for words, command in nodes.commands().items()})
    ours, theirs = found
    return ours, theirs


def _took(words: str, command: Sequence[str | Path], runs: int) -> Spread:
    found = spread(times_s([*command], runs, PYTHONWARNINGS="ignore"))
    print(f"{words}: {between(found, ms)}", file=sys.stderr, flush=True)
    return found


def starts_table(ours: Mapping[str, Spread], theirs: Mapping[str, Spread]) -> str:
    rows = [
        f"| {words} | {between(took, ms)} | {between(theirs[words], ms)} | {multiple(theirs[words].median / took.median)} |"
        for words, took in ours.items()
    ]
    return "\n".join(["| program | Sylvite | Salt | Salt's over ours |", "|---|---|---|---|", *rows])


def bus(*, quick: bool) -> str:
    """Return the figures of the bus as a table."""
    found = compare(
        list(NAMES), WORKLOADS, Results(None), lambda text: print(text, file=sys.stderr, flush=True), quick=quick
    )
    lines = [line for line in LINES if line.workload in WORKLOADS]
    made = table(list(NAMES), lines, found, lambda name: f"{peer_class(name).title}: {peer_class(name).promise}")
    return "\n".join([*made, *set_up(found)])


def measure(given: argparse.Namespace) -> str:
    runs = QUICK_RUNS if given.quick else RUNS
    texts = [
        ABOUT,
        bus(quick=given.quick),
        "### Programs, from their start to their end",
        ABOUT_PROGRAMS.format(runs=runs),
    ]
    try:
        texts.append(starts_table(*starts(runs)))
    except NotInstalled as error:
        texts.append(f"They could not be measured: {error}")
    return section("Salt's names", *texts)


if __name__ == "__main__":
    sys.exit(run_alone(parser_of("bench.names", __doc__ or ""), measure))
