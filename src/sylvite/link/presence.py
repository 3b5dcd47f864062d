"""Presence: who is here, and which news of it there is to tell.  Pure; times are seconds of a clock that only goes forward.

A minion is here for as long as its session stands.  One that is gone is only missed: it is told lost when it has not
come back for a moment, so that a connection that breaks, or a minion that starts anew, is no news.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

LINGER_S = 2.0
EXPECTED_S = 60.0
"""After a start of the link, those that were here before it are missed for so long: they come back one by one."""


class Change(NamedTuple):
    """Sorted, as a `salt/presence/change` event has them."""

    new: list[str]
    lost: list[str]


class Presence:
    def __init__(self, before: Iterable[str], now_s: float, *, linger_s: float | None = None) -> None:
        """`before`: who was here when somebody was last told."""
        self._told = set(before)
        self._linger_s = LINGER_S if linger_s is None else linger_s
        self._missed = dict.fromkeys(self._told, now_s + EXPECTED_S)
        self._new: set[str] = set()

    def came(self, minion: str) -> None:
        if self._missed.pop(minion, None) is None and minion not in self._told:
            self._new.add(minion)

    def left(self, minion: str, now_s: float) -> bool:
        """Return whether it will be told lost if it does not come back; not of one that nobody was told of."""
        self._new.discard(minion)
        if minion in self._told:
            self._missed[minion] = now_s + self._linger_s
        return minion in self._told

    def present(self) -> list[str]:
        """Return who is here, as it was told: changes that were taken, one after the other, lead to it."""
        return sorted(self._told)

    def take(self, now_s: float) -> Change | None:
        """Return what there is to tell now."""
        lost = {minion for minion, until_s in self._missed.items() if until_s <= now_s}
        new, self._new = self._new, set()
        if not (new or lost):
            return None
        for minion in lost:
            del self._missed[minion]
        self._told = (self._told | new) - lost
        return Change(sorted(new), sorted(lost))
