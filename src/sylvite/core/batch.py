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

    block   0     4     count of events; 0 in a sync mark
            4     4     size of the tag list
            8     4     flags: 1 = offsets, 2 = links
            12    t     tag list: a MessagePack array of texts, each tag once
                  2n    per event: which tag
                  4n    per event: size of its data
                  4n    per event, with flag 1: offset less base.  Without it they are dense
                  12n   per event, with flag 2: cause (8, all ones: none), hop (4)
                        data of all events, one after the other: MessagePack maps

Columns instead of records, so that the cost of an event in the broker is a few bytes of a slice: it reads sizes and
tag numbers with one call each, and routes a tag once however many events carry it.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, count, repeat
from struct import Struct, unpack_from
from typing import Any, NamedTuple

import msgspec

from sylvite.core.event import (
    CONTAINERS_MAX,
    ENCODE_ERRORS,
    EVENT_BYTES_MAX,
    Event,
    Gap,
    Offset,
    Origin,
    are_known_texts,
    decode_run,
    encode_data,
    unpack_data,
)
from sylvite.core.tag import check_tag
from sylvite.errors import EventTooBig, InvalidData, RemoteProtocolError

MAGIC = b"SyB1"
HEADER = Struct("<4sIIHHQQQqQQ")
PASSAGE = Struct("<QQQQqQQ8x")
BLOCK_HEADER = Struct("<III")
_LINK = Struct("<QI")

BATCH_EVENTS_MAX = 8192
BLOCK_BYTES_MAX = EVENT_BYTES_MAX + 66 * 1024
"""An event of the greatest size, with its tag, behind 64 KiB of others."""
BATCH_BYTES_MAX = BLOCK_BYTES_MAX + HEADER.size + 1024
CUT_BYTES_MAX = BATCH_BYTES_MAX + 4 * BATCH_EVENTS_MAX
"""A batch that was cut for one reader has a column of offsets that the whole one does not need."""

_OFFSETS, _LINKS = 1, 2
_EMPTY_SIZE = BLOCK_HEADER.size + 5
EVENT_SIZE = 2 + 4 + _LINK.size
"""What an event takes beside its data, at most."""
_NO_CAUSE = 2**64 - 1

_tags_decoder = msgspec.msgpack.Decoder(list[str])
_tags_encoder = msgspec.msgpack.Encoder()


Collect = Callable[[str, Mapping[str, Any]], bool]


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


class BlockBuilder:
    """Collect events of one publisher into a block."""

    __slots__ = ("_data", "_links", "_numbers", "_tags", "size")

    def __init__(self) -> None:
        self._tags: dict[str, int] = {}
        self._numbers: list[int] = []
        self._data: list[bytes] = []
        self._links: dict[int, tuple[int, int]] = {}
        self.size = _EMPTY_SIZE
        """At most so many bytes the block would have."""

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, tag: str, packed: bytes, cause: int | None = None, hop: int = 0) -> None:
        number = self._tags.get(tag)
        if number is None:
            number = self._new_tag(tag)
        index, size = len(self._numbers), self.size + len(packed) + EVENT_SIZE
        self._numbers.append(number)
        try:
            self._data.append(packed)
        except MemoryError:
            self._numbers.pop()  # Columns of different lengths would give later events the tags of their neighbours.
            raise
        if cause is not None or hop:
            try:
                self._links[index] = (_NO_CAUSE if cause is None else cause, hop)
            except MemoryError:
                self._numbers.pop()
                self._data.pop()
                raise
        self.size = size

    def _new_tag(self, tag: str) -> int:
        size = self.size + len(tag.encode()) + 3
        number = self._tags[tag] = len(self._tags)
        self.size = size
        return number

    def collector(self, bytes_max: int, data_bytes_max: int) -> Collect:
        """Return a function that adds an event of the common kind, up to a block of `bytes_max`, or returns False.

        Common is small data in a dict whose keys are known to be texts; all else has to be looked at (`pack_data`) and
        given to `add`.  A publisher calls the function for every event: so it is made for one block, until `take`, and
        has what it needs as variables of its own, where an attribute of an object would take three times as long.

        Raises:
            InvalidTag: from that function.
        """
        number_of, add_number, add_data = self._tags.get, self._numbers.append, self._data.append
        take_number_back = self._numbers.pop

        def collect(tag: str, data: Mapping[str, Any]) -> bool:
            if data.__class__ is not dict or not are_known_texts(data):
                return False
            try:
                packed = encode_data(data)
            except ENCODE_ERRORS:
                return False
            length = len(packed)
            size = self.size + length + EVENT_SIZE
            if length > data_bytes_max or size > bytes_max:
                return False
            number = number_of(tag)
            if number is None:
                number = self._new_tag(check_tag(tag))
                size = self.size + length + EVENT_SIZE
            add_number(number)
            try:
                add_data(packed)
            except MemoryError:
                take_number_back()  # As in `add`.
                raise
            self.size = size
            return True

        return collect

    def peek(self) -> tuple[bytes, int]:
        """Return the block so far and its count of events."""
        tags = _tags_encoder.encode(list(self._tags))
        block = _encode_block(tags, self._numbers, list(map(len, self._data)), self._all_links(), self._data)
        return block, len(self._numbers)

    def take(self) -> tuple[bytes, int]:
        """Return the block and its count of events, and start anew."""
        block, count = self.peek()
        self._tags, self._numbers, self._data, self._links = {}, [], [], {}
        self.size = _EMPTY_SIZE
        return block, count

    def _all_links(self) -> list[tuple[int, int]] | None:
        if not self._links:
            return None
        nothing = (_NO_CAUSE, 0)
        return [self._links.get(index, nothing) for index in range(len(self._numbers))]


def _encode_block(
    tags: bytes,
    numbers: Sequence[int],
    sizes: Sequence[int],
    links: Iterable[tuple[int, int]] | None,
    data: Iterable[bytes],
) -> bytes:
    count = len(numbers)
    parts = [
        BLOCK_HEADER.pack(count, len(tags), _LINKS if links is not None else 0),
        tags,
        struct.pack(f"<{count}H{count}I", *numbers, *sizes),
    ]
    if links is not None:
        parts.extend(_LINK.pack(cause, hop) for cause, hop in links)
    parts.extend(data)
    return b"".join(parts)


EMPTY_BLOCK = _encode_block(b"\x90", (), (), None, ())
"""The block of a sync mark: no events, only a header that says what is durable."""


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
            self._tags = _read_tags(self.raw, self._block) if self._columns is None else self._columns.tags
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
        cause, hop = _LINK.unpack_from(self.raw, links_at + _LINK.size * index)
        return (None if cause == _NO_CAUSE else cause), hop

    def without_causes(self) -> bytes:
        """Return the batch with no causes, for another log: they are offsets in this one.  Hops stay; it has no checksum."""
        links_at = self.columns.links_at
        if links_at is None:
            return self.raw
        changed = bytearray(self.raw)
        for at in range(links_at, links_at + _LINK.size * self.count, _LINK.size):
            changed[at : at + 8] = _NO_CAUSE.to_bytes(8, "little")
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
        listed = _tags_encoder.encode([tags[number] for number in kept])
        steps = indexes if offsets is None else [offsets[index] for index in indexes]
        picked = [sizes[index] for index in indexes]
        columns = struct.pack(
            f"<III{len(listed)}s{many}H{2 * many}I",
            many, len(listed), _OFFSETS if links_at is None else _OFFSETS | _LINKS, listed, *new_numbers, *picked, *steps,
        )  # fmt: skip
        links = [] if links_at is None else [links_at + _LINK.size * index for index in indexes]
        parts = [raw[at : at + _LINK.size] for at in links]
        parts += [raw[starts[index] : starts[index] + sizes[index]] for index in indexes]
        size = block + len(columns) + sum(map(len, parts))
        header = HEADER.pack(
            MAGIC, size, 0, self.passage_size, self.sender_size, self.base, self.epoch, self.durable, self.stamp_ns,
            self.source_epoch, self.source_seq,
        )  # fmt: skip
        return b"".join((header, raw[HEADER.size : block], columns, *parts))


class Columns(NamedTuple):
    """What a block says of its events, beside their data.

    `numbers`: which tag.  `sizes`: of the data.  `offsets`: less base; None where they are dense.  `links_at` and
    `starts`: positions in the bytes that were read, of all links (None: no event has one) and of each one's data.
    """

    tags: list[str]
    numbers: tuple[int, ...]
    sizes: tuple[int, ...]
    offsets: tuple[int, ...] | None
    links_at: int | None
    starts: list[int]


def read_block(raw: bytes, start: int = 0) -> Columns:
    """Return the columns of the block that begins at `start` and ends where `raw` does.

    Raises:
        RemoteProtocolError: the parts do not add up to exactly the rest of `raw`.
    """
    try:
        count, tags_size, flags = BLOCK_HEADER.unpack_from(raw, start)
        position = start + BLOCK_HEADER.size
        widths = 6 + (4 if flags & _OFFSETS else 0) + (_LINK.size if flags & _LINKS else 0)
        # The announced sizes are checked against what is there before anything is made from them.
        if count > BATCH_EVENTS_MAX or position + tags_size + widths * count > len(raw) or flags > 3:
            raise RemoteProtocolError(f"a block announces {count} events and {tags_size} bytes of tags; it is shorter")
        if _count_tags(raw, position) > count:
            raise RemoteProtocolError(f"a block has more tags than its {count} events")
        tags = _tags_decoder.decode(memoryview(raw)[position : position + tags_size])
        position += tags_size
        numbers = unpack_from(f"<{count}H", raw, position)
        position += 2 * count
        sizes = unpack_from(f"<{count}I", raw, position)
        position += 4 * count
        offsets = links_at = None
        if flags & _OFFSETS:
            offsets = unpack_from(f"<{count}I", raw, position)
            position += 4 * count
        if flags & _LINKS:
            links_at = position
            position += _LINK.size * count
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"a block cannot be read: {error}") from error
    starts = list(accumulate(sizes, initial=position))
    if starts.pop() != len(raw) or (count and max(numbers) >= len(tags)):
        raise RemoteProtocolError("the parts of a block do not add up")
    return Columns(tags, numbers, sizes, offsets, links_at, starts)


def _read_tags(raw: bytes, start: int) -> list[str]:
    """Return the tags alone.  Raises RemoteProtocolError."""
    try:
        count, size, _ = BLOCK_HEADER.unpack_from(raw, start)
        position = start + BLOCK_HEADER.size
        if _count_tags(raw, position) > count:
            raise RemoteProtocolError(f"a block has more tags than its {count} events")
        return _tags_decoder.decode(memoryview(raw)[position : position + size])
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"a block cannot be read: {error}") from error


def _count_tags(raw: bytes, position: int) -> int:
    """Return how many tags the list announces, before they are made: a tag of no bytes costs 8 in memory."""
    first = raw[position] if position < len(raw) else 0
    if first == 0xDC:
        return int.from_bytes(raw[position + 1 : position + 3], "big")
    if first == 0xDD:
        return int.from_bytes(raw[position + 1 : position + 5], "big")
    return first & 0x0F if first & 0xF0 == 0x90 else 0  # Something else is refused by the decoder.


def check_published(raw: bytes, start: int, event_bytes_max: int) -> Columns:
    """Check a block that a publisher sent; return its columns, with tags whose grammar is not checked here.

    Raises:
        RemoteProtocolError: not a block, too big, an empty one, or one with offsets (those are the broker's to give).
        EventTooBig: an event has more than `event_bytes_max` bytes of data.
    """
    if len(raw) - start > BLOCK_BYTES_MAX:
        # A batch that is larger than all may be would be taken for damage when the log is read.
        raise RemoteProtocolError(f"a block has {len(raw) - start} bytes; the limit is {BLOCK_BYTES_MAX}")
    columns = read_block(raw, start)
    if not columns.sizes or columns.offsets is not None:
        raise RemoteProtocolError("a publisher's block must hold events, without offsets")
    if max(columns.sizes) > event_bytes_max:
        raise EventTooBig(max(columns.sizes), event_bytes_max)
    return columns
