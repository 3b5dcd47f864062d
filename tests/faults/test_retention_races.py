"""A-16: retention takes segments away from under their readers."""

from __future__ import annotations

import random

import pytest

from sylvite.core.batch import Batch
from sylvite.core.event import Gap
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.eventlog.history import LogReader
from sylvite.testing.storage import MemoryStorage
from tests.eventlog.logs import NOW_NS, append, open_log, sync
from tests.faults.report import control, report

STEPS = 80


class _Reader:
    """A reader of a log, that has got everything up to `next`, as data or as a gap."""

    def __init__(self, log: EventLog, start: int) -> None:
        self.reader = log.reader(start)
        self.next = start
        self.gaps = 0

    def read(self, log: EventLog, bytes_max: int) -> None:
        for item in self.reader.read(bytes_max, log.end):
            if isinstance(item, Gap):
                assert item.reason == "retention", str(item)
                assert item.first == self.next, f"{item}, and @{self.next} was due"
                self.next, self.gaps = item.next, self.gaps + 1
                continue
            assert isinstance(item, Batch)
            assert item.base <= self.next < item.next, f"@{item.base} to @{item.next}, and @{self.next} was due"
            self.next = item.next


def _race(interleavings: int, seed: int) -> None:
    counters: dict[str, float] = {"silent": 0, "gaps": 0, "dropped": 0}
    for run in range(interleavings):
        rng = random.Random(seed + run)
        settings = LogSettings(
            segment_bytes=rng.choice((1, 600, 3000)), keep_bytes=rng.choice((1, 4000, 12_000)), keep_free_bytes=0,
            tail_bytes=rng.choice((0, 2000)),
        )  # fmt: skip
        log = open_log(MemoryStorage(), settings)
        readers: list[_Reader] = []
        for _ in range(STEPS):
            match rng.randrange(6):
                case 0 | 1:
                    append(log, log.end, rng.randrange(1, 5), size=rng.choice((10, 300)))
                case 2:
                    sync(log)
                case 3:
                    counters["dropped"] += len(log.retain(NOW_NS))
                case 4:
                    readers.append(_Reader(log, rng.randrange(log.end + 1)))
                case _:
                    if readers:
                        rng.choice(readers).read(log, rng.choice((1, 500, 8000)))
        for reader in readers:
            while reader.next < log.end:
                reader.read(log, 4000)
            counters["gaps"] += reader.gaps
        log.close()
    assert counters["gaps"]
    report("A-16", seed=seed, runs=interleavings, counters=counters, target={"silent": 0})


def test_a_reader_gets_data_or_a_gap_and_never_silence() -> None:
    """300 random interleavings of appending, syncing, dropping and reading."""
    _race(300, seed=71)


@pytest.mark.long
def test_a_reader_gets_data_or_a_gap_in_any_of_many_interleavings() -> None:
    _race(10_000, seed=72)


def test_a_reader_that_skips_what_is_gone_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: no gap where retention has been."""
    read = LogReader.read

    def skip(reader: LogReader, bytes_max: int, end: int) -> list[Batch | Gap]:
        found = read(reader, bytes_max, end)
        return [item for item in found if isinstance(item, Batch)]

    monkeypatch.setattr(LogReader, "read", skip)
    with control("A-16", without="gaps", match="was due"):
        _race(300, seed=71)
