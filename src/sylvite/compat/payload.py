"""Packed data as Salt packs it (`salt.payload`): MessagePack with two extension types of Salt's own.

    str, bytes, int, float, bool, None   as they are; an int beyond 64 bits as its digits, in a text
    list, tuple, set                     an array
    any mutable map                      a map; integer keys stay integers
    datetime, date                       extension 78: `20260102T03:04:05.000006`, without its zone
    _Constant                            extension 79: name and value
    all else                             TypeError
Source: spec of Salt's event system, 1.5.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from datetime import date, datetime
from typing import Any, NamedTuple, cast

import msgspec
from msgspec.msgpack import Ext

from sylvite.compat.exceptions import SaltDeserializationError

DATETIME, CONSTANT = 78, 79
DATETIME_FORM = "%Y%m%dT%H:%M:%S.%f"
logger = logging.getLogger("salt.payload")

_encode = msgspec.msgpack.Encoder().encode
_PLAIN = frozenset((str, float, bool, type(None), bytes))


class Constant(NamedTuple):
    """Salt's `_Constant`: a name that stands for itself, and a value."""

    name: str
    value: Any = None


def as_wire(value: Any) -> Any:
    """Return a value as msgspec packs it the way Salt does.

    Raises:
        TypeError: Salt has no form for it.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else str(int(value))
    if isinstance(value, MutableMapping):
        pairs = cast("MutableMapping[Any, Any]", value).items()
        return {as_wire(key) if type(key) is not str else key: as_wire(inner) for key, inner in pairs}
    if isinstance(value, Constant):
        return Ext(CONSTANT, _encode([value.name, as_wire(value.value)]))
    if isinstance(value, list | tuple | set):
        return [as_wire(inner) for inner in cast("list[Any]", value)]
    return _rarer(value)


def _rarer(value: Any) -> Any:
    match value:
        case str():
            return str.__str__(value)
        case float():
            return float(value)
        case bytes() | bytearray() | memoryview():
            return bytes(cast("bytes", value))
        case datetime():
            return Ext(DATETIME, value.strftime(DATETIME_FORM).encode())
        case date():
            return Ext(DATETIME, datetime(value.year, value.month, value.day).strftime(DATETIME_FORM).encode())  # noqa: DTZ001 - Salt's has no zone
        case Ext():
            return cast("Any", value)
        case _:
            raise TypeError(f"can not serialize {type(value).__name__!r} object")


def from_wire(value: Any) -> Any:
    """Return a value that msgspec has read, with Salt's extension types as what they stand for."""
    if isinstance(value, dict):
        return {key: from_wire(inner) for key, inner in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [from_wire(inner) for inner in cast("list[Any]", value)]
    return _from_ext(value) if isinstance(value, Ext) else value


def _from_ext(value: Ext) -> Any:
    if value.code == DATETIME:
        return datetime.strptime(bytes(value.data).decode(), DATETIME_FORM)  # noqa: DTZ007 - Salt's has no zone
    if value.code == CONSTANT:
        name, inner = cast("list[Any]", msgspec.msgpack.decode(value.data))
        return Constant(name, from_wire(inner))
    return value


def dumps(msg: Any, use_bin_type: bool = False) -> bytes:  # noqa: FBT001, FBT002 - the signature is Salt's
    """Return a value packed.  `use_bin_type`: bytes stay bytes, as on the bus; else they are read back as text."""
    value = as_wire(msg)
    return _encode(value if use_bin_type else _without_bin(value))


def _without_bin(value: Any) -> Any:
    if isinstance(value, bytes):
        # What msgspec is given as Raw it writes as it is: here the head of a text, before bytes that need not be one.
        return msgspec.Raw(_text_head(len(value)) + value)
    if isinstance(value, dict):
        pairs = cast("dict[Any, Any]", value).items()
        return {key: _without_bin(inner) for key, inner in pairs}
    if isinstance(value, list):
        return [_without_bin(inner) for inner in cast("list[Any]", value)]
    return value


def _text_head(size: int) -> bytes:
    if size < 32:
        return bytes((0xA0 | size,))
    return b"\xda" + size.to_bytes(2, "big") if size < 2**16 else b"\xdb" + size.to_bytes(4, "big")


def loads(msg: bytes, encoding: str | None = None, raw: bool = False) -> Any:  # noqa: FBT001, FBT002 - the signature is Salt's
    """Return the value that was packed.  `encoding` and `raw` are taken, and text is always text.

    Raises:
        SaltDeserializationError: it cannot be read.
    """
    del encoding, raw
    try:
        return from_wire(msgspec.msgpack.decode(msg))
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        logger.critical("Could not deserialize msgpack message: %s", error)
        raise SaltDeserializationError("Could not deserialize msgpack message.") from error


def map_with_text_keys(data: Mapping[Any, Any], warn: Callable[[str], None]) -> dict[str, Any]:
    """Return data as the bus takes it: the keys at the top are texts.  What was none is written as one, and said so."""
    if all(type(key) is str for key in data):
        return cast("dict[str, Any]", data)
    warn("keys of an event's data that are not text are written as text")
    return {key.decode(errors="replace") if isinstance(key, bytes) else str(key): value for key, value in data.items()}
