"""When to try again.  Pure: time and chance come as arguments."""

from __future__ import annotations

FIRST_S = 0.05
MOST_S = 2.0


def wait_s(attempt: int, chance: float) -> float:
    """Return how long to wait before attempt number `attempt` (the first retry is 1); `chance` is from 0 to 1.

    Full jitter: clients that lost the broker in the same moment do not come back in the same moment.
    """
    return min(MOST_S, FIRST_S * 2 ** min(attempt, 16)) * chance


class Retry:
    """The attempts after a loss.  `limit_s`: for how long to try, None for ever, 0 for not at all."""

    def __init__(self, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self._lost_s: float | None = None
        self._due_s: float | None = None
        self._connected_s: float | None = None
        self._attempts = 0
        self._has_tried = False

    def wait_s(self, now_s: float, chance: float) -> float | None:
        """Return how long to wait before the next attempt; None: it is time to give up, and what follows starts anew.

        The first attempt is at once: a broker that restarts is often back already.  It is made however late the caller
        comes to it: a client that was left alone for an hour has not tried for an hour.
        """
        if self._lost_s is None:
            self._lost_s = now_s
            if self._connected_s is None or now_s - self._connected_s >= MOST_S:
                self._attempts = 0  # Else it was lost again at once, and the waits go on growing.
        if self._due_s is None:
            self._due_s = now_s + (wait_s(self._attempts, chance) if self._attempts else 0.0)
        over = self.limit_s is not None and max(now_s, self._due_s) - self._lost_s >= self.limit_s
        if over and (self._has_tried or not self.limit_s):
            self._forget()
            return None
        return max(self._due_s - now_s, 0.0)

    def attempt(self) -> None:
        """An attempt is made now."""
        self._attempts += 1
        self._has_tried = True
        self._due_s = None

    def connected(self, now_s: float) -> None:
        """There is a connection again."""
        self._forget()
        self._connected_s = now_s

    def _forget(self) -> None:
        self._lost_s = self._due_s = None
        self._has_tried = False
