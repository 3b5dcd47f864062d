"""Event and Gap: what a subscription yields, and how data becomes bytes and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NewType

import msgspec

from sylvite.errors import EventTooBig, InvalidData

Offset = NewType("Offset", int)
"""The place of an event in a log.  Dense: the next event has the next number."""

Data = dict[str, Any]

EVENT_BYTES_MAX = 1024 * 1024
CONTAINERS_MAX = 16_384
"""Maps and lists in one event.  A mebibyte of empty maps would cost 72 MiB to decode (docs/protocol.md, "Limits")."""

_CAREFUL_FROM = 16 * 1024
_CONTAINER_BYTES = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])


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

    `reason` is one word: `retention`, `damage`, `lost_durable`, `reset` (another log, or one restored from a
    backup), `dropped` (given up at level `none`), `undecodable` (the data is no MessagePack map).
    `count` is None where the reader may not know it.
    """

    first: int
    next: int
    reason: str
    count: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        many = "an unknown number of" if self.count is None else f"{self.count}"
        where = f"@{self.first}..@{self.next - 1}" if self.next > self.first else f"before @{self.next}"
        detail = f": {self.detail}" if self.detail else ""
        return f"gap: {many} events ({where}) are missing, {self.reason}{detail}"


def format_stamp(stamp_ns: int) -> str:
    seconds, rest_ns = divmod(stamp_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, Any])
decode_data = _decoder.decode
"""The bare decoder, for loops that check with `is_costly` first."""


def pack_data(data: Mapping[str, Any], *, bytes_max: int = EVENT_BYTES_MAX) -> bytes:
    """Return data as MessagePack.

    Raises:
        InvalidData: not a map with text keys, or a value that MessagePack cannot carry.
        EventTooBig: more than `bytes_max` bytes.
    """
    try:
        packed = _encoder.encode(data)
    except (TypeError, OverflowError, ValueError, RecursionError) as error:
        raise InvalidData(f"data cannot be encoded: {error or 'nested too deeply'}") from error
    if not packed or not (0x80 <= packed[0] <= 0x8F or 0xDE <= packed[0] <= 0xDF):
        raise InvalidData(f"data must be a map, not {type(data).__name__}: give it a name, such as {{'value': …}}")
    if len(packed) > bytes_max:
        raise EventTooBig(len(packed), bytes_max)
    if len(packed) > _CAREFUL_FROM and is_costly(packed):
        raise InvalidData(f"data has more than {CONTAINERS_MAX} maps and lists; split the event")
    try:
        "".join(data)  # Fails on a key that is no text, in a tenth of the time of a loop.
    except TypeError:
        raise InvalidData("data must have text as its keys") from None
    return packed


def unpack_data(packed: bytes) -> Data:
    """Return the map that `packed` holds.

    Raises:
        InvalidData: not one MessagePack map, or one that would cost far more memory than its size.
    """
    if len(packed) > _CAREFUL_FROM and is_costly(packed):
        raise InvalidData(f"data has more than {CONTAINERS_MAX} maps and lists")
    try:
        return _decoder.decode(packed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidData(f"data is not a MessagePack map: {error}") from error


def is_costly(packed: bytes) -> bool:
    """Say whether decoding would make more than CONTAINERS_MAX maps and lists.

    Counting bytes that could start a container is an upper bound, in C; only where that is too many (text
    that is not ASCII, say) does the exact walk run, which stops at the limit.
    """
    if len(packed) <= CONTAINERS_MAX:
        return False
    if len(packed) - len(packed.translate(None, _CONTAINER_BYTES)) <= CONTAINERS_MAX:
        return False
    return _count_containers(packed, CONTAINERS_MAX + 1) > CONTAINERS_MAX


def _skips() -> tuple[tuple[int, ...], tuple[int, ...], frozenset[int]]:
    """Return per first byte: how many bytes to skip, the width of the length that follows, and the containers."""
    skip = [1] * 256
    width = [0] * 256
    for first in range(0xA0, 0xC0):
        skip[first] = 1 + (first & 0x1F)
    fixed = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
    fixed |= {0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18, 0xDC: 3, 0xDD: 5, 0xDE: 3, 0xDF: 5}
    for first, bytes_ in fixed.items():
        skip[first] = bytes_
    for first, bytes_ in {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}.items():
        width[first], skip[first] = bytes_, 1 + bytes_
    for first, bytes_ in {0xC7: 1, 0xC8: 2, 0xC9: 4}.items():
        width[first], skip[first] = bytes_, 2 + bytes_
    return tuple(skip), tuple(width), frozenset([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])


_SKIP, _WIDTH, _CONTAINERS = _skips()


def _count_containers(packed: bytes, stop_at: int) -> int:
    position, end, found = 0, len(packed), 0
    while position < end and found < stop_at:
        first = packed[position]
        if first in _CONTAINERS:
            found += 1
        elif width := _WIDTH[first]:
            position += int.from_bytes(packed[position + 1 : position + 1 + width], "big")
        position += _SKIP[first]
    return found
