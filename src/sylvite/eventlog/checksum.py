"""Checksums: CRC-32C over everything in a batch that follows the checksum itself.

The header is inside, and with it epoch and offset: a block of an earlier life or from another place fails too.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from struct import Struct
from typing import Any

_CRC = Struct("<I")
_POSITION, _COVERED_FROM = 8, 12

# The library has no types; so it is looked at as what we know it to be.
_library: Any = import_module("google_crc32c")
crc32c: Callable[[bytes], int] = _library.value


def sealed(raw: bytes) -> bytes:
    """Return a batch with its checksum set."""
    return b"".join((raw[:_POSITION], _CRC.pack(crc32c(raw[_COVERED_FROM:])), raw[_COVERED_FROM:]))


def is_whole(raw: bytes) -> bool:
    (expected,) = _CRC.unpack_from(raw, _POSITION)
    return expected == crc32c(raw[_COVERED_FROM:])


def with_crc(content: bytes) -> bytes:
    """Return content of a small file with its checksum behind it."""
    return content + _CRC.pack(crc32c(content))


def without_crc(content: bytes) -> bytes | None:
    """Return what `with_crc` was given, or None where the checksum says otherwise."""
    if len(content) < 4 or _CRC.unpack_from(content, len(content) - 4)[0] != crc32c(content[:-4]):
        return None
    return content[:-4]
