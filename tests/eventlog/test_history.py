"""Reading a log: where a reader goes on whose log was another one."""

from __future__ import annotations

import pytest

from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.testing.storage import MemoryStorage
from tests.eventlog.logs import NOW_NS, append, open_log, sync

DROPS = LogSettings(segment_bytes=4096, keep_bytes=8192, keep_free_bytes=0, tail_bytes=0)


@pytest.mark.parametrize(
    ("at", "events", "says"), [(5, 9, "has epoch {} there"), (9, 5, "ends before @5, in epoch {}")]
)
def test_a_reset_names_both_epochs(at: int, events: int, says: str) -> None:
    """The reader's, and that of this log: there, or where it ends."""
    log = open_log(MemoryStorage())
    append(log, 0, events)
    _, gap = log.resume(7, at)
    assert gap is not None
    assert gap.detail == f"the reader was at @{at} of epoch {7:016x}; this log {says.format(f'{log.epoch:016x}')}"


def test_a_reset_of_an_empty_log_names_both_epochs() -> None:
    log = open_log(MemoryStorage())
    _, gap = log.resume(7, 9)
    assert gap is not None
    assert gap.detail.endswith(f"this log ends before @0, in epoch {log.epoch:016x}")


def _with_the_oldest_gone(storage: MemoryStorage) -> EventLog:
    log = open_log(storage, DROPS)
    for first in range(0, 400, 10):
        append(log, first, 10, size=60)
    sync(log)
    log.retain(NOW_NS)
    assert log.oldest > 0
    return log


def test_a_reader_that_begins_where_retention_was_is_told_that_the_log_was_wiped() -> None:
    """It has received nothing, and the event before it is gone; still it knows which log it is in."""
    log = _with_the_oldest_gone(MemoryStorage())
    at, epoch = log.oldest, log.epoch_before(log.oldest)
    assert log.resume(epoch, at) == (at, None)
    wiped = open_log(MemoryStorage())
    append(wiped, 0, at + 10)
    start, gap = wiped.resume(epoch, at)
    assert gap is not None
    assert (start, gap.reason) == (0, "reset")


def test_a_reader_that_began_where_retention_was_reads_on_in_a_copy_from_before_that() -> None:
    """There the event before it is still held, and may be of an earlier epoch: it is the same history."""
    storage = MemoryStorage()
    log = open_log(storage, DROPS)
    append(log, 0, 10)
    sync(log)
    log.close()
    log = open_log(storage, DROPS)
    append(log, 10, 10)
    sync(log)
    (first, second) = {segment.epoch: segment.base for segment in log.segments if segment.next > segment.base}.items()
    assert (first[1], second[1]) == (0, 10)
    assert log.epoch_before(10) == first[0]
    assert log.resume(second[0], 10) == (10, None)
    assert log.resume(first[0], 10) == (10, None)
    _, gap = log.resume(second[0], 9)
    assert gap is not None
