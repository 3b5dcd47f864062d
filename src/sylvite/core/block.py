"""Blocks: what a publisher packs of its events, byte for byte.  Spec: docs/log-format.md, "Batch".

All numbers are little-endian.

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from struct import Struct, unpack_from
from typing import Any, NamedTuple

import msgspec

from sylvite.core.event import ENCODE_ERRORS, EVENT_BYTES_MAX, are_known_texts, encode_data
from sylvite.core.tag import check_tag
from sylvite.errors import EventTooBig, RemoteProtocolError

BLOCK_HEADER = Struct("<III")
LINK = Struct("<QI")
OFFSETS, LINKS = 1, 2
"""The flags."""
NO_CAUSE = 2**64 - 1

EVENTS_MAX = 8192
BLOCK_BYTES_MAX = EVENT_BYTES_MAX + 66 * 1024
"""An event of the greatest size, with its tag, behind 64 KiB of others."""
EVENT_SIZE = 2 + 4 + LINK.size
"""What an event takes beside its data, at most."""
_EMPTY_SIZE = BLOCK_HEADER.size + 5

tags_encoder = msgspec.msgpack.Encoder()
_tags_decoder = msgspec.msgpack.Decoder(list[str])

Collect = Callable[[str, Mapping[str, Any]], bool]


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
                self._links[index] = (NO_CAUSE if cause is None else cause, hop)
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
        tags = tags_encoder.encode(list(self._tags))
        block = encode_block(tags, self._numbers, list(map(len, self._data)), self._all_links(), self._data)
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
        nothing = (NO_CAUSE, 0)
        return [self._links.get(index, nothing) for index in range(len(self._numbers))]


def encode_block(
    tags: bytes,
    numbers: Sequence[int],
    sizes: Sequence[int],
    links: Iterable[tuple[int, int]] | None,
    data: Iterable[bytes],
) -> bytes:
    count = len(numbers)
    parts = [
        BLOCK_HEADER.pack(count, len(tags), LINKS if links is not None else 0),
        tags,
        struct.pack(f"<{count}H{count}I", *numbers, *sizes),
    ]
    if links is not None:
        parts.extend(LINK.pack(cause, hop) for cause, hop in links)
    parts.extend(data)
    return b"".join(parts)


EMPTY_BLOCK = encode_block(b"\x90", (), (), None, ())
"""The block of a sync mark: no events, only a header that says what is durable."""


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
        widths = 6 + (4 if flags & OFFSETS else 0) + (LINK.size if flags & LINKS else 0)
        # The announced sizes are checked against what is there before anything is made from them.
        if count > EVENTS_MAX or position + tags_size + widths * count > len(raw) or flags > 3:
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
        if flags & OFFSETS:
            offsets = unpack_from(f"<{count}I", raw, position)
            position += 4 * count
        if flags & LINKS:
            links_at = position
            position += LINK.size * count
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"a block cannot be read: {error}") from error
    starts = list(accumulate(sizes, initial=position))
    if starts.pop() != len(raw) or (count and max(numbers) >= len(tags)):
        raise RemoteProtocolError("the parts of a block do not add up")
    return Columns(tags, numbers, sizes, offsets, links_at, starts)


def read_tags(raw: bytes, start: int) -> list[str]:
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
