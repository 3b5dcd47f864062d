"""Data of functions, as an event can carry it.

text, bytes, bool, None, float           as they are
int beyond 64 bits                       its digits, as text
list, tuple, set                         a list
any map                                  a map, its keys text
date, datetime                           ISO 8601, as text
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import UTC, date, datetime
from typing import Any, cast

from sylvite.errors import InvalidData

DEPTH_MAX = 200


def plain(value: object, depth: int = 0) -> Any:
    """Return the value as an event can carry it.  Raises InvalidData: it holds what has no such form."""
    if value is None or isinstance(value, (str, bytes, bool, float)):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if depth > DEPTH_MAX:
        raise InvalidData(f"data is nested deeper than {DEPTH_MAX}")
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        return {_key(key): plain(inner, depth + 1) for key, inner in pairs.items()}
    if isinstance(value, (list, tuple, Set)):
        return [plain(inner, depth + 1) for inner in cast("list[object]", value)]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    raise InvalidData(f"can not serialize {type(value).__name__!r} object")


def _key(key: object) -> str | int:
    # Integers stay what they are further in; the broker wants text at the top, and says so.
    if isinstance(key, (str, int)) and not isinstance(key, bool):
        return key
    raise InvalidData(f"can not serialize a map with {type(key).__name__!r} as a key")


def stamp(now_ns: int) -> str:
    """Return a moment as Salt stamps events: `2026-11-23T22:44:12.873973+00:00`."""
    seconds, rest_ns = divmod(now_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000).isoformat()
