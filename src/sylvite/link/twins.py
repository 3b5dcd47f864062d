"""Twins: two machines with one key, such as one that was cloned: each takes the connection of the other.  Pure."""

from __future__ import annotations

WITHIN_S = 120.0
OFTEN = 3
"""So many times within WITHIN_S no minion takes its own connection over."""
TELL_AGAIN_S = 600.0
KNOWN_MAX = 1000


class Twins:
    def __init__(self) -> None:
        self._replaced: dict[str, list[float]] = {}
        self._told: dict[str, float] = {}

    def replaced(self, minion: str, now_s: float) -> bool:
        """A connection of this minion, that stood, was taken over; say whether that is to be told."""
        times = [at_s for at_s in self._replaced.pop(minion, ()) if now_s - at_s < WITHIN_S]
        self._replaced[minion] = times = [*times, now_s][-OFTEN:]
        if len(self._replaced) > KNOWN_MAX:
            del self._replaced[next(iter(self._replaced))]
        if len(times) < OFTEN or now_s - self._told.get(minion, -TELL_AGAIN_S) < TELL_AGAIN_S:
            return False
        self._told.pop(minion, None)
        self._told[minion] = now_s
        if len(self._told) > KNOWN_MAX:
            del self._told[next(iter(self._told))]
        return True
