"""RefusedNews: of who is refused, how much is told.  Pure.

Each who asks is an event, as in Salt; but anybody may ask, as often as he likes, and each event is written and synced before
those of the minions that come after it, and pushes older ones out of the log.  So refusals have a rate.
"""

from __future__ import annotations

REFUSED = frozenset(("full", "reject", "denied", "error"))
"""The words of `act` for it."""
EACH_S = 0.1
AT_ONCE = 100


class RefusedNews:
    """`untold`: how many refusals were not told so far."""

    def __init__(self) -> None:
        self.untold = 0
        self._room = float(AT_ONCE)
        self._last_s = 0.0

    def is_told(self, act: str, now_s: float) -> bool:
        """Somebody has asked, with this result; say whether that is told."""
        if act not in REFUSED:
            return True
        self._room = min(AT_ONCE, self._room + max(0.0, now_s - self._last_s) / EACH_S)
        self._last_s = now_s
        if self._room < 1.0:
            self.untold += 1
            return False
        self._room -= 1.0
        return True
