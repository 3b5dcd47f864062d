"""Rates by tag, for `sylvite top`: events are counted by the shape of their tag.  Pure; the time is an argument."""

from __future__ import annotations

import re
from functools import lru_cache
from math import exp
from typing import NamedTuple

NOW_S, MINUTE_S = 5.0, 60.0
SEGMENTS_MAX = 5
SHAPES_MAX = 2000
OTHERS = "(others)"
_VARYING = re.compile(r"\d+|\d{4}[-:_T.\d]*|[0-9a-f]{12,}|[0-9a-f]{8}-[0-9a-f-]{27}", re.ASCII | re.IGNORECASE)
_NAMES = {"salt/minion": 2, "salt/beacon": 2, "salt/cloud": 2, "minion/refresh": 2, "salt/job": 4}
"""Where Salt's tags have the name of a minion or of a machine."""


class Rate(NamedTuple):
    """`now`, `minute`: events a second, of the last seconds and of the last minute.  `last_s`: when the last one came."""

    shape: str
    now: float
    minute: float
    events: int
    last_s: float


class _Counted:
    __slots__ = ("count", "last_s", "minute", "now", "pending")

    def __init__(self) -> None:
        self.count = self.pending = 0
        self.now = self.minute = self.last_s = 0.0


@lru_cache(maxsize=8192)
def shape_of(tag: str) -> str:
    """Return the tag with `*` for what differs from event to event: job ids, numbers, names of minions, stamps."""
    segments = tag.split("/")
    name = _NAMES.get("/".join(segments[:2]))
    shape = [
        "*" if at == name or _VARYING.fullmatch(segment) else segment
        for at, segment in enumerate(segments[:SEGMENTS_MAX])
    ]
    return "/".join([*shape, "**"] if len(segments) > SEGMENTS_MAX else shape)


class TagRates:
    """Counts events, and lets what was counted fade.  Of so many shapes that memory would matter, the rest is one."""

    def __init__(self) -> None:
        self._shapes: dict[str, _Counted] = {}
        self._looked_s: float | None = None

    def count(self, tag: str, now_s: float) -> None:
        shape = shape_of(tag)
        counted = self._shapes.get(shape)
        if counted is None:
            if len(self._shapes) >= SHAPES_MAX:
                shape = OTHERS
            counted = self._shapes.setdefault(shape, _Counted())
        counted.pending += 1
        counted.last_s = now_s

    def rates(self, now_s: float) -> list[Rate]:
        """Return the rates, the highest first; called every second or so."""
        passed_s = now_s - self._looked_s if self._looked_s is not None else 1.0
        if passed_s > 0:
            self._fade(passed_s)
            self._looked_s = now_s
        found = [Rate(name, each.now, each.minute, each.count, each.last_s) for name, each in self._shapes.items()]
        return sorted(found, key=lambda rate: (-rate.now, -rate.minute, rate.shape))

    def _fade(self, passed_s: float) -> None:
        keep_now, keep_minute = exp(-passed_s / NOW_S), exp(-passed_s / MINUTE_S)
        for counted in self._shapes.values():
            pending, counted.pending = counted.pending, 0
            counted.count += pending
            rate = pending / passed_s
            counted.now = rate + (counted.now - rate) * keep_now
            counted.minute = rate + (counted.minute - rate) * keep_minute
