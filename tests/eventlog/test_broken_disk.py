"""EventLog on a disk that fails in the middle of something."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from sylvite.core.event import Event, Gap
from sylvite.errors import DiskFull, EventLogError, LogFailed
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.eventlog.storage import DiskStorage, Storage
from sylvite.testing.storage import WRITE_CALLS, MemoryStorage, Moment, WatchedStorage
from tests.eventlog.logs import NOW_NS, append, new_batch, numbers, open_log, read_all, sync


class Crash(BaseException):
    """The process has died here."""


class _CrashAt:
    """A watch that ends the process before write-side call `at`, counted from when it is armed."""

    def __init__(self, at: int) -> None:
        self.left, self.armed, self.happened = at, False, False

    def __call__(self, moment: Moment, call: str) -> None:
        if self.armed and moment == "before" and call in WRITE_CALLS:
            self.left -= 1
            if not self.left:
                self.happened = True
                raise Crash


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_group_that_is_half_written_is_not_there_after_a_crash_either(error: int) -> None:
    """Two of three batches are whole on the disk, the third is torn: all were refused."""
    storage = MemoryStorage()
    log = open_log(storage)
    append(log, 0, 3)
    storage.fail(error, call="write", torn=True)
    with pytest.raises(EventLogError):
        log.append([new_batch(3, 1), new_batch(4, 1), new_batch(5, 1, size=600)], NOW_NS)
    for seed in range(10):
        assert numbers(read_all(open_log(storage.after_power_cut(random.Random(seed))))) in ([], [0, 1, 2])
    assert numbers(read_all(open_log(storage.after_kill()))) == [0, 1, 2]


def test_what_a_refused_group_has_left_is_never_taken_for_the_next_events() -> None:
    """A later, shorter write of the same size as the first batch must not bring the second one back."""
    storage = MemoryStorage()
    log = open_log(storage)
    storage.fail(errno.ENOSPC, call="write", torn=True)
    with pytest.raises(DiskFull):
        log.append([new_batch(0, 1), new_batch(1, 1), new_batch(2, 1, size=400)], NOW_NS)
    log.append([new_batch(0, 1)], NOW_NS)
    assert numbers(read_all(open_log(storage.after_kill()))) == [0]


def test_a_half_written_group_that_cannot_be_erased_ends_the_log() -> None:
    """Nobody can say then whether the events are in the log: it is not a plain refusal."""
    storage = MemoryStorage()
    log = open_log(storage)
    storage.fail(errno.EIO, call="write", torn=True)
    storage.fail(errno.EIO, call="truncate", sticky=True)
    with pytest.raises(LogFailed):
        log.append([new_batch(0, 1, size=10), new_batch(1, 1, size=300)], NOW_NS)
    with pytest.raises(LogFailed):
        append(log, 2)


def test_what_an_earlier_broker_could_not_sync_is_on_the_disk_after_the_next_start() -> None:
    """After a failed sync the kernel shows what the disk never got, and takes it for clean: it has to be written again."""
    storage = MemoryStorage()
    log = open_log(storage)
    append(log, 0, 3)
    sync(log)
    append(log, 3, 3, size=2000)
    job = log.sync_job()
    assert job is not None
    fault = storage.fail(errno.EIO, call="sync")
    with pytest.raises(OSError, match="EIO"):
        job.run()
    assert fault.happened
    # The broker is killed before it can write them anew.
    storage = storage.after_kill()
    log = open_log(storage)
    assert (log.synced, numbers(read_all(log))) == (6, [*range(6)])
    for seed in range(10):
        assert numbers(read_all(open_log(storage.after_power_cut(random.Random(seed))))) == [*range(6)]


def test_a_log_is_closed_although_the_disk_does_not_take_its_spare_space_back() -> None:
    storage = MemoryStorage()
    log = open_log(storage)
    append(log, 0, 3)
    sync(log)
    fault = storage.fail(errno.EIO, call="truncate")
    log.close()
    assert fault.happened
    assert numbers(read_all(open_log(storage))) == [0, 1, 2]


def test_retention_does_not_close_a_file_that_a_sync_still_needs(tmp_path: Path) -> None:
    """A mark was written to a segment whose events are all synced; it is full, dropped, and then synced."""
    log = open_log(DiskStorage(tmp_path), LogSettings(segment_bytes=16 * 1024, keep_bytes=1, keep_free_bytes=0))
    append(log, 0, 10, size=800)
    sync(log)
    log.mark(NOW_NS)
    append(log, 10, 10, size=800)
    assert len(log.segments) == 2
    job = log.sync_job()
    assert job is not None
    assert log.drop(log.segments[:1])
    job.run()
    log.sync_done(None, NOW_NS, 0.0)
    append(log, log.end, 10)
    sync(log)
    assert log.synced == log.end
    log.close()


ONE_A_SEGMENT = LogSettings(segment_bytes=1, keep_free_bytes=0, tail_bytes=0)


def _four_old_and_four_new(storage: Callable[[], Storage], monkeypatch: pytest.MonkeyPatch) -> EventLog:
    """A log of 8 segments of one event, of which the last 4 are not synced; 2 others may be open."""
    monkeypatch.setattr("sylvite.eventlog.history.OPEN_FILES_MAX", 2)
    log = open_log(storage(), ONE_A_SEGMENT)
    for number in range(4):
        append(log, number)
    sync(log)
    log.close()
    log = open_log(storage(), ONE_A_SEGMENT)
    for number in range(4, 8):
        append(log, number)
    return log


def test_readers_of_many_segments_do_not_close_a_file_that_a_sync_still_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = MemoryStorage()
    log = _four_old_and_four_new(lambda: storage, monkeypatch)
    job = log.sync_job()
    assert job is not None
    assert numbers(read_all(log)) == list(range(8))
    job.run()
    log.sync_done(None, NOW_NS, 0.0)
    assert log.synced == 8
    log.close()


def test_a_file_is_closed_once_after_a_failed_sync_over_several_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor closed twice may be somebody else's by then, such as a client's socket."""
    log = _four_old_and_four_new(lambda: DiskStorage(tmp_path), monkeypatch)
    assert log.sync_job() is not None
    log.sync_done(OSError(errno.EIO, "EIO"), NOW_NS, 0.0)
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]  # take the numbers that have become free
    for _ in range(3):
        assert numbers(read_all(log)) == list(range(8))
    sync(log)
    log.close()
    for descriptor in others:
        os.close(descriptor)
    assert numbers(read_all(open_log(DiskStorage(tmp_path)))) == list(range(8))


@pytest.mark.parametrize("synced_first", [0, 3])
def test_a_crash_while_all_is_written_anew_after_a_failed_sync_loses_nothing(synced_first: int) -> None:
    """What was answered as written survives the death of the broker, whatever the disk did before."""
    at = 0
    happened = True
    while happened:
        at += 1
        storage, watch = MemoryStorage(), _CrashAt(at)
        log = open_log(WatchedStorage(storage, watch), LogSettings(segment_bytes=300, keep_free_bytes=0))
        for number in range(8):
            append(log, number)
            if number + 1 == synced_first:
                sync(log)
        assert log.sync_job() is not None
        watch.armed = True
        try:
            log.sync_done(OSError(errno.EIO, "EIO"), NOW_NS, 0.0)
        except Crash:
            pass
        happened = watch.happened
        assert numbers(read_all(open_log(storage.after_kill()))) == list(range(8)), at
        cut = open_log(storage.after_power_cut(random.Random(at)))
        got = numbers(read_all(cut))
        assert got == list(range(len(got))), at
        assert len(got) >= synced_first, at
    assert at > 3


def test_a_place_that_cannot_be_read_is_a_gap_and_what_is_behind_it_is_read() -> None:
    """EIO on reading: as a checksum that fails, up to the next place that the index knows."""
    storage = MemoryStorage()
    log = open_log(storage, LogSettings(segment_bytes=1024 * 1024, keep_free_bytes=0, tail_bytes=0))
    for first in range(0, 400, 10):
        append(log, first, 10, size=1000)
    sync(log)
    log = open_log(storage.after_kill(), LogSettings(segment_bytes=1024 * 1024, keep_free_bytes=0))
    after = log.storage
    assert isinstance(after, MemoryStorage)
    fault = after.fail(errno.EIO, call="read", at=1)
    found = read_all(log)
    assert fault.happened
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert (gap.first, gap.reason) == (0, "damage")
    assert 0 < gap.next < 200
    assert numbers(found) == list(range(gap.next, 400))
    assert log.damages, "it is told"
    assert all(isinstance(item, Event) for item in read_all(log)), "and tried again by the next reader"


@pytest.mark.parametrize("call", ["open", "size", "read"])
def test_an_index_that_cannot_be_read_is_made_again(call: str) -> None:
    storage = MemoryStorage()
    log = open_log(storage)
    for first in range(0, 600, 10):
        append(log, first, 10)
        sync(log)
    log = open_log(storage.after_kill())
    after = log.storage
    assert isinstance(after, MemoryStorage)
    fault = after.fail(errno.EIO, call=call)
    assert numbers(read_all(log, 100)) == list(range(100, 600))
    assert fault.happened


def test_an_error_that_says_nothing_of_the_disk_is_no_gap() -> None:
    """Too many open files, or no memory: the reader is where it was."""
    storage = MemoryStorage()
    log = open_log(storage)
    append(log, 0, 50)
    sync(log)
    log = open_log(storage.after_kill())
    after = log.storage
    assert isinstance(after, MemoryStorage)
    after.fail(errno.EMFILE, call="open")
    reader = log.reader(0)
    with pytest.raises(OSError, match="EMFILE"):
        reader.read(8000, log.end)
    assert reader.next == 0
    assert numbers(read_all(log)) == list(range(50))
