"""Patience: how often somebody may be wrong in a while, before he has to wait.  What is remembered is bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable

REMEMBERED_MAX = 10_000


class Patience:
    def __init__(self) -> None:
        self._wrong: OrderedDict[Hashable, list[float]] = OrderedDict()

    def is_over(self, who: Hashable, most: int, within_s: float) -> bool:
        """Say whether he was wrong so often in that time."""
        return len(self._recent(who, within_s)) >= most

    def failed(self, who: Hashable, within_s: float) -> None:
        """He was wrong once more.  `within_s`: how long it may matter."""
        recent = self._recent(who, within_s)
        self._wrong.pop(who, None)
        self._wrong[who] = [*recent, time.monotonic()]
        if len(self._wrong) > REMEMBERED_MAX:
            self._wrong.popitem(last=False)

    def _recent(self, who: Hashable, within_s: float) -> list[float]:
        now_s = time.monotonic()
        return [at_s for at_s in self._wrong.get(who, ()) if now_s - at_s < within_s]
