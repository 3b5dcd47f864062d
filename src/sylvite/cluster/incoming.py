"""Incoming: which messages of the stream are to be stored here, and what is missing before them.  Pure.

Each message says what its master has sent before it.  So what comes again is known, and so is a hole: then what is behind it
is not taken, and its master is asked to send it all again from there (cluster/words.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

import msgspec

from sylvite.cluster.carried import NOWHERE, Carried
from sylvite.eventlog.origins import Mark


class Verdict(Enum):
    TAKE = auto()
    OWN = auto()
    AGAIN = auto()
    """It is here already."""
    AHEAD = auto()
    """Something of before it is missing."""


class Hole(msgspec.Struct):
    """`offset`: in the log of that master; what is from there on is missing."""

    offset: int
    since_s: float


class Lost(msgspec.Struct, frozen=True):
    """What will not come any more: offsets in the log of a master.  `count`: at most so many events."""

    node: str
    first: int
    next: int
    count: int


class Incoming:
    """`node`: who we are.  `holes`: of which masters something is missing.  `lost`: what has been; who tells it, takes it."""

    def __init__(self, node: str, marks: Iterable[Mark] = ()) -> None:
        self.holes: dict[str, Hole] = {}
        self.lost: list[Lost] = []
        self._node = node
        self._marks: dict[str, dict[int, int]] = {}
        self._after_loss: set[str] | None = None
        """Of whom something was taken since the stream has lost what was next for us; None: it has not."""
        for mark in marks:
            self._mark(mark.node, mark.epoch, mark.until)

    def judge(self, carried: Carried, now_s: float, *, is_old: bool = False) -> Verdict:
        """Say what to do with a message; `took` is due for one that was stored.

        `is_old`: it was in the stream already when that was found to have lost something.
        """
        node, before, place = carried.node, carried.before, carried.place
        if node == self._node:
            return Verdict.OWN
        marks = self._marks.get(node, {})
        if place.until <= marks.get(place.epoch, 0):
            return Verdict.AGAIN
        if before == NOWHERE or before.until <= marks.get(before.epoch, 0):
            if before == NOWHERE:
                self._note_lost(node, marks.get(place.epoch), carried.batch.base)
            return Verdict.TAKE
        if is_old and self._after_loss is not None and node not in self._after_loss:
            self._note_lost(node, self.offset_of(node, before.until) or None, carried.batch.base)
            return Verdict.TAKE
        self.holes.setdefault(node, Hole(self.offset_of(node, before.until), now_s))
        return Verdict.AHEAD

    def took(self, carried: Carried) -> None:
        """A message is stored here, or was already."""
        self._mark(carried.node, carried.place.epoch, carried.place.until)
        self.holes.pop(carried.node, None)
        if self._after_loss is not None:
            self._after_loss.add(carried.node)

    def stream_has_lost(self) -> None:
        """The stream does not keep any more what was next for us: what is missing of each master will not come from it."""
        self._after_loss = set()

    def offset_of(self, node: str, below: int | None = None) -> int:
        """Return the offset in the log of a master up to which it is here, as far as that is known."""
        untils = self._marks.get(node, {}).values()
        return max((until for until in untils if below is None or until <= below), default=0)

    def has(self, node: str, epoch: int, until: int) -> bool:
        """Say whether what that master has written below an offset is here."""
        return self._marks.get(node, {}).get(epoch, 0) >= until

    @property
    def nodes(self) -> list[str]:
        return sorted(self._marks)

    def _mark(self, node: str, epoch: int, until: int) -> None:
        marks = self._marks.setdefault(node, {})
        marks[epoch] = max(marks.get(epoch, 0), until)

    def _note_lost(self, node: str, first: int | None, next_: int) -> None:
        if first is not None and first < next_:
            self.lost.append(Lost(node, first, next_, next_ - first))
