"""The enumeration of what a power cut may leave."""

from __future__ import annotations

import random

from sylvite.eventlog.storage import read_whole
from sylvite.testing.power_cut import states_after_power_cut
from sylvite.testing.storage import MemoryStorage


def _left(storage: MemoryStorage, name: str) -> set[bytes | None]:
    states = [state.storage for state in states_after_power_cut(storage, random.Random(0))]
    return {read_whole(state, name) if name in state.names() else None for state in states}


def test_what_is_synced_is_in_every_state_and_there_is_but_one() -> None:
    storage = MemoryStorage()
    file = storage.open("a", create=True)
    file.write_at(0, [b"x" * 1000])
    file.sync()
    storage.sync_folder()
    (state,) = states_after_power_cut(storage, random.Random(0))
    assert read_whole(state.storage, "a") == b"x" * 1000


def test_sectors_that_are_not_synced_are_there_in_every_combination_of_three() -> None:
    storage = MemoryStorage()
    file = storage.open("a", create=True)
    storage.sync_folder()
    file.write_at(0, [b"1" * 512 + b"2" * 512 + b"3" * 512])
    shapes = {bytes(content[::512]).rstrip(b"\0") for content in _left(storage, "a") if content is not None}
    assert shapes == {b"", b"1", b"12", b"123", b"\x002", b"\x00\x003", b"1\x003", b"\x0023"}


def test_a_later_write_to_a_sector_carries_what_was_there_before() -> None:
    """The kernel writes pages of what it holds, and not what a call has changed in them."""
    storage = MemoryStorage()
    file = storage.open("a", create=True)
    storage.sync_folder()
    file.write_at(0, [b"1" * 100])
    file.write_at(100, [b"2" * 100])
    assert _left(storage, "a") == {b"", b"1" * 100, b"1" * 100 + b"2" * 100}


def test_names_that_are_not_synced_are_there_from_the_first_one_on() -> None:
    storage = MemoryStorage()
    for name in ("a", "b"):
        storage.open(name, create=True)
    storage.rename("a", "c")
    found = {tuple(state.storage.names()) for state in states_after_power_cut(storage, random.Random(0))}
    assert found == {(), ("a",), ("a", "b"), ("b", "c")}


def test_a_file_is_cut_or_not() -> None:
    storage = MemoryStorage()
    file = storage.open("a", create=True)
    file.write_at(0, [b"x" * 600])
    file.sync()
    storage.sync_folder()
    file.truncate(100)
    assert _left(storage, "a") == {b"x" * 100, b"x" * 600}
    file.write_at(100, [b"y"])
    assert b"x" * 100 + b"y" in _left(storage, "a")


def test_a_sample_is_of_so_many_states_and_the_seed_repeats_it() -> None:
    storage = MemoryStorage()
    storage.open("a", create=True).write_at(0, [b"x" * 5000])
    samples = [[state.what for state in states_after_power_cut(storage, random.Random(3), most=7)] for _ in range(2)]
    assert samples[0] == samples[1]
    assert len(samples[0]) == 7
    assert len(list(states_after_power_cut(storage, random.Random(3)))) > 20
