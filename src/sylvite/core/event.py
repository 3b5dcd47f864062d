"""Event and Gap: what a subscription yields, and how data becomes bytes and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from struct import Struct
from typing import Any, NewType, cast

import msgspec

from sylvite.errors import EventTooBig, InvalidData

Offset = NewType("Offset", int)
"""The place of an event in a log.  Dense: the next event has the next number."""

Data = dict[str, Any]

EVENT_BYTES_MAX = 1024 * 1024
CONTAINERS_MAX = 16_384
"""Maps, lists and extension values in one event.

A mebibyte of empty maps would cost 72 MiB to decode (docs/protocol.md, "Limits").
"""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A place in the history of one log: offset, and the epoch of the log when that event was taken.

    An offset alone would be believed by a log that was wiped or restored from a backup.
    """

    epoch: int
    offset: int

    def __str__(self) -> str:
        return f"@{self.offset}"


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """What all events of one batch share.

    `epoch`: of the log, random, new at each start of the broker.  `stamp_ns`: when the broker took the batch, UTC.
    `sender`: who it came from, set by the broker from the channel, such as `uid:1000`.
    `source_epoch`: the publisher, a random number of its own.
    """

    epoch: int
    stamp_ns: int
    sender: str
    source_epoch: int


class Event(msgspec.Struct, frozen=True):
    """One thing that happened.  `cause` is the offset of the event that this one answers."""

    tag: str
    data: Data
    offset: Offset
    origin: Origin
    source_seq: int = 0
    cause: int | None = None
    hop: int = 0

    @property
    def epoch(self) -> int:
        return self.origin.epoch

    @property
    def position(self) -> Position:
        return Position(self.origin.epoch, self.offset)

    @property
    def stamp_ns(self) -> int:
        return self.origin.stamp_ns

    @property
    def stamp(self) -> str:
        """When the broker took the event: RFC 3339, UTC, microseconds."""
        return format_stamp(self.origin.stamp_ns)

    @property
    def sender(self) -> str:
        return self.origin.sender

    def envelope(self) -> dict[str, Any]:
        """Return the event as one flat map, as `-o json`, exports and streams show it."""
        shown: dict[str, Any] = {
            "offset": self.offset,
            "epoch": f"{self.origin.epoch:016x}",
            "stamp": self.stamp,
            "tag": self.tag,
            "sender": self.origin.sender,
            "source": f"{self.origin.source_epoch:016x}/{self.source_seq}",
        }
        if self.cause is not None:
            shown["cause"] = self.cause
            shown["hop"] = self.hop
        shown["data"] = self.data
        return shown


class Gap(msgspec.Struct, frozen=True):
    """Events that are not there: offsets `first` up to, not including, `next`.

    `reason` is one word: `retention`, `damage`, `reset` (another log, or one restored from a backup), `undecodable` (the
    data is no MessagePack map).
    `count` is None where the reader may not know it.
    """

    first: int
    next: int
    reason: str
    count: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        many = "an unknown number of events" if self.count is None else f"{self.count} events"
        where = f"@{self.first}..@{self.next - 1}" if self.next > self.first else f"before @{self.next}"
        if self.next == self.first + 1:
            many, where = "1 event" if self.count == 1 else many, f"@{self.first}"
        verb = "is" if self.count == 1 else "are"
        detail = f": {self.detail}" if self.detail else ""
        return f"gap: {many} ({where}) {verb} missing, {self.reason}{detail}"


def format_stamp(stamp_ns: int) -> str:
    seconds, rest_ns = divmod(stamp_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).isoformat()  # In half the time that a format takes.
    return f"{moment[:19]}.{rest_ns // 1000:06d}Z"


_texts: set[str] = set()
_TEXTS_MAX = 4096
are_known_texts = _texts.issuperset
"""Say whether all keys of a map have been seen by `pack_data`, and so are texts: one call in C."""

_encoder = msgspec.msgpack.Encoder()
encode_data = _encoder.encode
"""The bare encoder, for loops that look after what `pack_data` does."""
ENCODE_ERRORS = (TypeError, OverflowError, ValueError, RecursionError)
_decoder = msgspec.msgpack.Decoder(dict[str, Any])
_run_decoder = msgspec.msgpack.Decoder(list[dict[str, Any]])
_parts_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
_ARRAY_HEAD = Struct(">BI")


def pack_data(data: Mapping[str, Any], *, bytes_max: int = EVENT_BYTES_MAX) -> bytes:
    """Return data as MessagePack.

    Raises:
        InvalidData: not a map with text keys, or a value that MessagePack cannot carry.
        EventTooBig: more than `bytes_max` bytes.
    """
    try:
        packed = _encoder.encode(data)
    except ENCODE_ERRORS as error:
        raise InvalidData(f"data cannot be encoded: {error or 'nested too deeply'}") from error
    if not packed or not (0x80 <= packed[0] <= 0x8F or 0xDE <= packed[0] <= 0xDF):
        raise InvalidData(f"data must be a map, not {type(data).__name__}: give it a name, such as {{'value': …}}")
    if len(packed) > bytes_max:
        raise EventTooBig(len(packed), bytes_max)
    if is_costly(packed):
        raise InvalidData(f"data has more than {CONTAINERS_MAX} maps and lists; split the event")
    for key in cast("Iterable[object]", data):
        if type(key) is not str:
            if not isinstance(key, str):
                raise InvalidData("data must have text as its keys")
        elif len(_texts) < _TEXTS_MAX:
            _texts.add(key)
    return packed


def unpack_data(packed: bytes) -> Data:
    """Return the map that `packed` holds.

    Raises:
        InvalidData: not one MessagePack map, or one that would cost far more memory than its size.
    """
    if is_costly(packed):
        raise InvalidData(f"data has more than {CONTAINERS_MAX} maps and lists")
    try:
        return _decoder.decode(packed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidData(f"data is not a MessagePack map: {error}") from error


def decode_run(packed: bytes, sizes: Sequence[int]) -> list[Data] | None:
    """Return the maps that stand one behind the other in `packed`, each of so many bytes; None where one is none.

    Decoded together they take two thirds of the time.  None of them may be longer than CONTAINERS_MAX, so that none can
    hold more.
    """
    listed = _ARRAY_HEAD.pack(0xDD, len(sizes)) + packed
    try:
        # The sizes are the publisher's word; where maps end elsewhere, other readers would see other data.
        if tuple(map(len, _parts_decoder.decode(listed))) != tuple(sizes):
            return None
        return _run_decoder.decode(listed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def is_costly(packed: bytes) -> bool:
    """Say whether decoding would make more than CONTAINERS_MAX maps, lists and extension values.

    Counting bytes that could start one is an upper bound, in C; only where that is too many (text that is not
    ASCII, say) does the exact walk run, which stops at the limit.
    """
    if len(packed) <= CONTAINERS_MAX:
        return False
    if len(packed) - len(packed.translate(None, _CONTAINERS)) <= CONTAINERS_MAX:
        return False
    return _count_containers(packed, CONTAINERS_MAX + 1) > CONTAINERS_MAX


_EXTENSIONS = bytes([0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xC7, 0xC8, 0xC9])
_CONTAINERS = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF]) + _EXTENSIONS


@cache
def _small_values() -> re.Pattern[bytes]:
    """Return what passes over numbers and short texts: in C, where a walk would take a step for each.

    Made when it is first wanted: that takes 2 ms.
    """

    def sized(least: int, most: int, first: int) -> bytes:
        return b"|".join(re.escape(bytes([first + size])) + b".{%d}" % size for size in range(least, most))

    numbers = rb"[\x00-\x7f\xc0-\xc3\xe0-\xff]|[\xcc\xd0].|[\xcd\xd1]..|[\xca\xce\xd2].{4}|[\xcb\xcf\xd3].{8}"
    lengths = rb"(?:[\xc4\xd9]|[\xc5\xda]\x00|[\xc6\xdb]\x00\x00\x00)(?:%b)" % sized(0, 32, 0)
    return re.compile(rb"(?:%b|%b|%b)*+" % (numbers, sized(0, 32, 0xA0), lengths), re.DOTALL)


def _layout() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return per first byte how many bytes to skip, and the width of the length that follows it, to skip besides."""
    skip = [1] * 256
    width = [0] * 256
    for first in range(0xA0, 0xC0):
        skip[first] = 1 + (first & 0x1F)
    fixed = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
    fixed |= {0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18, 0xDC: 3, 0xDD: 5, 0xDE: 3, 0xDF: 5}
    for first, size in fixed.items():
        skip[first] = size
    for first, size in {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}.items():
        width[first], skip[first] = size, 1 + size
    for first, size in {0xC7: 1, 0xC8: 2, 0xC9: 4}.items():
        width[first], skip[first] = size, 2 + size
    return tuple(skip), tuple(width)


_SKIP, _WIDTH = _layout()
_IS_CONTAINER = tuple(first in _CONTAINERS for first in range(256))


def _count_containers(packed: bytes, stop_at: int) -> int:
    position, end, found = 0, len(packed), 0
    pass_small = _small_values().match
    while position < end and found < stop_at:
        first = packed[position]
        if _IS_CONTAINER[first]:
            found += 1
        if width := _WIDTH[first]:
            position += int.from_bytes(packed[position + 1 : position + 1 + width], "big")
        position += _SKIP[first]
        if small := pass_small(packed, position):
            position = small.end()
    return found
