"""A clock that moves only when told to."""

from __future__ import annotations


class ManualClock:
    """Both clocks of `sylvite.broker.clock.Clock`; `jump` moves only the one that may jump."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._wall_ns = now_ns
        self._steady_s = 0.0

    def now_ns(self) -> int:
        return self._wall_ns

    def now_s(self) -> float:
        return self._steady_s

    def pass_s(self, seconds: float) -> None:
        self._steady_s += seconds
        self._wall_ns += int(seconds * 1_000_000_000)

    def jump(self, seconds: float) -> None:
        self._wall_ns += int(seconds * 1_000_000_000)
