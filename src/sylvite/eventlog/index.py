"""Index: offset and time to position, sparse; and the snapshot of sources that goes with a sealed segment.

Derived data, in `seg-….idx` beside the segment: rebuilt from the segment when missing or doubtful, never trusted
beyond its checksum and the size of the file it describes.
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from sylvite.core.batch import Batch
from sylvite.eventlog.checksum import with_crc, without_crc
from sylvite.eventlog.sources import Snapshot
from sylvite.eventlog.storage import Storage, read_whole, write_whole

EVERY_BYTES = 64 * 1024


class Entry(msgspec.Struct, frozen=True, array_like=True):
    offset: int
    position: int
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
    """What is kept beside a sealed segment."""

    size: int
    next: int
    entries: list[Entry]
    sources: Snapshot


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Summary)


def index_name(segment_name: str) -> str:
    return segment_name.removesuffix(".log") + ".idx"


def load_summary(storage: Storage, segment_name: str, size: int) -> Summary | None:
    """Return the summary of a segment of this size; None where there is none that can be trusted."""
    try:
        content = without_crc(read_whole(storage, index_name(segment_name)))
    except FileNotFoundError:
        return None
    if content is None:
        return None
    try:
        summary = _decoder.decode(content)
    except msgspec.DecodeError:
        return None
    return summary if summary.size == size else None


def save_summary(storage: Storage, segment_name: str, summary: Summary) -> None:
    """Write without waiting for the disk: after a power cut the checksum tells, and it is made again."""
    write_whole(storage, index_name(segment_name), with_crc(_encoder.encode(summary)), sync=False)
