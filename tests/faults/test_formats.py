"""A-17: logs of every format that was released are read; one of a newer format is refused, and not altered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sylvite.core.batch import Batch
from sylvite.core.event import Event
from sylvite.errors import LogNotUnderstood
from sylvite.eventlog.checksum import crc32c
from sylvite.eventlog.eventlog import EventLog
from sylvite.eventlog.segment import FORMAT, SegmentHeader
from sylvite.eventlog.storage import DiskStorage
from tests.eventlog.logs import append, numbers, open_log, read_all, sync
from tests.faults.report import control, report

GOLDEN = Path(__file__).parent / "golden"
FORMATS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
CURSOR_AT = 15


def _copy(name: str, to: Path) -> Path:
    """Return a folder with a copy: a log that is opened is changed."""
    shutil.copytree(GOLDEN / name, to)
    to.chmod(0o700)
    return to


def _shown(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    raise TypeError(value)


def _events(log: EventLog) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    reader = log.reader(0)
    while items := reader.read(1 << 20, log.end):
        for batch in items:
            assert isinstance(batch, Batch), str(batch)
            for event in batch.events():
                assert isinstance(event, Event), str(event)
                found.append({**event.envelope(), "stamp_ns": event.stamp_ns})
    return json.loads(json.dumps(found, default=_shown))


def test_there_is_a_log_of_every_format_up_to_ours() -> None:
    assert [f"format-{number}" for number in range(1, FORMAT + 1)] == FORMATS


@pytest.mark.parametrize("derived", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_a_golden_log_is_read_and_goes_on(tmp_path: Path, name: str, derived: bool) -> None:
    """Every event, every field, every cursor; with the derived files and without."""
    folder = _copy(name, tmp_path / "log")
    if not derived:
        for path in folder.glob("*.idx"):
            path.unlink()
    log = open_log(DiskStorage(folder))
    expected = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    assert _events(log) == expected
    assert log.notes == []
    assert log.cursors.get("reader").offset == CURSOR_AT
    last = expected[-1]
    assert not log.sources.is_new(last["sender"], 2, int(last["source"].split("/")[1]), 1), "a retry is known"
    end = log.end
    append(log, 7)
    sync(log)
    assert numbers(read_all(log, end)) == [7]
    log.close()
    report("A-17", seed=0, runs=1, counters={"unread": 0})


def _newer_log(folder: Path) -> None:
    meta = json.loads((folder / "LOG").read_bytes())
    (folder / "LOG").write_text(json.dumps({**meta, "format": FORMAT + 1, "wonder": True}))


def _newer_segment(folder: Path) -> None:
    path = max(folder.glob("seg-*.log"))
    content = bytearray(path.read_bytes())
    content[8:12] = (FORMAT + 1).to_bytes(4, "little")
    content[64:68] = crc32c(bytes(content[:64])).to_bytes(4, "little")
    path.write_bytes(content)


def _another_log(folder: Path) -> None:
    path = max(folder.glob("seg-*.log"))
    content = path.read_bytes()
    header = SegmentHeader(b"somebody else's!", 1, int(path.name[4:24]), 0, 0)
    path.write_bytes(header.encode() + content[4096:])


def _another_place(folder: Path) -> None:
    path = max(folder.glob("seg-*.log"))
    path.rename(path.with_name("seg-00000000000000000035.log"))


@pytest.mark.parametrize("change", [_newer_log, _newer_segment, _another_log, _another_place])
def test_what_is_not_understood_is_refused_and_not_altered(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = _copy(FORMATS[-1], tmp_path / "log")
    change(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    storage = DiskStorage(folder)
    with pytest.raises(LogNotUnderstood):
        open_log(storage)
    storage.close()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"} == before
    report("A-17", seed=0, runs=1, counters={"altered": 0})


def test_a_log_that_reads_any_format_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr("sylvite.eventlog.meta.FORMAT", FORMAT + 1)
    with control("A-17", without="looking at the format", match="DID NOT RAISE", by=pytest.fail.Exception):
        test_what_is_not_understood_is_refused_and_not_altered(tmp_path, _newer_log)
