"""Index: offset and time to position, sparse; and the snapshot of sources that goes with a sealed segment.

Derived data, in `seg-….idx` beside the segment: rebuilt from the segment when missing or doubtful, never trusted
beyond its checksum and the size of the file it describes.
"""

from __future__ import annotations

import errno
from bisect import bisect_right

import msgspec

from sylvite.core.batch import Batch
from sylvite.eventlog.checksum import with_crc, without_crc
from sylvite.eventlog.segment import Stored
from sylvite.eventlog.sources import Snapshot
from sylvite.eventlog.storage import Storage, read_whole, write_whole

EVERY_BYTES = 64 * 1024


class Entry(msgspec.Struct, frozen=True, array_like=True):
    offset: Stored
    position: Stored
    stamp_ns: int


class Index:
    """Entries for one segment, in order, about one for each EVERY_BYTES."""

    def __init__(self, entries: list[Entry] | None = None) -> None:
        self.entries: list[Entry] = entries or []

    def note(self, batch: Batch, position: int) -> None:
        if batch.count and (not self.entries or position - self.entries[-1].position >= EVERY_BYTES):
            self.entries.append(Entry(batch.base, position, batch.stamp_ns))

    def position_of(self, offset: int, default: int) -> int:
        """Return a position at or before the batch that holds `offset`."""
        at = bisect_right(self.entries, offset, key=lambda entry: entry.offset)
        return self.entries[at - 1].position if at else default

    def position_at(self, stamp_ns: int, default: int) -> int:
        """Return a position at or before the first batch taken at `stamp_ns` or later."""
        at = bisect_right(self.entries, stamp_ns - 1, key=lambda entry: entry.stamp_ns)
        return self.entries[at - 1].position if at else default

    def after(self, position: int) -> Entry | None:
        """Return the first entry behind a position."""
        at = bisect_right(self.entries, position, key=lambda entry: entry.position)
        return self.entries[at] if at < len(self.entries) else None

    def forget_from(self, offset: int) -> None:
        while self.entries and self.entries[-1].offset >= offset:
            self.entries.pop()


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """What is kept beside a sealed segment.  `durable`: every offset below it was synced when this was written;
    `complete`: no source is missing (`Sources.complete`).
    """

    size: Stored
    next: Stored
    entries: list[Entry]
    sources: Snapshot
    durable: Stored = 0
    complete: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Summary)


def index_name(segment_name: str) -> str:
    return segment_name.removesuffix(".log") + ".idx"


def load_summary(storage: Storage, segment_name: str, size: int) -> Summary | None:
    """Return the summary of a segment of this size; None where there is none that can be trusted."""
    summary = _load(storage, index_name(segment_name))
    return summary if summary is not None and summary.size == size else None


def durable_by_summaries(storage: Storage) -> int:
    """Return the offset below which all was synced when the newest readable summary was written.

    It stands in another file than the events: so it proves what a segment that was cut, or is gone, has held.
    """
    for name in reversed([name for name in storage.names() if name.startswith("seg-") and name.endswith(".idx")]):
        summary = _load(storage, name)
        if summary is not None:
            return summary.durable
    return 0


def _load(storage: Storage, name: str) -> Summary | None:
    try:
        content = without_crc(read_whole(storage, name))
        return None if content is None else _decoder.decode(content)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None  # The disk does not give it: as good as none.


def save_summary(storage: Storage, segment_name: str, summary: Summary, *, sync: bool = False) -> None:
    """Write, as a rule without waiting for the disk: after a power cut the checksum tells, and it is made again."""
    write_whole(storage, index_name(segment_name), with_crc(_encoder.encode(summary)), sync=sync)
