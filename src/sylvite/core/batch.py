"""Batches: how events travel and how they lie on disk, byte for byte.  Spec: docs/log-format.md, "Batch".

A publisher packs events into a **block**; the broker puts a header before it and never changes it again. All
numbers are little-endian.

    batch   byte  size  field
            0     4     magic, b"SyB1"
            4     4     size of the whole batch
            8     4     CRC-32C of everything from byte 12 on; 0 where a batch was cut for one reader
            12    2     reserved, 0
            14    2     size of the sender
            16    8     base: the offset of the first event
            24    8     epoch of the log
            32    8     durable: every offset below it was synced when this was written
            40    8     stamp: when the broker took it, ns since 1970, UTC
            48    8     source epoch: a random number of the publisher's
            56    8     source seq of the first event; the next ones count on
            64    s     sender, UTF-8
            64+s        block

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
from collections.abc import Iterable, Sequence
from itertools import accumulate
from struct import Struct, unpack_from

import msgspec

from sylvite.core.event import EVENT_BYTES_MAX, Event, Gap, Offset, Origin, decode_data, is_costly, unpack_data
from sylvite.errors import EventTooBig, InvalidData, RemoteProtocolError

MAGIC = b"SyB1"
HEADER = Struct("<4sIIHHQQQqQQ")
BLOCK_HEADER = Struct("<III")
_LINK = Struct("<QI")

BATCH_EVENTS_MAX = 8192
BLOCK_BYTES_MAX = EVENT_BYTES_MAX + 64 * 1024
BATCH_BYTES_MAX = BLOCK_BYTES_MAX + HEADER.size + 1024

_OFFSETS, _LINKS = 1, 2
_NO_CAUSE = 2**64 - 1
_DIRECT_BELOW = 16 * 1024

_tags_decoder = msgspec.msgpack.Decoder(list[str])
_tags_encoder = msgspec.msgpack.Encoder()


class BlockBuilder:
    """Collect events of one publisher into a block."""

    __slots__ = ("_data", "_links", "_numbers", "_sizes", "_tags", "size")

    def __init__(self) -> None:
        self._tags: dict[str, int] = {}
        self._numbers: list[int] = []
        self._sizes: list[int] = []
        self._data: list[bytes] = []
        self._links: dict[int, tuple[int, int]] = {}
        self.size = 0
        """About how many bytes the block would have."""

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, tag: str, packed: bytes, cause: int | None = None, hop: int = 0) -> None:
        number = self._tags.get(tag)
        if number is None:
            number = self._tags[tag] = len(self._tags)
            self.size += len(tag) + 2
        if cause is not None or hop:
            self._links[len(self._numbers)] = (_NO_CAUSE if cause is None else cause, hop)
        self._numbers.append(number)
        self._sizes.append(len(packed))
        self._data.append(packed)
        self.size += len(packed) + 18

    def peek(self) -> tuple[bytes, int]:
        """Return the block so far and its count of events."""
        tags = _tags_encoder.encode(list(self._tags))
        block = _encode_block(tags, self._numbers, self._sizes, None, self._all_links(), self._data)
        return block, len(self._numbers)

    def take(self) -> tuple[bytes, int]:
        """Return the block and its count of events, and start anew."""
        block, count = self.peek()
        self._tags, self._numbers, self._sizes, self._data, self._links = {}, [], [], [], {}
        self.size = 0
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
    offsets: Sequence[int] | None,
    links: Iterable[tuple[int, int]] | None,
    data: Iterable[bytes | memoryview],
) -> bytes:
    count = len(numbers)
    flags = (_OFFSETS if offsets is not None else 0) | (_LINKS if links is not None else 0)
    parts: list[bytes | memoryview] = [
        BLOCK_HEADER.pack(count, len(tags), flags),
        tags,
        Struct(f"<{count}H").pack(*numbers),
        Struct(f"<{count}I").pack(*sizes),
    ]
    if offsets is not None:
        parts.append(Struct(f"<{count}I").pack(*offsets))
    if links is not None:
        parts.extend(_LINK.pack(cause, hop) for cause, hop in links)
    parts.extend(data)
    return b"".join(parts)


EMPTY_BLOCK = _encode_block(b"\x90", (), (), None, None, ())
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
) -> bytes:
    """Return a batch whose checksum is still 0."""
    name = sender.encode()
    size = HEADER.size + len(name) + len(block)
    header = HEADER.pack(
        MAGIC, size, 0, 0, len(name), base, epoch, durable, stamp_ns, source_epoch, source_seq
    )  # fmt: skip
    return b"".join((header, name, block))


class Batch:
    """A batch read: the header at once, tags and columns when they are asked for.

    Raises:
        RemoteProtocolError: `raw` is no batch, or its parts do not add up.  Nothing beyond `raw` is read.
    """

    __slots__ = (
        "_block",
        "_numbers",
        "_offsets",
        "_sizes",
        "_starts",
        "_tags",
        "base",
        "count",
        "crc",
        "durable",
        "epoch",
        "raw",
        "sender_size",
        "source_epoch",
        "source_seq",
        "stamp_ns",
    )

    def __init__(self, raw: bytes) -> None:
        try:
            magic, size, self.crc, _, self.sender_size, self.base, self.epoch, self.durable, *rest = HEADER.unpack_from(
                raw
            )
            self.stamp_ns, self.source_epoch, self.source_seq = rest
            self._block = HEADER.size + self.sender_size
            self.count = BLOCK_HEADER.unpack_from(raw, self._block)[0]
        except struct.error as error:
            raise RemoteProtocolError(f"a batch is cut short: {len(raw)} bytes") from error
        if magic != MAGIC or size != len(raw):
            raise RemoteProtocolError("what should be a batch is none")
        self.raw = raw
        self._tags: list[str] | None = None
        self._numbers: tuple[int, ...] = ()
        self._sizes: tuple[int, ...] = ()
        self._offsets: tuple[int, ...] | None = None
        self._starts: list[int] = []

    @property
    def next(self) -> int:
        """The offset after the last event: `base + count` for a batch as it lies in the log."""
        return self.base + self.count

    @property
    def last(self) -> int:
        """The offset of the last event, also in a batch that was cut."""
        if BLOCK_HEADER.unpack_from(self.raw, self._block)[2] & _OFFSETS:
            return self.base + self.offsets[-1]
        return self.base + self.count - 1

    @property
    def offsets(self) -> tuple[int, ...]:
        """Per event of a batch that was cut, its offset less base."""
        if self._tags is None:
            self._read_columns()
        return self._offsets or ()

    @property
    def sender(self) -> str:
        return str(self.raw[HEADER.size : self._block], "utf-8", "replace")

    @property
    def tags(self) -> list[str]:
        """The distinct tags."""
        if self._tags is None:
            self._read_columns()
        assert self._tags is not None
        return self._tags

    @property
    def numbers(self) -> tuple[int, ...]:
        """Per event, the index of its tag in `tags`."""
        if self._tags is None:
            self._read_columns()
        return self._numbers

    def _read_columns(self) -> None:
        columns = read_block(self.raw, self._block)
        self._numbers, self._sizes, self._offsets, self._starts = columns[1:]
        self._tags = columns[0]

    def offset(self, index: int) -> int:
        return self.base + (index if self._offsets is None else self._offsets[index])

    def packed_data(self, index: int) -> bytes:
        """The data of one event, as it was published."""
        if self._tags is None:
            self._read_columns()
        start = self._starts[index]
        return self.raw[start : start + self._sizes[index]]

    def link(self, index: int) -> tuple[int | None, int]:
        """The cause and hop of one event."""
        flags = BLOCK_HEADER.unpack_from(self.raw, self._block)[2]
        if not flags & _LINKS:
            return None, 0
        cause, hop = _LINK.unpack_from(self.raw, self._links_start() + 12 * index)
        return (None if cause == _NO_CAUSE else cause), hop

    def _links_start(self) -> int:
        # The links stand right before the data.
        first = self._starts[0] if self.count else len(self.raw)
        return first - 12 * self.count

    def origin(self) -> Origin:
        return Origin(self.epoch, self.stamp_ns, self.sender, self.source_epoch)

    def events(self, start: int = 0) -> list[Event | Gap]:
        """Return the events from offset `start` on, data decoded.

        One whose data cannot be decoded becomes a Gap: what one publisher got wrong must not stop a reader.
        """
        tags, numbers = self.tags, self.numbers
        origin, raw, decode = self.origin(), self.raw, decode_data
        linked = bool(BLOCK_HEADER.unpack_from(raw, self._block)[2] & _LINKS)
        base, seq, offsets = self.base, self.source_seq, self._offsets
        found: list[Event | Gap] = []
        append = found.append
        view = memoryview(raw)
        for index, (number, size, position) in enumerate(zip(numbers, self._sizes, self._starts, strict=True)):
            step = index if offsets is None else offsets[index]
            offset = Offset(base + step)
            if offset < start:
                continue
            try:
                if size < _DIRECT_BELOW:
                    data = decode(view[position : position + size])
                else:
                    data = unpack_data(raw[position : position + size])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidData) as error:
                detail = f"{tags[number]} from {origin.sender}: {error}"
                append(Gap(offset, offset + 1, "undecodable", 1, detail))
                continue
            if linked:
                cause, hop = self.link(index)
                append(Event(tags[number], data, offset, origin, seq + step, cause, hop))
            else:
                append(Event(tags[number], data, offset, origin, seq + step))
        return found

    def cut(self, indexes: Sequence[int]) -> bytes:
        """Return a batch of only these events, for one reader.  Not for the log: it has no checksum."""
        raw, sizes, starts, numbers = self.raw, self._sizes, self._starts, self.numbers
        tags = self.tags
        kept: dict[int, int] = {}
        new_numbers = [kept.setdefault(numbers[index], len(kept)) for index in indexes]
        flags = BLOCK_HEADER.unpack_from(raw, self._block)[2]
        links = None
        if flags & _LINKS:
            first = self._links_start()
            links = [_LINK.unpack_from(raw, first + 12 * index) for index in indexes]
        view = memoryview(raw)
        block = _encode_block(
            _tags_encoder.encode([tags[number] for number in kept]),
            new_numbers,
            [sizes[index] for index in indexes],
            [self.offset(index) - self.base for index in indexes],
            links,
            [view[starts[index] : starts[index] + sizes[index]] for index in indexes],
        )
        header = bytearray(raw[: self._block])
        HEADER.pack_into(
            header, 0, MAGIC, len(header) + len(block), 0, 0, self.sender_size, self.base, self.epoch, self.durable,
            self.stamp_ns, self.source_epoch, self.source_seq,
        )  # fmt: skip
        return bytes(header) + block


Columns = tuple[list[str], tuple[int, ...], tuple[int, ...], tuple[int, ...] | None, list[int]]


def read_block(raw: bytes, start: int = 0) -> Columns:
    """Return tags, and per event the tag number, data size, offset step (None: dense) and data position in `raw`.

    Raises:
        RemoteProtocolError: the parts do not add up to exactly the rest of `raw`.
    """
    try:
        count, tags_size, flags = BLOCK_HEADER.unpack_from(raw, start)
        position = start + BLOCK_HEADER.size
        widths = 6 + (4 if flags & _OFFSETS else 0) + (12 if flags & _LINKS else 0)
        # The announced sizes are checked against what is there before anything is made from them.
        if count > BATCH_EVENTS_MAX or position + tags_size + widths * count > len(raw) or flags > 3:
            raise RemoteProtocolError(f"a block announces {count} events and {tags_size} bytes of tags; it is shorter")
        tags = _tags_decoder.decode(memoryview(raw)[position : position + tags_size])
        position += tags_size
        numbers = unpack_from(f"<{count}H", raw, position)
        position += 2 * count
        sizes = unpack_from(f"<{count}I", raw, position)
        position += 4 * count
        offsets = None
        if flags & _OFFSETS:
            offsets = unpack_from(f"<{count}I", raw, position)
            position += 4 * count
        if flags & _LINKS:
            position += 12 * count
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"a block cannot be read: {error}") from error
    if count:
        starts = list(accumulate(sizes, initial=position))
        if starts.pop() != len(raw) or max(numbers) >= len(tags):
            raise RemoteProtocolError("the parts of a block do not add up")
        return tags, numbers, sizes, offsets, starts
    if position != len(raw):
        raise RemoteProtocolError("an empty block has data")
    return tags, (), (), None, []


def check_published(raw: bytes, start: int, event_bytes_max: int) -> list[str]:
    """Check a block that a publisher sent; return its tags, whose grammar is not checked here.

    Raises:
        RemoteProtocolError: not a block, an empty one, or one with offsets (those are the broker's to give).
        EventTooBig: an event has more than `event_bytes_max` bytes of data.
    """
    tags, _, sizes, offsets, _ = read_block(raw, start)
    if not sizes or offsets is not None:
        raise RemoteProtocolError("a publisher's block must hold events, without offsets")
    if max(sizes) > event_bytes_max:
        raise EventTooBig(max(sizes), event_bytes_max)
    return tags


__all__ = [
    "BATCH_BYTES_MAX",
    "BATCH_EVENTS_MAX",
    "BLOCK_BYTES_MAX",
    "EMPTY_BLOCK",
    "HEADER",
    "MAGIC",
    "Batch",
    "BlockBuilder",
    "check_published",
    "encode_batch",
    "is_costly",
    "read_block",
]
