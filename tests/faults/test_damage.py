"""A-04: bits and blocks of a log changed, lost, swapped, repeated, or taken from elsewhere."""

from __future__ import annotations

import random

import pytest

from sylvite.core.event import Event, Gap
from sylvite.errors import LogDamaged, LogNotUnderstood, RemoteProtocolError
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.testing.storage import SECTOR, MemoryStorage
from tests.eventlog.logs import append, numbers, open_log, read_all, sync
from tests.faults.report import control, report

SEGMENT_BYTES = 16 * 1024
SETTINGS = LogSettings(segment_bytes=SEGMENT_BYTES, keep_free_bytes=0)
EVENTS, FEW_EVENTS, STEP = 400, 120, 5
BLOCKS = (512, 4096)


def _log(events: int = EVENTS) -> MemoryStorage:
    storage = MemoryStorage()
    log = open_log(storage, SETTINGS)
    for first in range(0, events, STEP):
        append(log, first, STEP, size=100)
        sync(log)
    log.mark(0)
    return storage


def _change(content: bytearray, other: bytearray, rng: random.Random) -> tuple[str, int, int]:
    """Do something to a block of a segment; return what, and which bytes."""
    size = rng.choice(BLOCKS)
    at = rng.randrange(len(content) // size) * size
    last = min(at + size, len(content))
    kind = rng.choice(("bit", "zeros", "noise", "repeated", "swapped", "elsewhere"))
    if kind == "bit":
        at = rng.randrange(len(content))
        last = at + 1
        content[at] ^= 1 << rng.randrange(8)
    elif kind == "zeros":
        content[at:last] = bytes(last - at)
    elif kind == "noise":
        content[at:last] = rng.randbytes(last - at)
    elif kind == "elsewhere":
        content[at:last] = other[at:last].ljust(last - at, b"\0")
    else:
        there = rng.randrange(len(content) // size) * size
        block = bytes(content[there : there + last - at]).ljust(last - at, b"\0")
        if kind == "swapped" and there + last - at <= len(content):
            content[there : there + last - at] = content[at:last]
            at, last = min(at, there), max(last, there + last - at)
        content[at : at + len(block)] = block
    return kind, at, last


def _damage(runs: int, seed: int) -> None:
    """Raises AssertionError: wrong events were read, or whole ones behind the damage were not."""
    rng = random.Random(seed)
    storage, other = _log(), _log()
    names = [name for name in storage.names() if name.endswith(".log")]
    counters: dict[str, float] = {"accepted": 0, "lost_elsewhere": 0, "unnoticed": 0, "refused_starts": 0}
    kinds: dict[str, float] = {}
    for run in range(runs):
        after = storage.copy()
        name = rng.choice(names)
        content = after.content(name)
        before = bytes(content)
        source = other.content(name) if rng.random() < 0.5 else storage.content(rng.choice(names))
        kind, first, last = _change(content, source, rng)
        changed = bytes(content) != before
        case = f"run {run}: {kind} at {first} to {last} of {name}"
        try:
            log = open_log(after, SETTINGS)
        except LogDamaged:
            # Events that are proven to have been synced are gone from the end: the operator has to decide.
            assert changed, case
            assert name == names[-1], case
            counters["refused_starts"] += 1
            continue
        except LogNotUnderstood:
            # A whole header, but of another place: nothing that is not understood is touched.
            assert kind in ("elsewhere", "repeated", "swapped"), case
            assert first < SECTOR, case
            counters["refused_starts"] += 1
            continue
        found = read_all(log)
        kinds[kind] = kinds.get(kind, 0) + 1
        _judge(log, found, name, case, changed=changed, whole=(first, last))
    assert all(kinds.get(kind) for kind in ("bit", "zeros", "noise", "repeated", "swapped", "elsewhere"))
    report("A-04", seed=seed, runs=runs, counters=counters, target=dict.fromkeys(("accepted", "lost_elsewhere"), 0))


def _judge(
    log: EventLog, found: list[Event | Gap], name: str, case: str, *, changed: bool, whole: tuple[int, int]
) -> None:
    got = numbers(found)
    events = [item for item in found if isinstance(item, Event)]
    gaps = [item for item in found if isinstance(item, Gap)]
    missing = {number for gap in gaps for number in range(gap.first, gap.next)}
    assert all(event.data["n"] == event.offset for event in events), f"{case}: an event is at another's place"
    assert got == [number for number in range(log.end) if number not in missing], f"{case}: {gaps}"
    base = int(name[4:24])
    beyond = {number for number in missing if number < base}
    assert not beyond, f"{case}: events of other segments are missing: {sorted(beyond)}"
    # A batch is STEP events: what is missing is no more than the bytes that were touched could hold, and its borders.
    assert len(missing) <= ((whole[1] - whole[0]) // 500 + 2) * STEP, f"{case}: {len(missing)} events for these bytes"
    if missing and not changed:
        raise AssertionError(f"{case}: nothing was changed")


def test_damaged_blocks_are_gaps_and_nothing_behind_them_is_lost() -> None:
    """A sample of 400 changes: no wrong event is ever read, and no whole one is missed."""
    _damage(400, seed=61)


@pytest.mark.long
def test_no_damage_of_many_is_read_or_spreads() -> None:
    _damage(20_000, seed=62)


def _flip(first: int, step: int) -> None:
    """Flip each `step`-th bit of a sealed segment, one by one.  Raises AssertionError: as `_damage`."""
    storage = _log(FEW_EVENTS)
    name = next(name for name in storage.names() if name.endswith(".log"))
    bits = range(first, 8 * len(storage.content(name)), step)
    assert SEGMENT_BYTES * 0.95 < len(storage.content(name)) <= SEGMENT_BYTES
    refused = 0
    for bit in bits:
        after = storage.copy()
        at = bit // 8
        after.content(name)[at] ^= 1 << bit % 8
        case = f"bit {bit % 8} of byte {at} of {name}"
        try:
            log = open_log(after, SETTINGS)
        except LogNotUnderstood:
            assert at < SECTOR, case
            refused += 1
            continue
        _judge(log, read_all(log), name, case, changed=True, whole=(at, at + 1))
    counters = {"accepted": 0, "lost_elsewhere": 0, "refused_starts": refused}
    report("A-04 bits", seed=0, runs=len(bits), counters=counters, target={"accepted": 0, "lost_elsewhere": 0})


def test_a_flipped_bit_of_a_hundred_is_found() -> None:
    """Of a segment of 16 KiB."""
    _flip(0, 101)


@pytest.mark.long
@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_is_found(bit: int) -> None:
    """The first bit of each byte, the second, and so on."""
    _flip(bit, 8)


def test_without_checksums_damage_is_read_as_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""

    def believe(raw: bytes) -> bool:
        return len(raw) > 0

    monkeypatch.setattr("sylvite.eventlog.segment.is_whole", believe)
    with control("A-04", without="checksums", by=(AssertionError, RemoteProtocolError)):
        _damage(400, seed=61)
