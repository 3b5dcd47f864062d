"""A-15: sealed segments are read again beside the traffic, and damage is told before a reader comes to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.eventlog.scrub import SegmentCheck
from sylvite.eventlog.segment import START
from sylvite.eventlog.storage import DiskStorage
from tests.eventlog.logs import append, open_log, sync
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.report import control, report

MIB = 1024 * 1024
SEGMENT_BYTES = 64 * 1024
EVENTS = 2000
TOLD_WITHIN_S = 30.0
NOT_TOLD_WITHIN_S = 2.0
SHARE_MAX = 0.1
"""Of a core, at the rate that is set where nothing else is."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


def _tell_of_damage(forks: Forks, place: Path, every_s: float | None, within_s: float) -> None:
    """Damage a sealed segment under a broker that nobody reads from.  Raises AssertionError: it does not tell."""
    settings = LogSettings(segment_bytes=SEGMENT_BYTES, keep_free_bytes=0, scrub_every_s=every_s)
    started = forks.start(Start(str(place), BrokerSettings(log=settings)))
    assert started.ready, broker_output(place)
    with Client.connect(place / "bus.sock") as client, client.subscribe("sylvite/log/corrupt") as told:
        client.publish_many(("load/one", {"n": n, "pad": "x" * 100}) for n in range(EVENTS))
        segments = sorted((place / "log").glob("seg-*.log"))
        with segments[1].open("r+b") as file:
            file.seek(START + 20_000)
            file.write(b"damage" * 100)
        began = time.monotonic()
        event = told.next(within_s)
        told_s = time.monotonic() - began
        facts = client.ask("log")
    assert forks.stop(started.pid) == 0, broker_output(place)
    assert "Traceback" not in broker_output(place), broker_output(place)
    counters = {
        "untold": int(event is None or event.data["segment"] != segments[1].name), "told_s": round(told_s, 2),
        "rounds": facts["scrub"]["rounds"],
    }  # fmt: skip
    report("A-15 scrub", seed=0, runs=1, counters=counters, target={"untold": 0})


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a15")


def test_damage_is_told_before_a_reader_comes_to_it(forks: Forks, folder: Path) -> None:
    _tell_of_damage(forks, folder, 0.1, TOLD_WITHIN_S)


def test_without_reading_again_nobody_is_told(forks: Forks, folder: Path) -> None:
    """Negative control."""
    with control("A-15", without="reading again", match="untold"):
        _tell_of_damage(forks, folder, None, NOT_TOLD_WITHIN_S)


def _large_log(folder: Path) -> EventLog:
    log = open_log(DiskStorage(folder), LogSettings(segment_bytes=8 * MIB, keep_free_bytes=0))
    for first in range(0, 120_000, 100):
        append(log, first, 100, size=230)
    sync(log)
    return log


def test_it_takes_little_of_a_core(folder: Path) -> None:
    """In processor time, so that a busy machine does not matter."""
    log = _large_log(folder / "log")
    began, read = time.process_time(), 0
    for segment in log.segments[:-1]:
        check = SegmentCheck(log.storage, segment)
        while not check.is_done:
            check.run(MIB)
            read += check.read_bytes
        assert check.found == []
        check.close()
    speed = read / (time.process_time() - began)
    log.close()
    share = LogSettings().scrub_rate_bytes / speed
    counters = {"scrub_share_of_a_core": round(share, 3), "scrub_mib_s": round(speed / MIB)}
    report("A-15 scrub", seed=0, runs=1, counters=counters, target={"scrub_share_of_a_core": SHARE_MAX})
