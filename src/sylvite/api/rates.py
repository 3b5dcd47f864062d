"""Rates: how much of something each token may do a second.  What is remembered is bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

REMEMBERED_MAX = 10_000


class Rates:
    """`per_s`: so much a second; None: without a limit.  `at_once`: so much may be saved up."""

    def __init__(self, per_s: float | None, at_once: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self.per_s, self.at_once = per_s, max(at_once, 1.0)
        self._now_s = now_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What each has left, and when that was."""

    def take(self, who: str, count: float = 1.0) -> float:
        """Take so much, and return 0; where nothing is left take nothing, and return how many seconds it is until something is.

        What is left may become less than nothing: whoever takes much at once then waits the longer.
        """
        if self.per_s is None:
            return 0.0
        now_s = self._now_s()
        left, at_s = self._left.pop(who, (self.at_once, now_s))
        left = min(left + (now_s - at_s) * self.per_s, self.at_once)
        is_over = left < 1.0
        self._left[who] = (left if is_over else left - count, now_s)
        if len(self._left) > REMEMBERED_MAX:
            self._left.popitem(last=False)
        return (1.0 - left) / self.per_s if is_over else 0.0
