"""A-15: how long it takes until a broker whose log was left in the middle of a write acknowledges the first event."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data
from sylvite.eventlog.eventlog import EventLog, LogSettings, NewBatch
from sylvite.eventlog.storage import DiskStorage
from tests.eventlog.logs import NOW_NS, sync
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.report import report

MIB = 1024 * 1024
EVENT_BYTES = 340
SMALL_BYTES = 5 * MIB
TIMES_MORE = 10
GROWTH_MAX = 2.0
"""Ten times the log may cost so many times as much; what is read is its end, and a list of the rest."""
STARTS = 2
LONG_EVENTS = int(os.environ.get("SYLVITE_FAULTS_RECOVERY_EVENTS", "3000000"))
FIRST_ACK_WITHIN_S = 2.0
MEMORY_MIB_MAX = 150.0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a15")


def _make_log(folder: Path, events: int, settings: LogSettings, *, events_a_batch: int) -> None:
    """A log as a killed broker leaves it: its last segment is neither sealed nor whole."""
    builder = BlockBuilder()
    for number in range(events_a_batch):
        builder.add(f"load/{number % 50}", pack_data({"n": number, "pad": "x" * (EVENT_BYTES - 20)}))
    block, count = builder.take()
    log = EventLog(DiskStorage(folder), settings, now_ns=NOW_NS)
    for first in range(0, events, count):
        log.append([NewBatch(block, count, "uid:0", 7, first)], NOW_NS + first)
        if log.unsynced_bytes > MIB:
            sync(log)
    sync(log)
    last = log.segments[-1]
    with (folder / last.name).open("r+b") as file:
        file.seek(last.size)
        file.write(block[:5000])
    log.storage.close()


class _StartedOn:
    """A broker that was started on a log: its processor time and memory when it served, and when it first answered."""

    def __init__(self, forks: Forks, place: Path, log: Path, settings: LogSettings, without: str | None = None) -> None:
        began = time.monotonic()
        start = Start(str(place), BrokerSettings(log=settings), log_folder=str(log), without=without)
        started = forks.start(start)
        assert started.ready, broker_output(place)
        with Client.connect(place / "bus.sock") as client:
            client.publish("load/first", {})
            self.first_ack_s = time.monotonic() - began
        self.processor_s = int(Path(f"/proc/{started.pid}/schedstat").read_text().split()[0]) / 1e9
        status = Path(f"/proc/{started.pid}/status").read_text().splitlines()
        self.memory_mib = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
        forks.kill(started.pid)
        assert "recovered" in broker_output(place), "the log was whole"


def _grow(forks: Forks, folder: Path, *, without: str | None = None) -> None:
    """Raises AssertionError: recovery costs nearly as many times more as the log is longer."""
    settings = LogSettings(segment_bytes=MIB, keep_free_bytes=0)
    costs: list[float] = []
    memory: list[float] = []
    for size in (SMALL_BYTES, SMALL_BYTES * TIMES_MORE):
        started: list[_StartedOn] = []
        for attempt in range(STARTS):
            # Made anew each time: a start leaves a log that is whole.
            place = folder / f"{size}-{attempt}"
            _make_log(place / "log", size // EVENT_BYTES, settings, events_a_batch=10)
            started.append(_StartedOn(forks, place, place / "log", settings, without))
        costs.append(min(each.processor_s for each in started))
        memory.append(max(each.memory_mib for each in started))
    counters = {
        "growth": round(costs[1] / costs[0], 2), "small_s": round(costs[0], 4), "large_s": round(costs[1], 4),
        "memory_growth_mib": round(memory[1] - memory[0], 1),
    }  # fmt: skip
    target = {"growth": GROWTH_MAX, "memory_growth_mib": 32.0}
    report("A-15", seed=0, runs=2 * STARTS, counters=counters, target=target, without=without)


def test_recovery_of_a_ten_times_longer_log_does_not_cost_ten_times_as_much(forks: Forks, folder: Path) -> None:
    """In processor time, so that a busy machine does not matter."""
    _grow(forks, folder)


def test_without_summaries_recovery_costs_as_much_as_the_log_is_long(forks: Forks, folder: Path) -> None:
    """Negative control: every segment is read."""
    with pytest.raises(AssertionError, match='"row": "A-15"'):
        _grow(forks, folder, without="summaries")


@pytest.mark.long
def test_a_log_of_three_million_events_answers_within_two_seconds(forks: Forks, folder: Path) -> None:
    settings = LogSettings(keep_free_bytes=0)
    log = folder / "log"
    _make_log(log, LONG_EVENTS, settings, events_a_batch=500)
    size = sum(path.stat().st_size for path in log.glob("seg-*.log"))
    first = _StartedOn(forks, folder / "bus", log, settings)
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "sylvite", "log", "verify", "--dir", str(folder)], check=True, capture_output=True
    )
    verified_s = time.monotonic() - began
    counters = {
        "first_ack_s": round(first.first_ack_s, 3), "memory_mib": round(first.memory_mib, 1),
        "events": LONG_EVENTS, "log_mib": round(size / MIB), "verify_mib_s": round(size / MIB / verified_s),
    }  # fmt: skip
    target = {"first_ack_s": FIRST_ACK_WITHIN_S, "memory_mib": MEMORY_MIB_MAX}
    report("A-15", seed=0, runs=1, counters=counters, target=target)
