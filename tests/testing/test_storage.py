"""What any Storage does: DiskStorage and MemoryStorage, and both under a watch.  Then the faults that the double makes."""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sylvite.errors import LogInUse
from sylvite.eventlog.storage import DiskStorage, Storage, read_whole, write_whole
from sylvite.testing.storage import WRITE_CALLS, MemoryStorage, Moment, WatchedStorage


def _ignore(moment: Moment, call: str) -> None:
    del moment, call


KINDS: dict[str, Callable[[Path], Storage]] = {
    "disk": lambda folder: DiskStorage(folder / "log"),
    "memory": lambda folder: MemoryStorage(),
    "watched disk": lambda folder: WatchedStorage(DiskStorage(folder / "log"), _ignore),
    "watched memory": lambda folder: WatchedStorage(MemoryStorage(), _ignore),
}


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return KINDS[request.param](tmp_path)


# -- The contract ----------------------------------------------------------------------------------------------------


def test_what_is_written_is_read(storage: Storage) -> None:
    file = storage.open("a", create=True)
    file.write_at(0, [b"one", b"", b"two"])
    assert file.read_at(0, 100) == b"onetwo"
    assert file.read_at(2, 3) == b"etw"
    assert file.read_at(6, 10) == b""
    assert file.read_at(100, 10) == b""
    assert file.size() == 6


def test_a_write_behind_the_end_leaves_zeros_before_it(storage: Storage) -> None:
    file = storage.open("a", create=True)
    file.write_at(5, [b"x"])
    assert file.read_at(0, 100) == b"\0\0\0\0\0x"


def test_a_write_over_others_replaces_only_what_it_covers(storage: Storage) -> None:
    file = storage.open("a", create=True)
    file.write_at(0, [b"aaaaaa"])
    file.write_at(2, [b"bb"])
    assert file.read_at(0, 100) == b"aabbaa"


def test_more_parts_than_one_call_takes_are_all_written(storage: Storage) -> None:
    parts = [bytes([number % 251]) * 3 for number in range(3000)]
    file = storage.open("a", create=True)
    file.write_at(1, parts)
    assert file.read_at(1, 10_000) == b"".join(parts)


def test_reserved_space_reads_as_zeros_and_nothing_is_lost(storage: Storage) -> None:
    file = storage.open("a", create=True)
    file.write_at(0, [b"abc"])
    file.reserve(10)
    assert file.read_at(0, 100) == b"abc" + bytes(7)
    file.reserve(5)
    assert file.size() == 10


def test_a_file_is_cut(storage: Storage) -> None:
    file = storage.open("a", create=True)
    file.write_at(0, [b"abcdef"])
    file.truncate(2)
    assert (file.size(), file.read_at(0, 100)) == (2, b"ab")
    file.write_at(3, [b"x"])
    assert file.read_at(0, 100) == b"ab\0x", "what was cut off is gone"


def test_a_file_is_made_once(storage: Storage) -> None:
    storage.open("a", create=True).close()
    with pytest.raises(FileExistsError):
        storage.open("a", create=True)
    storage.open("a").close()


def test_a_file_that_is_not_there_is_said(storage: Storage) -> None:
    for call in (
        lambda: storage.open("a"),
        lambda: storage.open("a", write=True),
        lambda: storage.remove("a"),
        lambda: storage.rename("a", "b"),
    ):
        with pytest.raises(FileNotFoundError):
            call()
    assert storage.names() == []


def test_a_closed_file_is_of_no_use(storage: Storage) -> None:
    file = storage.open("a", create=True)
    file.close()
    with pytest.raises(OSError, match=r"[Bb]ad file|closed"):
        file.write_at(0, [b"x"])


def test_names_are_sorted_and_follow_renames(storage: Storage) -> None:
    for name in ("c", "a", "b"):
        storage.open(name, create=True).close()
    storage.rename("a", "d")
    storage.remove("b")
    assert storage.names() == ["c", "d"]


def test_a_rename_replaces_and_open_files_stay_what_they_are(storage: Storage) -> None:
    """An open file is the file, not the name: a reader goes on with what it has opened."""
    write_whole(storage, "old", b"old")
    write_whole(storage, "new", b"new")
    file = storage.open("old")
    storage.rename("new", "old")
    assert file.read_at(0, 10) == b"old"
    assert read_whole(storage, "old") == b"new"
    storage.remove("old")
    assert file.read_at(0, 10) == b"old"


def test_a_folder_has_files_of_its_own(storage: Storage) -> None:
    storage.make_folder("inner")
    storage.make_folder("inner")
    storage.open("a", create=True).close()
    storage.open("inner/b", create=True).close()
    storage.rename("a", "inner/c")
    storage.sync_folder("inner")
    storage.sync_folder()
    assert storage.names("inner") == ["b", "c"]
    assert storage.names() == ["inner"]


def test_write_whole_replaces_a_file_and_leaves_nothing_beside_it(storage: Storage) -> None:
    storage.open("a.new", create=True).close()  # an attempt that was cut short
    write_whole(storage, "a", b"one")
    write_whole(storage, "a", b"two", sync=False)
    assert read_whole(storage, "a") == b"two"
    assert storage.names() == ["a"]
    assert read_whole(storage, "a", bytes_max=2) == b"tw"


def test_there_is_free_space(storage: Storage) -> None:
    assert storage.free_bytes() > 0


def test_sync_and_close_are_there(storage: Storage) -> None:
    file = storage.open("a", create=True)
    file.write_at(0, [b"x"])
    file.sync()
    file.close()
    storage.lock()
    storage.close()


def test_a_lock_is_held_until_close(tmp_path: Path) -> None:
    first = DiskStorage(tmp_path / "log")
    first.lock()
    second = DiskStorage(tmp_path / "log")
    with pytest.raises(LogInUse):
        second.lock()
    first.close()
    second.lock()
    second.close()
    memory = MemoryStorage()
    memory.lock()
    with pytest.raises(LogInUse):
        memory.lock()
    memory.close()
    memory.lock()


# -- The double's faults ---------------------------------------------------------------------------------------------


def test_a_fault_happens_at_its_call_once_or_from_then_on() -> None:
    storage = MemoryStorage()
    once, always = storage.fail(errno.EIO, at=2, call="names"), storage.fail(errno.EIO, at=4, call="names", sticky=True)
    outcomes: list[bool] = []
    for _ in range(6):
        try:
            storage.names()
        except OSError:
            outcomes.append(False)
        else:
            outcomes.append(True)
    assert outcomes == [True, False, True, False, False, False]
    assert (once.happened, always.happened) == (1, 3)


def test_a_torn_write_leaves_its_first_half() -> None:
    storage = MemoryStorage()
    file = storage.open("a", create=True)
    storage.fail(errno.ENOSPC, call="write", torn=True)
    with pytest.raises(OSError, match="ENOSPC"):
        file.write_at(0, [b"abcdef"])
    assert file.read_at(0, 10) == b"abc"


def test_a_storage_that_is_full_takes_nothing_more() -> None:
    storage = MemoryStorage(capacity=10)
    file = storage.open("a", create=True)
    file.write_at(0, [b"12345678"])
    with pytest.raises(OSError, match="no space"):
        file.write_at(8, [b"abc"])
    assert (file.read_at(0, 100), storage.free_bytes()) == (b"12345678", 2)
    storage.capacity = None
    file.write_at(8, [b"abc"])


def test_a_power_cut_keeps_what_is_synced_and_any_part_of_the_rest() -> None:
    kept: Counter[bytes] = Counter()
    for seed in range(200):
        storage = MemoryStorage()
        file = storage.open("a", create=True)
        file.write_at(0, [b"s" * 512])
        file.sync()
        storage.sync_folder()
        file.write_at(512, [b"1" * 512, b"2" * 512])
        content = read_whole(storage.after_power_cut(random.Random(seed)), "a")
        assert content[:512] == b"s" * 512
        kept[bytes(sorted(set(content[512:])))] += 1
    assert set(kept) == {b"", b"1", b"12", b"\x002"}, "none, one, both, or the second alone"


def test_a_power_cut_keeps_the_names_that_are_synced_and_the_first_ones_of_the_rest() -> None:
    found: set[tuple[str, ...]] = set()
    for seed in range(200):
        storage = MemoryStorage()
        storage.open("a", create=True)
        storage.sync_folder()
        storage.open("b", create=True)
        storage.open("c", create=True)
        storage.remove("a")
        found.add(tuple(storage.after_power_cut(random.Random(seed)).names()))
    assert found == {("a",), ("a", "b"), ("a", "b", "c"), ("b", "c")}


def test_pages_whose_sync_failed_are_lost_although_they_can_be_read() -> None:
    storage = MemoryStorage()
    file = storage.open("a", create=True)
    storage.sync_folder()
    file.write_at(0, [b"gone"])
    storage.fail(errno.EIO, call="sync")
    with pytest.raises(OSError, match="EIO"):
        file.sync()
    file.sync()
    assert file.read_at(0, 10) == b"gone"
    for seed in range(20):
        assert read_whole(storage.after_power_cut(random.Random(seed)), "a") == b""


def _in_any_power_cut(storage: MemoryStorage) -> set[bytes]:
    """What of the file `a` may be found; nothing where it has no name."""
    cuts = [storage.after_power_cut(random.Random(seed)) for seed in range(40)]
    return {read_whole(cut, "a") if "a" in cut.names() else b"" for cut in cuts}


def test_a_sync_that_takes_time_makes_sure_of_what_was_written_before_it_was_asked_for() -> None:
    storage = MemoryStorage()
    file = storage.open("a", create=True)
    file.write_at(0, [b"x" * 512])
    with storage.hold_syncs() as syncs:
        file.sync()
        storage.sync_folder()
    file.write_at(512, [b"y" * 512])
    assert b"" in _in_any_power_cut(storage)
    syncs.arrive()
    assert _in_any_power_cut(storage) == {b"x" * 512, b"x" * 512 + b"y" * 512}


def test_a_sync_that_takes_time_does_not_undo_a_later_one() -> None:
    storage = MemoryStorage()
    file = storage.open("a", create=True)
    file.write_at(0, [b"x" * 512])
    with storage.hold_syncs() as syncs:
        file.sync()
        storage.sync_folder()
    file.write_at(0, [b"y" * 512])
    storage.open("b", create=True)
    file.sync()
    storage.sync_folder()
    syncs.arrive()
    assert _in_any_power_cut(storage) == {b"y" * 512}
    assert storage.after_power_cut(random.Random(0)).names() == ["a", "b"]


def test_a_sync_that_takes_time_and_fails_forgets_the_writes_when_it_is_answered() -> None:
    storage = MemoryStorage()
    file = storage.open("a", create=True)
    storage.sync_folder()
    file.write_at(0, [b"x" * 512])
    storage.fail(errno.EIO, call="sync")
    with storage.hold_syncs() as syncs, pytest.raises(OSError, match="EIO"):
        file.sync()
    assert b"x" * 512 in _in_any_power_cut(storage)
    syncs.arrive()
    assert _in_any_power_cut(storage) == {b""}


def test_after_a_kill_everything_written_is_there_and_still_not_synced() -> None:
    storage = MemoryStorage()
    storage.lock()
    storage.sync_folder()
    storage.open("a", create=True).write_at(0, [b"x" * 2000])
    after = storage.after_kill()
    after.lock()
    assert read_whole(after, "a") == b"x" * 2000
    assert () in {tuple(after.after_power_cut(random.Random(seed)).names()) for seed in range(20)}


def test_a_copy_is_apart_from_what_it_was_made_of() -> None:
    storage = MemoryStorage()
    storage.open("a", create=True).write_at(0, [b"one"])
    copy = storage.copy()
    copy.open("a").write_at(0, [b"two"])
    assert (read_whole(storage, "a"), read_whole(copy, "a")) == (b"one", b"two")
    assert {tuple(copy.after_power_cut(random.Random(seed)).names()) for seed in range(20)} == {(), ("a",)}


def test_a_watch_is_told_of_each_call_before_and_after() -> None:
    told: list[tuple[Moment, str]] = []
    storage = WatchedStorage(MemoryStorage(), lambda moment, call: told.append((moment, call)))
    file = storage.open("a", create=True)
    file.write_at(0, [b"x"])
    file.reserve(10)
    file.sync()
    file.truncate(1)
    storage.make_folder("inner")
    storage.rename("a", "b")
    storage.sync_folder()
    storage.open("b")
    storage.remove("b")
    calls = [call for moment, call in told if moment == "before"]
    assert [call for moment, call in told if moment == "after"] == calls
    assert [call for call in calls if call != "open"] == [
        "create", "write", "reserve", "sync", "truncate", "make_folder", "rename", "sync_folder", "remove",
    ]  # fmt: skip
    assert set(calls) - {"open"} == WRITE_CALLS


def test_a_watch_that_raises_before_keeps_the_call_from_happening() -> None:
    def watch(moment: Moment, call: str) -> None:
        if (moment, call) == (wanted, "remove"):
            raise OSError(errno.EIO, "EIO")

    for wanted in ("before", "after"):
        inner = MemoryStorage()
        storage = WatchedStorage(inner, watch)
        storage.open("a", create=True)
        with pytest.raises(OSError, match="EIO"):
            storage.remove("a")
        assert inner.names() == (["a"] if wanted == "before" else [])
