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
from tests.faults.report import control, report

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


FILLS = ("cut", "zeros", "random", "old content")


def _tear_everywhere(fill: str, seed: int) -> None:
    """Tear at every byte of the last three batches.

    Raises:
        AssertionError: something else than what is torn is lost, or what is torn is read.
    """
    storage, places, name = _log(BATCHES - 3)
    whole = bytes(storage.content(name))
    data_end = places[-1][0] + places[-1][1]
    tears = range(places[BATCHES - 3][0], data_end)
    rng = random.Random(seed)
    for at in tears:
        content = storage.content(name)
        content[:] = whole
        if fill == "cut":
            del content[at:]
        elif fill == "zeros":
            content[at:] = bytes(len(content) - at)
        elif fill == "random":
            content[at:data_end] = rng.randbytes(data_end - at)
        else:
            # Blocks that held an earlier part of this very log before the file grew over them.
            first = rng.randrange(4096, at - (data_end - at))
            content[at:data_end] = whole[first : first + data_end - at]
        if fill in ("random", "old content"):
            content[at] = whole[at] ^ 0x55  # Else that byte could be the right one: then it is not torn.
        kept = sum(1 for position, size in places if position + size <= at)
        # Nothing of a batch is left where it is cut or zeroed at its very first byte.
        at_border = any(position == at for position, _ in places)
        leaves_bytes = fill in ("random", "old content") or not at_border
        _check(storage, kept, f"{fill} from byte {at}, seed {seed}", leaves_bytes=leaves_bytes)
    report(f"A-03 {fill}", seed=seed, runs=len(tears), counters={"lost": 0, "read_though_torn": 0})


@pytest.mark.parametrize("fill", FILLS)
def test_a_tear_at_every_byte_loses_only_what_is_torn(fill: str) -> None:
    """Cut, zero-filled, or overwritten with noise or with older content, from every byte of the last three batches on."""
    _tear_everywhere(fill, 7)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(300, 303))
@pytest.mark.parametrize("fill", ["random", "old content"])
def test_other_noise_from_every_byte_on_loses_only_what_is_torn(fill: str, seed: int) -> None:
    _tear_everywhere(fill, seed)


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
    subsets = (1 << len(sectors)) - 1
    report("A-03 sectors", seed=0, runs=subsets, counters={"lost": 0, "read_though_torn": 0})


def _damage_what_is_proven() -> None:
    """Raises AssertionError: it is cut, or not told."""
    storage, places, name = _log(BATCHES - 3)
    position, size = places[10]
    storage.content(name)[position : position + size] = bytes(size)
    log = open_log(storage.after_kill(), SETTINGS)
    found = read_all(log)
    assert numbers(found) == [number for number in range(BATCHES) if number != 10]
    (gap,) = [item for item in found if not isinstance(item, Event)]
    assert (gap.first, gap.next, gap.reason) == (10, 11, "damage")
    assert [note.kind for note in log.notes] == ["corrupt"]
    report("A-03 proven", seed=0, runs=1, counters={"lost": 0, "taken_for_a_tear": 0})


def test_what_is_proven_is_never_cut() -> None:
    """The same damage in front of a batch that says it was synced is damage: kept, and shown as a gap."""
    _damage_what_is_proven()


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
    report("A-03 aside", seed=0, runs=1, counters={"lost": 0})


def test_without_checksums_a_tear_is_read_as_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with the check of checksums taken out, the first test fails."""

    def believe(raw: bytes) -> bool:
        return len(raw) > 0

    monkeypatch.setattr("sylvite.eventlog.segment.is_whole", believe)
    with control("A-03", without="checksums"):
        _tear_everywhere("zeros", 7)


def test_without_proof_synced_events_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: where batches do not say what was synced before them, damage is taken for a tear."""
    real = encode_batch

    def says_nothing(*arguments: Any, **fields: Any) -> bytes:
        return real(*arguments, **{**fields, "durable": 0})

    monkeypatch.setattr("sylvite.eventlog.eventlog.encode_batch", says_nothing)
    with control("A-03", without="saying what was synced before"):
        _damage_what_is_proven()
