"""A-02: the process dies before and after each call that writes, and what is left is recovered."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.errors import AckUnknown, ConnectionLost, LogNotUnderstood
from sylvite.eventlog.eventlog import LogSettings
from sylvite.testing.storage import WRITE_CALLS, MemoryStorage, Moment, WatchedStorage
from tests.faults.forked_brokers import (
    DiskFault,
    Forks,
    Start,
    broker_output,
    faults_that_happened,
    forked_brokers,
)
from tests.faults.ledger import COUNTERS, Ledger
from tests.faults.report import control, report
from tests.faults.script import Crash, Run, check
from tests.faults.traffic import read_to_end

MOMENTS: tuple[Moment, ...] = ("before", "after")


class CrashAt:
    """A watch that ends the process before or after write-side call `at`; `happened` is that call's name."""

    def __init__(self, moment: Moment, at: int) -> None:
        self.moment, self.at, self.calls, self.happened = moment, at, 0, ""

    def __call__(self, moment: Moment, call: str) -> None:
        if moment != self.moment or call not in WRITE_CALLS:
            return
        self.calls += 1
        if self.calls == self.at:
            self.happened = call
            raise Crash


def _crash_everywhere(events: int, cuts: int, seed: int, *, syncs: bool = True) -> None:
    rng = random.Random(seed)
    calls: dict[str, float] = dict.fromkeys(WRITE_CALLS, 0)
    recoveries = 0
    for moment in MOMENTS:
        at = 0
        while True:
            at += 1
            storage = MemoryStorage()
            storage.syncs = syncs
            watch = CrashAt(moment, at)
            run = Run(WatchedStorage(storage, watch))
            try:
                run(events)
            except Crash:
                calls[watch.happened] += 1
            else:
                assert not watch.happened
                break
            case = f"killed {moment} call {at} ({watch.happened})"
            for cut in range(cuts):
                check(storage.after_power_cut(rng), run, run.synced, f"{case}, power cut {cut}")
            check(storage.after_kill(), run, run.written, case)
            recoveries += cuts + 1
    assert {call for call, count in calls.items() if not count} == {"make_folder"}, "the script makes every other call"
    report("A-02", seed=seed, runs=recoveries, counters={"violations": 0, **calls}, target={"violations": 0})


def test_a_crash_around_any_write_loses_nothing_that_was_answered() -> None:
    """`written` survives the death of the process, `synced` a power cut too; nothing refused or unsent appears."""
    _crash_everywhere(80, 2, seed=11)


@pytest.mark.long
def test_a_crash_around_any_write_of_a_long_run_loses_nothing_that_was_answered() -> None:
    _crash_everywhere(200, 20, seed=12)


def test_without_syncs_a_power_cut_loses_events() -> None:
    """Negative control: a storage whose sync does nothing."""
    with control("A-02", without="syncs", by=(AssertionError, LogNotUnderstood)):
        _crash_everywhere(80, 2, seed=13, syncs=False)


# -- Real processes ------------------------------------------------------------------------------------------------

DISK_SETTINGS = BrokerSettings(
    log=LogSettings(segment_bytes=8 * 1024, keep_bytes=48 * 1024, keep_free_bytes=0, tail_bytes=4 * 1024)
)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


def _publish_until_it_dies(socket: Path, ledger: Ledger, events: int) -> None:
    """Publish alone and in groups, with a durable reader beside; stop at the first sign that the broker is gone."""
    with Client.connect(socket, reconnect_s=0) as client, Client.connect(socket, reconnect_s=0) as other:
        epoch = client._core.source_epoch  # pyright: ignore[reportPrivateUsage] - what readers know it by
        source = ledger.source(epoch)
        try:
            with other.subscribe("load/", cursor="reader", since="oldest", timeout_s=5) as subscription:
                for number in range(events):
                    source.sent = number + 1
                    level = "written" if number % 3 else "synced"
                    published = client.publish("load/one", {"n": number, "pad": "x" * 600}, level=level)
                    source.acknowledged.add(number)
                    ledger.place(published.offset, epoch, number)
                    subscription.next(0)
        except (AckUnknown, ConnectionLost):
            pass  # What this test is for.


def _kill_processes(forks: Forks, folder: Path, sample: range, events: int, moments: Sequence[Moment]) -> None:
    """Kill it around these calls that write, until there are no more of them; at one of these moments after the other."""
    counters: dict[str, float] = dict.fromkeys((*COUNTERS, "killed"), 0)
    for at in sample:
        moment = moments[at % len(moments)]
        place, ledger = folder / str(at), Ledger()
        started = forks.start(Start(str(place), DISK_SETTINGS, fault=DiskFault(at=at, moment=moment)))
        if started.ready:
            _publish_until_it_dies(place / "bus.sock", ledger, events)
        happened = faults_that_happened(place)
        forks.kill(started.pid)
        if not happened:
            break  # The run has fewer calls than that.
        counters["killed"] += 1
        assert len(happened) == 1
        again = forks.start(Start(str(place), DISK_SETTINGS))
        assert again.ready, broker_output(place)
        reading = ledger.reading()
        read_to_end(place / "bus.sock", reading)
        reading.finish()
        forks.kill(again.pid)
        assert not any(ledger.wrong.values()), f"killed {happened[0]}: {ledger.first_wrong}"
        for name, count in ledger.counters.items():
            counters[name] += count
        shutil.rmtree(place)
    killed = int(counters["killed"])
    report("A-02", seed=0, runs=killed, counters=counters, target=dict.fromkeys(COUNTERS, 0))
    assert killed >= events * 2 // sample.step, "the run has fewer calls than it must have"


def test_a_process_killed_around_a_write_loses_nothing(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A sample on a real disk: the broker kills itself in the middle of its own calls."""
    _kill_processes(forks, tmp_path_factory.mktemp("a02"), range(1, 600, 17), 120, MOMENTS)


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS)
def test_processes_killed_around_every_write_lose_nothing(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, moment: Moment
) -> None:
    _kill_processes(forks, tmp_path_factory.mktemp("a02"), range(1, 2000), 200, [moment])
