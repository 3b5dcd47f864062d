"""A-03: the end of the last segment cut, zeroed or overwritten, at every byte."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sylvite.core.batch import encode_batch
from sylvite.core.event import Event
from sylvite.eventlog.eventlog import LogSettings
from sylvite.testing.storage import MemoryStorage
from tests.eventlog.logs import append, new_batch, numbers, open_log, read_all, sync

SETTINGS = LogSettings(segment_bytes=24 * 1024, keep_free_bytes=0)
BATCHES = 50


def _log(proven: int) -> tuple[MemoryStorage, list[tuple[int, int]], str]:
    """A log of 50 batches of one event; all below `proven` is synced, and the batches behind say so.

    Returns the storage, per batch its position and size, and the segment's name.
    """
    storage = MemoryStorage()
    log = open_log(storage, SETTINGS)
    places: list[tuple[int, int]] = []
    position = 4096
    for number in range(BATCHES):
        (batch,) = append(log, number)
        places.append((position, len(batch.raw)))
        position += len(batch.raw)
        if number + 1 == proven:
            sync(log)
    return storage, places, log.segments[-1].name


def _check(storage: MemoryStorage, kept_at_least: int, case: str, *, leaves_bytes: bool) -> None:
    """What is before the tear is whole, the rest is aside, and the next event gets the next offset."""
    log = open_log(storage.after_kill(), SETTINGS)
    found = read_all(log)
    got = numbers(found)
    assert all(isinstance(item, Event) for item in found), case
    assert got == list(range(len(got))), case
    assert len(got) >= kept_at_least, case
    assert log.end == len(got), case
    (added,) = append(log, log.end)
    assert added.base == len(got), case
    assert numbers(read_all(log)) == list(range(len(got) + 1)), case
    assert [note.kind for note in log.notes] == (["recovered"] if leaves_bytes else []), case


def _tears(last: int) -> list[int]:
    _, places, _ = _log(BATCHES - last)
    return list(range(places[BATCHES - last][0], places[-1][0] + places[-1][1]))


@pytest.mark.parametrize("fill", ["cut", "zeros", "random"])
def test_a_tear_at_every_byte_loses_only_what_is_torn(fill: str) -> None:
    """Cut, zero-fill or overwrite from every byte of the last three batches on."""
    storage, places, name = _log(BATCHES - 3)
    whole = bytes(storage.content(name))
    data_end = places[-1][0] + places[-1][1]
    rng = random.Random(7)
    for at in _tears(3):
        content = storage.content(name)
        content[:] = whole
        if fill == "cut":
            del content[at:]
        elif fill == "zeros":
            content[at:] = bytes(len(content) - at)
        else:
            # A random first byte could be the right one: then that byte is not torn.
            content[at:data_end] = rng.randbytes(data_end - at)
            content[at] = whole[at] ^ 0x55
        kept = sum(1 for position, size in places if position + size <= at)
        # Nothing of a batch is left where it is cut or zeroed at its very first byte.
        at_border = any(position == at for position, _ in places)
        _check(storage, kept, f"{fill} from byte {at}", leaves_bytes=fill == "random" or not at_border)


def test_every_subset_of_lost_sectors_leaves_a_prefix() -> None:
    """The last write covers 12 sectors; whichever of them never arrived, what is left is a prefix."""
    storage = MemoryStorage()
    log = open_log(storage, SETTINGS)
    append(log, 0, 10)
    sync(log)
    name, start = log.segments[-1].name, log.segments[-1].size
    written = log.append([new_batch(10 + number, 1, size=380) for number in range(12)], 0)
    end = start + sum(len(batch.raw) for batch in written)
    whole = bytes(storage.content(name))
    sectors = range(start // 512, (end + 511) // 512)
    assert 10 <= len(sectors) <= 13
    for lost in range(1, 1 << len(sectors)):
        content = storage.content(name)
        content[:] = whole
        for bit, sector in enumerate(sectors):
            if lost >> bit & 1:
                first = max(sector * 512, start)
                last = min(sector * 512 + 512, len(content))
                content[first:last] = bytes(last - first)
        opened = open_log(storage.after_kill(), SETTINGS)
        found = read_all(opened)
        got = numbers(found)
        assert got == list(range(len(got))), f"sectors {lost:b}"
        assert len(got) >= 10, f"sectors {lost:b}"
        assert all(isinstance(item, Event) for item in found), f"sectors {lost:b}"


def test_what_is_proven_is_never_cut() -> None:
    """The same damage in front of a batch that says it was synced is damage: kept, and shown as a gap."""
    storage, places, name = _log(BATCHES - 3)
    position, size = places[10]
    storage.content(name)[position : position + size] = bytes(size)
    log = open_log(storage.after_kill(), SETTINGS)
    found = read_all(log)
    assert numbers(found) == [number for number in range(BATCHES) if number != 10]
    (gap,) = [item for item in found if not isinstance(item, Event)]
    assert (gap.first, gap.next, gap.reason) == (10, 11, "damage")
    assert [note.kind for note in log.notes] == ["corrupt"]


def test_the_torn_bytes_are_kept_aside() -> None:
    storage, places, name = _log(BATCHES - 1)
    position, size = places[-1]
    torn = bytes(storage.content(name)[position : position + size - 5])
    storage.content(name)[position + size - 5 :] = b""
    after = storage.after_kill()
    log = open_log(after, SETTINGS)
    (note,) = log.notes
    assert bytes(after.content(str(note.facts["kept_in"]))) == torn
    assert note.facts["bytes"] == len(torn)


def test_without_checksums_a_tear_is_read_as_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with the check of checksums taken out, the first test fails."""

    def believe(raw: bytes) -> bool:
        return len(raw) > 0

    monkeypatch.setattr("sylvite.eventlog.segment.is_whole", believe)
    with pytest.raises(AssertionError):
        test_a_tear_at_every_byte_loses_only_what_is_torn("zeros")


def test_without_proof_synced_events_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: where batches do not say what was synced before them, damage is taken for a tear."""
    real = encode_batch

    def says_nothing(*arguments: Any, **fields: Any) -> bytes:
        return real(*arguments, **{**fields, "durable": 0})

    monkeypatch.setattr("sylvite.eventlog.eventlog.encode_batch", says_nothing)
    with pytest.raises(AssertionError):
        test_what_is_proven_is_never_cut()
