"""A-09: the files beside the segments deleted, emptied, garbled, swapped, or of a wrong mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sylvite.errors import LogNotUnderstood
from sylvite.eventlog.cursors import Cursor
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.eventlog.storage import DiskStorage
from tests.eventlog.logs import NOW_NS, append, numbers, open_log, read_all, sync
from tests.faults.report import control, report

SETTINGS = LogSettings(segment_bytes=16 * 1024, keep_free_bytes=0)
EVENTS = 1200
MOVED_TO = (100, 300)
"""Where the cursor stood when it was saved last but one, and last."""


def _log(folder: Path) -> None:
    log = open_log(DiskStorage(folder), SETTINGS)
    for first in range(0, EVENTS, 10):
        append(log, first, 10)
        sync(log)
    for offset in MOVED_TO:
        log.cursors.put(Cursor("reader", "uid:0", log.epoch, offset, NOW_NS))
        log.cursors.save(log.cursors.content())
    log.mark(NOW_NS)
    log.close()


def _delete(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garble(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def _swap(path: Path) -> None:
    """With the file of the same kind that comes next, if there is one."""
    others = sorted(path.parent.glob("*" + (path.suffix or ".previous")))
    other = others[(others.index(path) + 1) % len(others)] if path in others else others[0]
    content = other.read_bytes()
    other.write_bytes(path.read_bytes())
    path.write_bytes(content)


def _open_to_all(path: Path) -> None:
    path.chmod(0o666)


CHANGES = (_delete, _empty, _garble, _flip, _cut, _lengthen, _swap, _open_to_all)


def _files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    assert found, pattern
    return found


def _check(folder: Path, case: str) -> EventLog:
    log = open_log(DiskStorage(folder), SETTINGS)
    for start in (0, 1, 333, 700, EVENTS - 1):
        assert numbers(read_all(log, start)) == list(range(start, EVENTS)), f"{case}, from {start}"
    assert not log.sources.is_new("uid:0", 7, EVENTS - 10, 10), f"{case}: the latest publisher is forgotten"
    assert log.sources.is_new("uid:0", 7, EVENTS, 10), case
    assert log.offset_at(NOW_NS + 500) == 500, case
    assert not [note for note in log.notes if note.kind == "corrupt"], case
    return log


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_an_index_is_made_again_whatever_became_of_it(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """The first one, the last one, all of them: nothing is lost, and retries are still known."""
    runs = 0
    for which in (slice(0, 1), slice(-1, None), slice(None)):
        folder = tmp_path / str(runs)
        _log(folder)
        for path in _files(folder, "seg-*.idx")[which]:
            change(path)
        _check(folder, f"{change.__name__} of {which}").close()
        runs += 1
    report("A-09", seed=0, runs=runs, counters={"lost": 0})


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
@pytest.mark.parametrize("names", [("cursors",), ("cursors.previous",), ("cursors", "cursors.previous")])
def test_a_cursor_falls_back_and_never_moves_forward(
    tmp_path: Path, change: Callable[[Path], None], names: tuple[str, ...]
) -> None:
    """Events may come again; none is skipped."""
    _damage_cursors(tmp_path, change, names)


def _flip_at(at: int) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[at % (len(content) - 4)] ^= 1
        path.write_bytes(content)

    return flip


def _damage_cursors(folder: Path, change: Callable[[Path], None], names: tuple[str, ...]) -> None:
    """Raises AssertionError: a cursor was lost that need not be, or has moved forward."""
    _log(folder / "log")
    for name in names:
        change(folder / "log" / name)
    log = _check(folder / "log", f"{change.__name__} of {names}")
    found = log.cursors.find("reader")
    assert (found.offset if found else 0) in (0, *MOVED_TO)
    if names == ("cursors.previous",) and change is not _swap:
        assert found is not None
        assert found.offset == MOVED_TO[1]
    elif names == ("cursors",) and change is not _open_to_all:
        assert found is not None
        assert found.offset == MOVED_TO[0]
    log.close()
    report("A-09", seed=0, runs=1, counters={"lost": 0, "moved_forward": 0})


@pytest.mark.parametrize("change", [_delete, _empty, _garble, _cut], ids=lambda change: change.__name__.strip("_"))
def test_without_the_file_that_says_whose_log_it_is_nothing_is_touched(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = tmp_path / "log"
    _log(folder)
    change(folder / "LOG")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}
    storage = DiskStorage(folder)
    with pytest.raises(LogNotUnderstood, match=r"LOG"):
        open_log(storage, SETTINGS)
    storage.close()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"} == before
    report("A-09", seed=0, runs=1, counters={"altered": 0})


def test_an_index_that_is_believed_without_its_checksum_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""

    def believe(content: bytes) -> bytes | None:
        return content[:-4]

    _log(tmp_path / "log")
    (path,) = _files(tmp_path / "log", "seg-*.idx")[:1]
    whole = path.read_bytes()
    monkeypatch.setattr("sylvite.eventlog.index.without_crc", believe)
    with control("A-09", without="checksums of indexes"):
        for at in range(len(whole) - 4):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
            _check(tmp_path / "log", f"byte {at} changed and believed").close()


def test_cursors_that_are_believed_without_their_checksum_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: a bit is flipped in the middle of the newer file."""

    def believe(content: bytes) -> bytes | None:
        return content[:-4]

    monkeypatch.setattr("sylvite.eventlog.cursors.without_crc", believe)
    with control("A-09", without="checksums of cursors"):
        for at in range(20):
            folder = tmp_path / str(at)
            folder.mkdir()
            _damage_cursors(folder, _flip_at(at), ("cursors",))
