"""A packed event: what Salt's sockets carry and `SaltEvent.pack` returns.

tag in UTF-8, two newlines, data as MessagePack
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from sylvite.compat.exceptions import SaltDeserializationError
from sylvite.compat.payload import as_wire, from_wire

TAGEND = "\n\n"
TAG_END = TAGEND.encode()
TRIMMED = "VALUE_TRIMMED"
_SHARES = (0.5, 0.4, 0.3, 0.2, 0.1)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def pack_event(tag: str, data: Mapping[Any, Any], max_size: int | None = None) -> bytes:
    """Return an event as Salt's sockets carry it; with `max_size`, trimmed as Salt trims it.

    Raises:
        TypeError: there is no form for a value, or the tag is no text.
    """
    return tag_bytes(tag) + TAG_END + _encode(trimmed(as_wire(data), max_size))


def tag_bytes(tag: Any) -> bytes:
    """Raises TypeError, in Salt's words."""
    if isinstance(tag, str):
        return tag.encode()
    if isinstance(tag, bytes | bytearray):
        return bytes(tag)
    raise TypeError(f"expected str, bytes, or bytearray not {type(tag)}")


def split_event(raw: bytes) -> tuple[str, bytes]:
    """Return the tag and the packed data.

    Raises:
        SaltDeserializationError: there is no end of a tag, or it is no text.
    """
    tag, end, packed = raw.partition(TAG_END)
    if not end:
        raise SaltDeserializationError("an event without the two newlines behind its tag")
    try:
        return tag.decode(), packed
    except UnicodeDecodeError as error:
        raise SaltDeserializationError(f"the tag of an event is not UTF-8: {error}") from error


def read_wire(packed: bytes) -> dict[Any, Any]:
    """Return the data, with Salt's extension types as they are on the wire.

    Raises:
        SaltDeserializationError: it is no packed map.
    """
    try:
        found = _decode(packed)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise SaltDeserializationError(f"the data of an event cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise SaltDeserializationError(f"the data of an event is no map, but {type(found).__name__}")
    return cast("dict[Any, Any]", found)


def unpack_event(raw: bytes) -> tuple[str, dict[Any, Any]]:
    """Return tag and data.  Raises SaltDeserializationError."""
    tag, packed = split_event(raw)
    wire = read_wire(packed)
    try:
        return tag, from_wire(wire)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise SaltDeserializationError(f"the data of an event cannot be read: {error}") from error


def trimmed(wire: Any, max_size: int | None) -> Any:
    """Return data that fits, if Salt's way of trimming makes it fit; else as small as that makes it.

    In passes that get stricter, each value of a map that is large by itself becomes the text `VALUE_TRIMMED`.  Lists are
    not looked into.
    """
    if not max_size or sys.getsizeof(_encode(wire)) <= max_size:
        return wire
    for share in _SHARES:
        wire = _trim(wire, max_size * share)
        if sys.getsizeof(_encode(wire)) < max_size:
            break
    return wire


def _trim(value: Any, limit: float) -> Any:
    if not isinstance(value, dict):
        return value
    found: dict[Any, Any] = {}
    for key, inner in cast("dict[Any, Any]", value).items():
        if isinstance(inner, dict):
            found[key] = _trim(inner, limit)
        else:
            found[key] = TRIMMED if sys.getsizeof(inner) > limit else inner
    return found
