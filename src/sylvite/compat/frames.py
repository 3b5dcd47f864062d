"""Frames of Salt's sockets: how packed events are cut out of a byte stream, and put into one.  Does no I/O.

    stream    MessagePack map {"head": {}, "body": packed event}, one behind the other
    length    the same, each behind its size in four bytes, big-endian

Which one a peer speaks is seen at the first byte of each frame: a map begins with 0x80 or more, a size that is allowed with 0x00.
Source: spec of Salt's event system, part 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from sylvite.errors import FrameTooBig, RemoteProtocolError

FRAME_BYTES_MAX = 16 * 1024 * 1024 - 1
"""Salt knows no limit; the first byte of a size has to be 0."""

Framing = Literal["stream", "length"]
_USUAL = b"\x82\xa4head\x80\xa4body"
_SIZE_BYTES = 4
_encode = msgspec.msgpack.Encoder().encode


def encode_frame(packed: bytes, framing: Framing) -> bytes:
    """Return a packed event as a frame."""
    frame = _USUAL + _encode(packed)
    return frame if framing == "stream" else len(frame).to_bytes(_SIZE_BYTES, "big") + frame


class FrameDecoder:
    """Cut packed events out of bytes in whatever pieces they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = 1
        """Below so many bytes there cannot be a whole frame: a large one is not walked through again and again."""

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def events(self) -> Iterator[bytes]:
        """Yield each packed event that is whole, oldest first.

        Raises:
            FrameTooBig, RemoteProtocolError: the stream has lost its place; close the connection.
        """
        raw, at = bytes(self._buffer), 0
        try:
            while len(raw) - at >= self._needed:
                found = _read_frame(raw, at)
                if isinstance(found, int):
                    self._needed = found
                    break
                packed, at = found
                self._needed = 1
                yield packed
        finally:
            del self._buffer[:at]


def _read_frame(raw: bytes, at: int) -> tuple[bytes, int] | int:
    """Return the packed event and where the next frame begins; or how many bytes are needed before it can be told."""
    if raw[at] >= 0x80:
        return _read_map(raw, at)
    if len(raw) - at < _SIZE_BYTES:
        return _SIZE_BYTES
    size = int.from_bytes(raw[at : at + _SIZE_BYTES], "big")
    if size > FRAME_BYTES_MAX:
        raise FrameTooBig(size, FRAME_BYTES_MAX)
    end = at + _SIZE_BYTES + size
    if len(raw) < end:
        return _SIZE_BYTES + size
    found = _read_map(raw[:end], at + _SIZE_BYTES) if size else 0
    if isinstance(found, int) or found[1] != end:
        raise RemoteProtocolError("a frame that is not one map with a body")
    return found


def _read_map(raw: bytes, at: int) -> tuple[bytes, int] | int:
    if raw.startswith(_USUAL, at):
        return _read_body(raw, at + len(_USUAL), at)
    pairs, position = _map_head(raw, at)
    body: bytes | None = None
    for _ in range(pairs):
        value_at = value_end(raw, position)
        end = None if value_at is None else value_end(raw, value_at)
        if value_at is None or end is None:
            return _more(len(raw) - at)
        if raw[position:value_at].endswith(b"body"):
            found = _read_body(raw, value_at, at)
            body = b"" if isinstance(found, int) else found[0]
        position = end
    if body is None:
        raise RemoteProtocolError("a frame without a body")
    return body, position


def _map_head(raw: bytes, at: int) -> tuple[int, int]:
    """Return how many pairs a map has, and where they begin."""
    first = raw[at]
    if first <= 0x8F:
        return first & 0x0F, at + 1
    if first == 0xDE:
        return int.from_bytes(raw[at + 1 : at + 3], "big"), at + 3
    raise RemoteProtocolError(f"a frame that begins with byte {first:#04x} is none of Salt's")


def _read_body(raw: bytes, at: int, frame_at: int) -> tuple[bytes, int] | int:
    """Return the text or bytes at a place, and what is behind; or how many bytes the frame needs."""
    have = len(raw) - frame_at
    if at >= len(raw):
        return have + 1
    first = raw[at]
    if 0xA0 <= first <= 0xBF:
        size, start = first & 0x1F, at + 1
    elif (width := _BODY_WIDTHS.get(first)) is not None:
        start = at + 1 + width
        if start > len(raw):
            return start - frame_at
        size = int.from_bytes(raw[at + 1 : start], "big")
    else:
        raise RemoteProtocolError("a frame whose body is neither bytes nor text")
    if size > FRAME_BYTES_MAX:
        raise FrameTooBig(size, FRAME_BYTES_MAX)
    end = start + size
    return (raw[start:end], end) if end <= len(raw) else end - frame_at


_BODY_WIDTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}


def _more(have: int) -> int:
    """Look again once there is more."""
    if have > FRAME_BYTES_MAX:
        raise FrameTooBig(have, FRAME_BYTES_MAX)
    return have + 1


def value_end(raw: bytes, at: int) -> int | None:
    """Return where the MessagePack value that begins at a place ends; None where that is not here yet.

    Raises:
        RemoteProtocolError: it is no MessagePack.
    """
    left = 1
    while left:
        if at >= len(raw):
            return None
        first = raw[at]
        left -= 1
        if first <= 0x7F or first >= 0xE0:
            at += 1
        elif first <= 0x8F:
            left, at = left + 2 * (first & 0x0F), at + 1
        elif first <= 0x9F:
            left, at = left + (first & 0x0F), at + 1
        elif first <= 0xBF:
            at += 1 + (first & 0x1F)
        else:
            fixed, width, values = _LAYOUT[first]
            number = int.from_bytes(raw[at + 1 : at + 1 + width], "big")
            if at + 1 + width > len(raw):
                return None
            left += values * number
            at += fixed + (0 if values else number)
    return at if at <= len(raw) else None


def _layout() -> dict[int, tuple[int, int, int]]:
    """Return of each first byte: the bytes up to what it counts, of which so many are the count, and of what it counts."""
    found = {0xC0: (1, 0, 0), 0xC2: (1, 0, 0), 0xC3: (1, 0, 0), 0xC1: (1, 0, 0)}
    found |= {first: (1 + width, width, 0) for first, width in _BODY_WIDTHS.items()}
    found |= {0xC7: (3, 1, 0), 0xC8: (4, 2, 0), 0xC9: (6, 4, 0)}
    for first, size in {
        0xCA: 5,
        0xCB: 9,
        0xCC: 2,
        0xCD: 3,
        0xCE: 5,
        0xCF: 9,
        0xD0: 2,
        0xD1: 3,
        0xD2: 5,
        0xD3: 9,
    }.items():
        found[first] = (size, 0, 0)
    for first, size in {0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18}.items():
        found[first] = (size, 0, 0)
    return found | {0xDC: (3, 2, 1), 0xDD: (5, 4, 1), 0xDE: (3, 2, 2), 0xDF: (5, 4, 2)}


_LAYOUT = _layout()
