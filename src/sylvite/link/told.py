"""Told: what was told of presence, and what there is to tell, where several masters have the minions.  Pure.

As Presence of one master, but by looking: who is here with whichever master, now and then.  What was told is on the bus of all:
so another master goes on where one has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sylvite.link.presence import EXPECTED_S, LINGER_S, Change

CHANGE, PRESENT = "salt/presence/change", "salt/presence/present"


class _Change(msgspec.Struct):
    new: list[str]
    lost: list[str]


class _Present(msgspec.Struct):
    present: list[str]


class Told:
    """`is_known`: it was heard who was here; what was told before that does not say."""

    def __init__(self) -> None:
        self.is_known = False
        self._told: set[str] = set()
        self._missed_s: dict[str, float] = {}

    def hear(self, tag: str, data: Mapping[str, Any]) -> None:
        """This was told."""
        try:
            if tag == PRESENT:
                self._told, self.is_known = set(msgspec.convert(data, _Present).present), True
            elif tag == CHANGE:
                change = msgspec.convert(data, _Change)
                self._told = (self._told | set(change.new)) - set(change.lost)
        except msgspec.ValidationError:
            pass  # Whoever has published it, it is none of ours.

    def present(self) -> list[str]:
        """Return who is here, as it was told; sorted."""
        return sorted(self._told)

    def look(self, here: set[str], expected: set[str], now_s: float) -> Change | None:
        """Return what there is to tell now, and take it as told.

        `expected`: who is not here and is awaited, as the link of their master was stopped.
        """
        gone = self._told - here
        self._missed_s = {minion: self._missed_s.get(minion, now_s) for minion in gone}
        lost = {
            minion
            for minion, since_s in self._missed_s.items()
            if now_s - since_s >= (EXPECTED_S if minion in expected else LINGER_S)
        }
        new = here - self._told
        if not (new or lost):
            return None
        self._told = (self._told | new) - lost
        return Change(sorted(new), sorted(lost))
