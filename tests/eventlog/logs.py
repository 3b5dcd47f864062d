"""Making and reading logs in tests."""

from __future__ import annotations

from sylvite.core.batch import Batch
from sylvite.core.block import BlockBuilder
from sylvite.core.event import Event, Gap, pack_data
from sylvite.eventlog.eventlog import EventLog, LogSettings, NewBatch
from sylvite.eventlog.history import History
from sylvite.eventlog.storage import Storage

NOW_NS = 1_700_000_000_000_000_000
SMALL = LogSettings(segment_bytes=16 * 1024, keep_free_bytes=0)


def open_log(storage: Storage, settings: LogSettings = SMALL, *, accept_loss: bool = False) -> EventLog:
    return EventLog(storage, settings, now_ns=NOW_NS, accept_loss=accept_loss)


def new_batch(first: int, count: int, *, source_epoch: int = 7, size: int = 20, tag: str = "a/b") -> NewBatch:
    """A batch whose events hold the numbers from `first` on, which are their source seqs too."""
    builder = BlockBuilder()
    for number in range(first, first + count):
        builder.add(tag, pack_data({"n": number, "pad": "x" * size}))
    block, _ = builder.take()
    return NewBatch(block, count, "uid:0", source_epoch, first)


def append(log: EventLog, first: int, count: int = 1, *, size: int = 20) -> list[Batch]:
    return log.append([new_batch(first, count, size=size)], NOW_NS + first)


def sync(log: EventLog) -> None:
    job = log.sync_job()
    if job is not None:
        job.run()
        log.sync_done(None, NOW_NS, 0.0)


def read_all(log: History, start: int = 0, end: int | None = None) -> list[Event | Gap]:
    reader = log.reader(start)
    found: list[Event | Gap] = []
    while items := reader.read(8000, log.end if end is None else end):
        for item in items:
            found.extend(item.events(start) if isinstance(item, Batch) else [item])
    return found


def numbers(found: list[Event | Gap]) -> list[int]:
    return [item.data["n"] for item in found if isinstance(item, Event)]
