"""Making events in tests of the command line."""

from __future__ import annotations

from typing import Any

from sylvite.core.event import Event, Offset, Origin

STAMP_NS = 1_795_474_051_012_345_678
"""2026-11-23 22:47:31.012345678 UTC."""


def make_event(
    tag: str = "myco/a",
    data: dict[str, Any] | None = None,
    offset: int = 184_467,
    stamp_ns: int = STAMP_NS,
    **more: Any,
) -> Event:
    origin = Origin(0x79C65EEDA16CE3A1, stamp_ns, "uid:1000", 0x2A39031B5C99B5BA)
    return Event(tag, {} if data is None else data, Offset(offset), origin, 5, **more)
