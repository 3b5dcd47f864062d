"""EventLog: append, read, roll, retain, sync, and opening again."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.core.event import Event, Gap
from sylvite.errors import DiskFull, LogDamaged, LogFailed, LogInUse, LogNotUnderstood
from sylvite.eventlog.cursors import Cursor
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.eventlog.index import index_name
from sylvite.eventlog.storage import DiskStorage
from sylvite.testing.power_cut import states_after_power_cut
from sylvite.testing.storage import MemoryStorage
from tests.eventlog.logs import NOW_NS, SMALL, append, new_batch, numbers, open_log, read_all, sync


def _filled(storage: MemoryStorage, events: int = 2000, step: int = 10) -> EventLog:
    log = open_log(storage)
    for first in range(0, events, step):
        append(log, first, step)
        sync(log)
    return log


def test_offsets_are_dense_over_many_segments() -> None:
    log = _filled(MemoryStorage())
    found = read_all(log)
    assert len(log.segments) > 5
    assert [item.offset for item in found if isinstance(item, Event)] == list(range(2000))
    assert numbers(found) == list(range(2000))


@pytest.mark.parametrize("start", [0, 1, 9, 10, 777, 1999, 2000])
def test_reading_starts_anywhere(start: int) -> None:
    """Also in the middle of a batch, and at the end, where there is nothing yet."""
    log = _filled(MemoryStorage())
    assert numbers(read_all(log, start)) == list(range(start, 2000))


def test_a_log_opened_again_goes_on_with_the_next_offset_in_a_new_epoch() -> None:
    storage = MemoryStorage()
    first = _filled(storage)
    log = open_log(storage.after_kill())
    assert (log.end, log.synced, log.notes) == (2000, 2000, [])
    (batch,) = append(log, 2000)
    assert batch.base == 2000
    assert batch.epoch != first.epoch
    assert numbers(read_all(log)) == list(range(2001))


@pytest.mark.parametrize("events", [5, 60])
def test_what_a_new_start_calls_synced_survives_a_power_cut(events: int) -> None:
    """Nothing of it was synced by the broker that died, over one segment or several."""
    storage = MemoryStorage()
    log = open_log(storage)
    for number in range(events):
        append(log, number, size=1000)
    assert (len(log.segments) > 2) == (events > 5)
    after = storage.after_kill()
    assert open_log(after).synced == events
    for seed in range(20):
        assert numbers(read_all(open_log(after.after_power_cut(random.Random(seed))))) == list(range(events))


def test_starts_that_take_no_event_leave_no_segments_behind() -> None:
    storage = MemoryStorage()
    _filled(storage, 100)
    count = 0
    for _ in range(5):
        storage = storage.after_kill()
        log = open_log(storage)
        count = count or len(log.segments)
        assert (log.end, len(log.segments)) == (100, count)


def test_an_index_that_is_missing_or_damaged_is_made_again() -> None:
    storage = MemoryStorage()
    log = _filled(storage)
    names = [segment.name for segment in log.segments[:-1]]
    after = storage.after_kill()
    after.remove(index_name(names[0]))
    after.content(index_name(names[1]))[5] ^= 0xFF
    after.content(index_name(names[2]))[:] = b""
    log = open_log(after)
    for start in (0, 150, 200, 400, 555, 1200):
        assert numbers(read_all(log, start)) == list(range(start, 2000))


def test_retention_by_size_drops_the_oldest_segments_and_a_reader_gets_one_gap() -> None:
    storage = MemoryStorage()
    log = open_log(storage, LogSettings(segment_bytes=16 * 1024, keep_bytes=64 * 1024, keep_free_bytes=0))
    for first in range(0, 3000, 10):
        append(log, first, 10)
        sync(log)
    gaps = log.retain(NOW_NS)
    assert log.oldest == gaps[-1].next > 0
    assert log.bytes_used <= 64 * 1024
    found = read_all(log)
    assert found[0] == Gap(0, log.oldest, "retention", log.oldest)
    assert numbers(found) == list(range(log.oldest, 3000))
    assert open_log(storage.after_kill()).oldest == log.oldest


def test_retention_by_age_drops_at_most_one_segment_a_call() -> None:
    log = open_log(MemoryStorage(), LogSettings(segment_bytes=16 * 1024, keep_s=60, keep_free_bytes=0))
    for first in range(0, 1000, 10):
        append(log, first, 10)
        sync(log)
    many = len(log.segments)
    assert log.retain(NOW_NS + 30 * 10**9) == []
    assert len(log.retain(NOW_NS + 3600 * 10**9)) == 1
    assert len(log.segments) == many - 1


def test_a_segment_that_could_not_be_deleted_stays_in_the_log_and_goes_the_next_time() -> None:
    """Forgotten in memory and found again at the next start, it would be events in front of a hole."""
    storage = MemoryStorage()
    log = open_log(storage, LogSettings(segment_bytes=16 * 1024, keep_bytes=64 * 1024, keep_free_bytes=0))
    for first in range(0, 3000, 10):
        append(log, first, 10)
        sync(log)
    storage.fail(errno.EACCES, call="remove", at=4)
    with pytest.raises(OSError, match="EACCES"):
        log.retain(NOW_NS)
    kept = log.oldest
    assert kept > 0
    assert numbers(read_all(log)) == list(range(kept, 3000))
    assert open_log(storage.copy()).oldest == kept
    log.retain(NOW_NS)
    assert log.bytes_used <= 64 * 1024
    assert open_log(storage.copy()).oldest == log.oldest > kept


@pytest.mark.parametrize("restart", [False, True])
def test_a_segment_that_holds_only_a_sync_mark_is_gone_on_with(restart: bool) -> None:
    """Another one would have its name: retention would then take the file of both."""
    storage = MemoryStorage()
    settings = LogSettings(segment_bytes=16 * 1024, keep_bytes=1, keep_free_bytes=0)
    log = open_log(storage, settings)
    number = 0
    while len(log.segments) < 2 or log.segments[-1].base != log.end:
        append(log, number, size=100 + number * 7 % 61)
        number += 1
        sync(log)
        log.mark(NOW_NS)
        assert number < 10_000, "a mark is the first in a segment at some time"
    if restart:
        storage = storage.after_kill()
        log = open_log(storage, settings)
    append(log, number, size=20_000)
    sync(log)
    log.retain(NOW_NS)
    names = [segment.name for segment in log.segments]
    assert len(set(names)) == len(names)
    assert set(names) <= set(storage.names())
    assert numbers(read_all(open_log(storage.after_kill()))) == [number]


def test_retention_never_drops_what_is_not_synced() -> None:
    log = open_log(MemoryStorage(), LogSettings(segment_bytes=16 * 1024, keep_bytes=1, keep_free_bytes=0))
    for first in range(0, 1000, 10):
        append(log, first, 10)
    assert log.retain(NOW_NS) == []
    sync(log)
    assert log.retain(NOW_NS) != []


def test_retention_leaves_something_that_a_power_cut_cannot_take() -> None:
    """All that is synced is beyond the limit, and the segment behind it has not reached the disk."""
    storage = MemoryStorage()
    settings_ = LogSettings(segment_bytes=1, keep_bytes=1, keep_free_bytes=0, tail_bytes=0)
    log = open_log(storage, settings_)
    for number in range(3):
        append(log, number)
    sync(log)
    append(log, 3)
    log.retain(NOW_NS)
    log.cursors.put(Cursor("reader", "uid:0", log.epoch, log.synced, NOW_NS))
    log.cursors.save(log.cursors.content())  # This makes the names durable, but not what is in the files.
    for state in states_after_power_cut(storage, random.Random(0)):
        assert numbers(read_all(open_log(state.storage, settings_))) in ([2], [2, 3]), state.what


def test_a_repeated_batch_is_found_after_opening_again() -> None:
    storage = MemoryStorage()
    _filled(storage)
    log = open_log(storage.after_kill())
    taken = log.sources.find("uid:0", 7, 1990, 10)
    assert taken is not None
    assert (taken.base, taken.next) == (1990, 2000)
    assert not log.sources.is_new("uid:0", 7, 1995, 10)
    assert log.sources.is_new("uid:0", 7, 2000, 10)
    assert log.sources.is_new("uid:0", 8, 0, 1)


def test_it_is_known_over_restarts_and_retention_that_no_publisher_was_forgotten() -> None:
    """Then what is before the first event of a publisher was never taken, and a retry of it is new."""
    storage = MemoryStorage()
    log = _filled(storage)
    log.drop(log.segments[:3])
    sync(log)
    log = open_log(storage.after_kill())
    log.append([new_batch(5, 1, source_epoch=8)], NOW_NS)
    assert log.sources.is_new("uid:0", 8, 0, 1)


def test_where_a_publisher_may_be_forgotten_nothing_before_its_first_event_is_new() -> None:
    storage = MemoryStorage()
    log = _filled(storage)
    log.drop(log.segments[:3])
    sync(log)
    storage = storage.after_kill()
    for name in [name for name in storage.names() if name.endswith(".idx")]:
        storage.remove(name)
    log = open_log(storage)
    log.append([new_batch(5, 1, source_epoch=8)], NOW_NS)
    assert not log.sources.is_new("uid:0", 8, 0, 1)


def test_a_full_disk_takes_nothing_and_recovers_by_itself() -> None:
    storage = MemoryStorage(capacity=40 * 1024)
    log = open_log(storage)
    taken = 0
    with pytest.raises(DiskFull):
        while True:
            append(log, taken, 10)
            taken += 10
    sync(log)
    assert (log.end, numbers(read_all(log))) == (taken, list(range(taken)))
    storage.capacity = None
    append(log, taken, 10)
    assert numbers(read_all(log)) == list(range(taken + 10))
    assert numbers(read_all(open_log(storage.after_kill()))) == list(range(taken + 10))


def test_publishing_stops_before_the_disk_is_full() -> None:
    storage = MemoryStorage(capacity=1024 * 1024)
    log = open_log(storage, LogSettings(segment_bytes=16 * 1024, keep_free_bytes=900 * 1024))
    with pytest.raises(DiskFull, match="are kept free"):
        for first in range(0, 100_000, 10):
            append(log, first, 10)
    assert storage.free_bytes() >= 900 * 1024 - 32 * 1024


def test_a_write_that_fails_half_way_leaves_nothing() -> None:
    storage = MemoryStorage()
    log = open_log(storage)
    append(log, 0, 10)
    fault = storage.fail(errno.ENOSPC, call="write", torn=True)
    with pytest.raises(DiskFull):
        append(log, 10, 10)
    assert fault.happened == 1
    append(log, 10, 5)
    sync(log)
    assert numbers(read_all(log)) == list(range(15))
    assert numbers(read_all(open_log(storage.after_kill()))) == list(range(15))


def test_after_a_failed_sync_everything_not_synced_is_written_to_a_new_file() -> None:
    """The kernel forgets pages whose sync failed: only what is written anew may be called synced."""
    storage = MemoryStorage()
    log = open_log(storage)
    append(log, 0, 10)
    sync(log)
    append(log, 10, 10)
    fault = storage.fail(errno.EIO, call="sync")
    job = log.sync_job()
    assert job is not None
    with pytest.raises(OSError, match="EIO"):
        job.run()
    append(log, 20, 10)
    log.sync_done(OSError(errno.EIO, "EIO"), NOW_NS, 1.0)
    assert (fault.happened, log.synced) == (1, 10)
    sync(log)
    assert log.synced == 30
    assert numbers(read_all(log)) == list(range(30))
    for seed in range(20):
        after = open_log(storage.after_power_cut(random.Random(seed)))
        assert numbers(read_all(after))[:30] == list(range(30))


def test_syncing_the_same_file_again_after_a_failure_would_lose_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a log that only tries again on the same file calls lost events synced."""

    def only_try_again(log: EventLog, now_ns: int) -> None:
        active = log.segments[-1]
        assert active.file is not None
        log._unsynced_files.append(active.file)  # pyright: ignore[reportPrivateUsage] - the safeguard taken out

    monkeypatch.setattr(EventLog, "_rewrite_unsynced", only_try_again)
    with pytest.raises(AssertionError):
        test_after_a_failed_sync_everything_not_synced_is_written_to_a_new_file()


def test_a_second_failed_sync_within_a_minute_ends_the_log() -> None:
    storage = MemoryStorage()
    log = open_log(storage)
    append(log, 0, 10)
    storage.fail(errno.EIO, call="sync", sticky=True)
    error = OSError(errno.EIO, "EIO")
    assert log.sync_job() is not None
    log.sync_done(error, NOW_NS, 1.0)
    assert log.sync_job() is not None
    with pytest.raises(LogFailed):
        log.sync_done(error, NOW_NS, 30.0)
    with pytest.raises(LogFailed):
        append(log, 10)


def test_a_damaged_batch_is_one_gap_and_what_is_behind_it_is_read() -> None:
    storage = MemoryStorage()
    log = _filled(storage)
    middle = log.segments[2]
    after = storage.after_kill()
    content = after.content(middle.name)
    content[6000] ^= 1
    found = read_all(open_log(after))
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert gap.reason == "damage"
    assert gap.next - gap.first == 10
    assert numbers(found) == [number for number in range(2000) if not gap.first <= number < gap.next]


@pytest.mark.parametrize(("there", "here"), [(12_288, 4096), (12_288, 8192), (4096, 8192)])
def test_a_block_that_was_written_to_a_wrong_place_costs_only_what_was_there(there: int, here: int) -> None:
    """Its batches are whole, and of this segment; but it is not their turn."""
    storage = MemoryStorage()
    log = _filled(storage, 600)
    segment = log.segments[1]
    after = storage.after_kill()
    content = after.content(segment.name)
    content[here : here + 4096] = content[there : there + 4096].ljust(4096, b"\0")
    found = read_all(open_log(after))
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert gap.next - gap.first <= 100, "4096 bytes touch ten batches"
    assert numbers(found) == [number for number in range(600) if not gap.first <= number < gap.next]


def test_every_flipped_bit_is_noticed() -> None:
    """A-04 in short: each 97th bit of a sealed segment; nothing wrong is read, nothing behind it is lost."""
    storage = MemoryStorage()
    log = _filled(storage, 600)
    name, first, next_ = log.segments[1].name, log.segments[1].base, log.segments[1].next
    whole = bytes(storage.content(name))
    expected = list(range(600))
    for bit in range(0, len(whole) * 8, 97):
        after = storage.after_kill()
        content = after.content(name)
        content[bit // 8] ^= 1 << bit % 8
        opened = open_log(after)
        found = read_all(opened)
        gaps = [item for item in found if isinstance(item, Gap)]
        missing = [number for gap in gaps for number in range(gap.first, gap.next)]
        assert numbers(found) == [number for number in expected if number not in missing], bit
        assert len(gaps) <= 1, bit
        assert all(first <= gap.first and gap.next <= next_ for gap in gaps), bit
        assert len(missing) in (0, 10), bit
        content[:] = whole


def test_a_segment_that_is_gone_is_a_gap() -> None:
    storage = MemoryStorage()
    log = _filled(storage)
    gone = log.segments[3]
    after = storage.after_kill()
    after.remove(gone.name)
    found = read_all(open_log(after))
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert (gap.first, gap.next) == (gone.base, gone.next)


def test_synced_events_that_are_gone_stop_the_start_until_the_operator_accepts_it() -> None:
    storage = MemoryStorage()
    log = _filled(storage)
    log.cursors.put(Cursor("reader", "uid:0", log.epoch, 1500, NOW_NS))
    log.cursors.save(log.cursors.content())
    after = storage.after_kill()
    for segment in log.segments:
        if segment.base >= 1000:
            after.remove(segment.name)
            if index_name(segment.name) in after.names():
                after.remove(index_name(segment.name))
    with pytest.raises(LogDamaged, match="--accept-loss"):
        open_log(after)
    log = open_log(after.after_kill(), accept_loss=True)
    assert log.end == 1500
    append(log, 1500)
    found = read_all(log)
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert gap.next == 1500


def test_a_reader_of_another_log_is_told() -> None:
    """B-09 in short: the log was wiped, or restored from an older copy."""
    storage = MemoryStorage()
    log = _filled(storage, 100)
    copy = storage.after_kill()
    copied = {name: bytes(copy.content(name)) for name in copy.names()}
    append(log, 100, 50)
    sync(log)
    start, gap = log.resume(log.epoch, 150)
    assert (start, gap) == (150, None)
    for name in copy.names():
        if name in copied:
            copy.content(name)[:] = copied[name]
        else:
            copy.remove(name)
    restored = open_log(copy)
    append(restored, 100, 80)
    start, gap = restored.resume(log.epoch, 150)
    assert gap is not None
    assert gap.reason == "reset"
    assert start == 100, "what it has read up to there is the same in both"
    wiped = open_log(MemoryStorage())
    append(wiped, 0, 500)
    start, gap = wiped.resume(log.epoch, 150)
    assert (start, gap and gap.reason) == (0, "reset")


def test_reading_by_time_finds_events_from_before_the_clock_jumped_back() -> None:
    storage = MemoryStorage()
    _filled(storage)
    log = open_log(storage.after_kill())  # its new segment is made at NOW_NS again
    assert log.offset_at(NOW_NS + 500) == 500


def test_reading_by_time() -> None:
    log = _filled(MemoryStorage())
    for first in (0, 10, 990, 1990):
        assert log.offset_at(NOW_NS + first) == first
    assert log.offset_at(0) == 0
    assert log.offset_at(NOW_NS + 5000) == 2000


def test_cursors_survive_and_fall_back_to_the_copy_before(tmp_path: Path) -> None:
    storage = DiskStorage(tmp_path / "log")
    log = open_log(storage)
    append(log, 0, 50)
    sync(log)
    for offset in (10, 20):
        log.cursors.put(Cursor("reader", "uid:0", log.epoch, offset, NOW_NS))
        log.cursors.save(log.cursors.content())
    log.close()
    log = open_log(DiskStorage(tmp_path / "log"))
    assert log.cursors.get("reader").offset == 20
    log.close()
    (tmp_path / "log" / "cursors").write_bytes(b"garbage")
    log = open_log(DiskStorage(tmp_path / "log"))
    assert log.cursors.get("reader").offset == 10
    assert log.cursors.restored_from_previous
    log.close()


def test_a_second_process_cannot_open_the_log(tmp_path: Path) -> None:
    log = open_log(DiskStorage(tmp_path / "log"))
    with pytest.raises(LogInUse, match="in use by process"):
        open_log(DiskStorage(tmp_path / "log"))
    log.close()
    open_log(DiskStorage(tmp_path / "log")).close()


def _make_newer(storage: MemoryStorage) -> None:
    storage.content("LOG")[:] = b'{"format": 2, "log_id": "00", "created": ""}'


def _garble(storage: MemoryStorage) -> None:
    storage.content("LOG")[:] = b"not json"


def _remove(storage: MemoryStorage) -> None:
    storage.remove("LOG")


@pytest.mark.parametrize("change", [_make_newer, _garble, _remove])
def test_a_log_of_somebody_else_is_left_alone(change: Callable[[MemoryStorage], object]) -> None:
    storage = MemoryStorage()
    _filled(storage, 100)
    after = storage.after_kill()
    change(after)
    before = {name: bytes(after.content(name)) for name in after.names()}
    with pytest.raises(LogNotUnderstood):
        open_log(after)
    assert {name: bytes(after.content(name)) for name in after.names() if name != "lock"} == before


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_after_any_power_cut_everything_synced_is_there_and_the_rest_is_a_prefix(data: st.DataObject) -> None:
    """A-06 in short: random appends, syncs and rolls, then a power cut that keeps any sectors of what was open."""
    storage = MemoryStorage()
    log = open_log(storage, LogSettings(segment_bytes=8 * 1024, keep_free_bytes=0))
    written = synced = 0
    for _ in range(data.draw(st.integers(1, 25))):
        if data.draw(st.booleans()):
            count = data.draw(st.integers(1, 20))
            append(log, written, count, size=data.draw(st.integers(0, 600)))
            written += count
        elif data.draw(st.booleans()):
            sync(log)
            synced = written
        else:
            log.mark(NOW_NS)
    after = storage.after_power_cut(random.Random(data.draw(st.integers(0, 1 << 30))))
    opened = open_log(after, LogSettings(segment_bytes=8 * 1024, keep_free_bytes=0))
    got = numbers(read_all(opened))
    assert got == list(range(len(got)))
    assert synced <= len(got) <= written
    assert opened.end == len(got)


def test_without_sync_a_power_cut_loses_what_was_called_synced() -> None:
    """Negative control of the test above."""
    lost = 0
    for seed in range(20):
        storage = MemoryStorage()
        storage.syncs = False
        log = open_log(storage)
        append(log, 0, 100)
        sync(log)
        after = storage.after_power_cut(random.Random(seed))
        try:
            lost += len(numbers(read_all(open_log(after)))) < 100
        except LogNotUnderstood:
            lost += 1
    assert lost > 10


def test_the_smallest_settings_still_work() -> None:
    log = open_log(MemoryStorage(), LogSettings(segment_bytes=1, keep_free_bytes=0, tail_bytes=0))
    for first in range(50):
        append(log, first)
    sync(log)
    assert numbers(read_all(log)) == list(range(50))
    assert SMALL.segment_bytes == 16 * 1024
    assert new_batch(0, 3).count == 3


@pytest.mark.parametrize("loss", ["cut", "gone"])
def test_what_is_lost_after_an_orderly_end_is_told_from_what_never_was(loss: str) -> None:
    """The proof stands in another file than the events."""
    storage = MemoryStorage()
    log = open_log(storage)
    append(log, 0, 3)
    sync(log)
    log.finish(NOW_NS)
    log.close()
    after = storage.after_power_cut(random.Random(0))
    name = log.segments[-1].name
    if loss == "cut":
        del after.content(name)[4196:]
    else:
        after.remove(name)
    with pytest.raises(LogDamaged, match=r"@0\.\.@2 were synced"):
        open_log(after)
    assert open_log(after.after_kill(), accept_loss=True).end == 3


def test_an_orderly_end_of_an_empty_log_leaves_an_empty_log() -> None:
    storage = MemoryStorage()
    open_log(storage).finish(NOW_NS)
    log = open_log(storage.after_kill())
    assert (log.end, log.notes) == (0, [])
