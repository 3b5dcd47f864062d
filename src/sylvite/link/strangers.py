"""Strangers: masters that show a key which this minion does not trust: what is told of them, and when.  Pure.

A stranger is told of once, and not each time it is met: again when it shows another key, or is still there after an hour.
Nor may one that shows another key each time fill the outbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sylvite.auth.enrolment import WrongMaster
from sylvite.errors import SylviteError

TAG = "salt/minion/{}/wrong_master"
"""On the minion's own bus at once, and on its master's once one that is trusted is there."""
CHANGED_S = 60.0
STILL_THERE_S = 3600.0


class _Met(msgspec.Struct):
    """`count`: how often, since it was told of."""

    told_s: float
    found: str
    count: int = 0


class Strangers:
    def __init__(self, minion: str) -> None:
        self._minion = minion
        self._met: dict[str, _Met] = {}

    def met(self, master: str, error: SylviteError, pinned: Sequence[str], now_s: float) -> dict[str, Any] | None:
        """Return what is to be told of a stranger at the address of a master; None where it was told.

        `error`: WrongMaster, or InvalidKey where it has shown no key that a master could have.
        """
        found = error.found if isinstance(error, WrongMaster) else ""
        known = self._met.get(master)
        if known is not None:
            known.count += 1
            if now_s - known.told_s < (STILL_THERE_S if found == known.found else CHANGED_S):
                return None
        count = 1 if known is None else known.count
        self._met[master] = _Met(now_s, found)
        return {
            "id": self._minion, "master": master, "found": found, "pinned": list(pinned), "count": count,
            "reason": str(error),
        }  # fmt: skip

    def was_in(self) -> None:
        """A master that is trusted has let us in."""
        self._met.clear()
