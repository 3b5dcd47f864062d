"""Batches: how events travel and how they lie on disk, byte for byte.  Spec: docs/log-format.md, "Batch".

A publisher packs events into a **block**; the broker puts a header before it and never changes it again. All
numbers are little-endian.

    batch   byte  size  field
            0     4     magic, b"SyB1"
            4     4     size of the whole batch
            8     4     CRC-32C of everything from byte 12 on; 0 where a batch was cut for one reader
            12    2     size of the passage: 0, or 64
            14    2     size of the sender
            16    8     base: the offset of the first event
            24    8     epoch of the log
            32    8     durable: every offset below it was synced when this was written
            40    8     stamp: when the broker took it, ns since 1970, UTC
            48    8     source epoch: a random number of the publisher's
            56    8     source seq of the first event; the next ones count on
            64    s     sender, UTF-8
            64+s  p     passage: how another has brought it here, see `Passage`
            64+s+p      block

The block is what its publisher has packed: core/block.py.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import count, repeat
from struct import Struct
from typing import NamedTuple

from sylvite.core.block import (
    BLOCK_BYTES_MAX,
    BLOCK_HEADER,
    EVENTS_MAX,
    LINK,
    LINKS,
    NO_CAUSE,
    OFFSETS,
    Columns,
    read_block,
    read_tags,
    tags_encoder,
)
from sylvite.core.event import CONTAINERS_MAX, Event, Gap, Offset, Origin, decode_run, unpack_data
from sylvite.errors import InvalidData, RemoteProtocolError

MAGIC = b"SyB1"
HEADER = Struct("<4sIIHHQQQqQQ")
PASSAGE = Struct("<QQQQqQQ8x")

BATCH_BYTES_MAX = BLOCK_BYTES_MAX + HEADER.size + 1024
CUT_BYTES_MAX = BATCH_BYTES_MAX + 4 * EVENTS_MAX
"""A batch that was cut for one reader has a column of offsets that the whole one does not need."""


class Passage(NamedTuple):
    """How a block has come here that another has brought.

    `first`, `next`: of a source that comes in its order: from seq `first` on there is nothing of it before `next` but what
    is in this block; both 0 where that is not known.
    `epoch`, `until`: of the log of another master, where this block ends there; 0 for what did not come from one.
    `stamp_ns`: when that master took it.  `stream`, `number`: the stream that has brought it, and the message in it.
    """

    first: int = 0
    next: int = 0
    epoch: int = 0
    until: int = 0
    stamp_ns: int = 0
    stream: int = 0
    number: int = 0

    @property
    def is_from_master(self) -> bool:
        return self.epoch != 0


def encode_batch(
    block: bytes,
    *,
    base: int,
    epoch: int,
    durable: int,
    stamp_ns: int,
    sender: str,
    source_epoch: int,
    source_seq: int,
    passage: Passage | None = None,
) -> bytes:
    """Return a batch whose checksum is still 0."""
    name = sender.encode()
    way = b"" if passage is None else PASSAGE.pack(*passage)
    size = HEADER.size + len(name) + len(way) + len(block)
    header = HEADER.pack(
        MAGIC, size, 0, len(way), len(name), base, epoch, durable, stamp_ns, source_epoch, source_seq
    )  # fmt: skip
    return b"".join((header, name, way, block))


class Batch:
    """A batch read: the header at once, tags and columns when they are asked for.

    Raises:
        RemoteProtocolError: `raw` is no batch, or its parts do not add up.  Nothing beyond `raw` is read.
    """

    __slots__ = (
        "_block",
        "_columns",
        "_tags",
        "base",
        "count",
        "crc",
        "durable",
        "epoch",
        "passage_size",
        "raw",
        "sender_size",
        "source_epoch",
        "source_seq",
        "stamp_ns",
    )

    def __init__(self, raw: bytes, tags: list[str] | None = None) -> None:
        """`tags`: the distinct tags, where they are known already."""
        try:
            (
                magic, size, self.crc, self.passage_size, self.sender_size, self.base, self.epoch, self.durable, self.stamp_ns,
                self.source_epoch, self.source_seq,
            ) = HEADER.unpack_from(raw)  # fmt: skip
            self._block = HEADER.size + self.sender_size + self.passage_size
            self.count: int = BLOCK_HEADER.unpack_from(raw, self._block)[0]
        except struct.error as error:
            raise RemoteProtocolError(f"a batch is cut short: {len(raw)} bytes") from error
        if magic != MAGIC or size != len(raw) or self.passage_size not in (0, PASSAGE.size):
            raise RemoteProtocolError("what should be a batch is none")
        self.raw = raw
        self._columns: Columns | None = None
        self._tags = tags

    @property
    def columns(self) -> Columns:
        if self._columns is None:
            self._columns = read_block(self.raw, self._block)
        return self._columns

    @property
    def next(self) -> int:
        """The offset after the last event: `base + count` for a batch as it lies in the log."""
        return self.base + self.count

    @property
    def last(self) -> int:
        """The offset of the last event, also in a batch that was cut; less than `base` if there is none."""
        offsets = self.columns.offsets
        return self.base + (offsets[-1] if offsets else self.count - 1)

    @property
    def sender(self) -> str:
        return str(self.raw[HEADER.size : HEADER.size + self.sender_size], "utf-8", "replace")

    @property
    def passage(self) -> Passage | None:
        """How it has come here; None for what was published here."""
        if not self.passage_size:
            return None
        return Passage(*PASSAGE.unpack_from(self.raw, HEADER.size + self.sender_size))

    @property
    def block(self) -> bytes:
        """The block, as it was published."""
        return self.raw[self._block :]

    @property
    def tags(self) -> list[str]:
        """The distinct tags.  Alone they are read faster than all columns are."""
        if self._tags is None:
            self._tags = read_tags(self.raw, self._block) if self._columns is None else self._columns.tags
        return self._tags

    @property
    def numbers(self) -> tuple[int, ...]:
        """Per event, the index of its tag in `tags`."""
        return self.columns.numbers

    def offset(self, index: int) -> int:
        offsets = self.columns.offsets
        return self.base + (index if offsets is None else offsets[index])

    def packed_data(self, index: int) -> bytes:
        """The data of one event, as it was published."""
        columns = self.columns
        start = columns.starts[index]
        return self.raw[start : start + columns.sizes[index]]

    def link(self, index: int) -> tuple[int | None, int]:
        """The cause and hop of one event."""
        links_at = self.columns.links_at
        if links_at is None:
            return None, 0
        cause, hop = LINK.unpack_from(self.raw, links_at + LINK.size * index)
        return (None if cause == NO_CAUSE else cause), hop

    def without_causes(self) -> bytes:
        """Return the batch with no causes, for another log: they are offsets in this one.  Hops stay; it has no checksum."""
        links_at = self.columns.links_at
        if links_at is None:
            return self.raw
        changed = bytearray(self.raw)
        for at in range(links_at, links_at + LINK.size * self.count, LINK.size):
            changed[at : at + 8] = NO_CAUSE.to_bytes(8, "little")
        return bytes(changed)

    def origin(self) -> Origin:
        return Origin(self.epoch, self.stamp_ns, self.sender, self.source_epoch)

    def events(self, start: int = 0, bytes_max: int | None = None) -> list[Event | Gap]:
        """Return the events from offset `start` on, data decoded; at least one, and about `bytes_max` of data.

        One whose data cannot be decoded becomes a Gap: what one publisher got wrong must not stop a reader.
        """
        tags, numbers, sizes, offsets, links_at, starts = self.columns
        base, seq, origin = self.base, self.source_seq, self.origin()
        first, until = self._rows(start, bytes_max)
        if first or until < len(numbers):
            numbers, sizes, starts = numbers[first:until], sizes[first:until], starts[first:until]
        steps = range(first, until) if offsets is None else offsets[first:until]
        if offsets is None and links_at is None and sizes and max(sizes) <= CONTAINERS_MAX:
            # Nearly all batches: as the loop below, without a step of Python for each event.
            data = decode_run(self.raw[starts[0] : starts[-1] + sizes[-1]], sizes)
            if data is not None:  # Else it is one of them: the loop finds out which.
                tagged = map(tags.__getitem__, numbers)
                return list(map(Event, tagged, data, count(base + first), repeat(origin), count(seq + first)))
        found: list[Event | Gap] = []
        for row, step, number, size, position in zip(count(first), steps, numbers, sizes, starts):
            offset = Offset(base + step)
            try:
                unpacked = unpack_data(self.raw[position : position + size])
            except InvalidData as error:
                detail = f"{tags[number]} from {origin.sender}: {error}"
                found.append(Gap(offset, offset + 1, "undecodable", 1, detail))
                continue
            found.append(Event(tags[number], unpacked, offset, origin, seq + step, *self.link(row)))
        return found

    def _rows(self, start: int, bytes_max: int | None) -> tuple[int, int]:
        """Return the first row at offset `start` or behind, and the one after the last that `bytes_max` lets in."""
        columns = self.columns
        first, until = 0, len(columns.numbers)
        if start > self.base:
            step = start - self.base
            first = min(step, until) if columns.offsets is None else bisect_left(columns.offsets, step)
        if bytes_max is not None and first < until and len(self.raw) - columns.starts[first] > bytes_max:
            until = max(bisect_right(columns.starts, columns.starts[first] + bytes_max) - 1, first + 1)
        return first, until

    def cut(self, indexes: Sequence[int]) -> bytes:
        """Return a batch of only these events, for one reader.  Not for the log: it has no checksum."""
        # A broker makes one for each subscription and batch: so it is packed with few calls.
        raw, block, many = self.raw, self._block, len(indexes)
        tags, numbers, sizes, offsets, links_at, starts = self.columns
        kept: dict[int, int] = {}
        new_numbers = [kept.setdefault(numbers[index], len(kept)) for index in indexes]
        listed = tags_encoder.encode([tags[number] for number in kept])
        steps = indexes if offsets is None else [offsets[index] for index in indexes]
        picked = [sizes[index] for index in indexes]
        columns = struct.pack(
            f"<III{len(listed)}s{many}H{2 * many}I",
            many, len(listed), OFFSETS if links_at is None else OFFSETS | LINKS, listed, *new_numbers, *picked, *steps,
        )  # fmt: skip
        links = [] if links_at is None else [links_at + LINK.size * index for index in indexes]
        parts = [raw[at : at + LINK.size] for at in links]
        parts += [raw[starts[index] : starts[index] + sizes[index]] for index in indexes]
        size = block + len(columns) + sum(map(len, parts))
        header = HEADER.pack(
            MAGIC, size, 0, self.passage_size, self.sender_size, self.base, self.epoch, self.durable, self.stamp_ns,
            self.source_epoch, self.source_seq,
        )  # fmt: skip
        return b"".join((header, raw[HEADER.size : block], columns, *parts))
