"""The scrub finds in sealed segments what a reader would find, in pieces, at its pace, and changes nothing."""

from __future__ import annotations

import errno
import random

import pytest

from sylvite.core.event import Gap
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.eventlog.scrub import FIRST_AFTER_S, PIECE_BYTES_MAX, PIECE_BYTES_MIN, Scrub
from sylvite.eventlog.segment import START
from sylvite.testing.storage import MemoryStorage
from tests.eventlog.logs import NOW_NS, append, open_log, read_all, sync

SETTINGS = LogSettings(segment_bytes=24 * 1024, keep_free_bytes=0, tail_bytes=0)
RATE = 4 * 1024 * 1024
EVERY_S = 3600.0


def _filled(storage: MemoryStorage, settings: LogSettings = SETTINGS) -> EventLog:
    log = open_log(storage, settings)
    for first in range(0, 600, 5):
        append(log, first, 5, size=100)
    sync(log)
    assert len(log.segments) > 3
    return log


def _round(log: EventLog, *, every_s: float | None = EVERY_S, for_s: float = 200.0) -> tuple[Scrub, list[Gap]]:
    """Let it do what it does in that time, a tick every twentieth of a second."""
    scrub = Scrub(log, every_s, RATE, 0.0)
    found: list[Gap] = []
    for tick in range(int(for_s * 20)):
        job = scrub.job(tick / 20)
        if job is None:
            continue
        error: OSError | None = None
        try:
            job()
        except OSError as raised:
            error = raised
        found += [gap for _, gap in scrub.done(error, NOW_NS, tick / 20)]
    return scrub, found


def test_a_whole_log_is_read_and_nothing_is_found() -> None:
    storage = MemoryStorage()
    log = _filled(storage)
    before = {name: bytes(storage.content(name)) for name in storage.names()}
    scrub, found = _round(log)
    assert found == []
    assert (scrub.rounds, scrub.finished_ns) == (1, NOW_NS)
    assert scrub.bytes == sum(segment.size - START for segment in log.segments[:-1])
    assert {name: bytes(storage.content(name)) for name in storage.names()} == before


def test_what_a_reader_would_find_is_found() -> None:
    """A flipped bit, a block of zeros, a hole of several batches; the same gaps, told in the same words."""
    rng = random.Random(5)
    for case in range(60):
        storage = MemoryStorage()
        log = _filled(storage)
        segment = rng.choice(log.segments[:-1])
        content = storage.content(segment.name)
        at, size = rng.randrange(START, segment.size), rng.choice((1, 512, 3000))
        for place in range(at, min(at + size, segment.size)):
            content[place] ^= 0x41
        _, found = _round(log)
        wanted = [item for item in read_all(log) if isinstance(item, Gap)]
        assert [gap for gap in found if gap.next > gap.first] == wanted, f"case {case}: {size} bytes at {at}"
        assert found, f"case {case}: nothing is told of {size} bytes at {at}"


def test_a_damaged_header_holds_no_event_and_is_told() -> None:
    storage = MemoryStorage()
    log = _filled(storage)
    storage.content(log.segments[1].name)[10] ^= 1
    _, (gap,) = _round(log)
    assert (gap.first, gap.next) == (log.segments[1].base, log.segments[1].base)
    assert "header" in gap.detail


def test_a_place_that_the_disk_does_not_give_is_told_and_what_is_behind_it_is_read() -> None:
    storage = MemoryStorage()
    log = _filled(storage)
    log.close()
    log = open_log(storage, SETTINGS)
    fault = storage.fail(errno.EIO, call="read", at=2)
    scrub, (gap,) = _round(log)
    assert fault.happened
    assert (gap.first, gap.reason) == (0, "damage")
    assert "cannot be read" in gap.detail
    assert scrub.rounds == 1


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOMEM])
def test_what_is_lacking_for_the_moment_is_no_damage(error: int) -> None:
    storage = MemoryStorage()
    log = _filled(storage)
    storage.fail(error, call="open")
    scrub, found = _round(log)
    assert found == []
    assert scrub.rounds == 1
    assert scrub.bytes < sum(segment.size - START for segment in log.segments[:-1])


@pytest.mark.parametrize("is_open", [True, False])
def test_a_segment_that_retention_takes_meanwhile_is_passed_over(is_open: bool) -> None:
    """Whether its file was open by then, or is found to be gone."""
    storage = MemoryStorage()
    log = _filled(storage)
    for each in log.segments[:2]:
        storage.content(each.name)[each.size - 10] ^= 1
    scrub = Scrub(log, EVERY_S, PIECE_BYTES_MIN, 0.0)
    found: list[tuple[str, Gap]] = []
    for now_s in range(int(FIRST_AFTER_S), int(FIRST_AFTER_S) + 100):
        job = scrub.job(now_s)
        if job is None:
            continue
        if not is_open:
            log.drop(log.segments[:2])
            is_open = True
        try:
            job()
        except FileNotFoundError as error:
            found += scrub.done(error, NOW_NS, now_s)
        else:
            found += scrub.done(None, NOW_NS, now_s)
        if log.segments[0].base == 0:
            assert scrub.bytes > 0
            log.drop(log.segments[:2])
    assert found == []
    assert scrub.rounds == 1


def test_it_reads_no_more_than_its_rate_and_rests_between_rounds() -> None:
    storage = MemoryStorage()
    log = _filled(storage, LogSettings(segment_bytes=24 * 1024, keep_free_bytes=0))
    total = sum(segment.size - START for segment in log.segments[:-1])
    scrub = Scrub(log, EVERY_S, 16 * 1024, 0.0)
    read_at: list[float] = []
    for tick in range(int(20 * 2 * EVERY_S)):
        now_s = tick / 20
        job = scrub.job(now_s)
        if job is not None:
            job()
            scrub.done(None, NOW_NS, now_s)
            read_at.append(now_s)
    assert read_at[0] >= FIRST_AFTER_S
    assert scrub.rounds == 2
    first = [at for at in read_at if at < EVERY_S / 2]
    assert first[-1] - first[0] >= 0.5 * total / (16 * 1024)
    second = [at for at in read_at if at >= EVERY_S / 2]
    assert second[0] - first[-1] >= EVERY_S


def test_it_holds_up_nobody_for_long() -> None:
    assert PIECE_BYTES_MIN < PIECE_BYTES_MAX <= 256 * 1024


def test_it_can_be_switched_off() -> None:
    storage = MemoryStorage()
    log = _filled(storage)
    storage.content(log.segments[0].name)[START + 20] ^= 1
    scrub, found = _round(log, every_s=None)
    assert (scrub.bytes, found) == (0, [])


def test_a_log_without_sealed_segments_waits_for_one() -> None:
    log = open_log(MemoryStorage(), SETTINGS)
    append(log, 0, 10)
    scrub, found = _round(log)
    assert (scrub.rounds, found) == (0, [])
