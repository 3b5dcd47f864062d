"""The clock: a seam, so that time can be told in tests."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC; may jump."""
        ...

    def now_s(self) -> float:
        """Seconds of a clock that never jumps."""
        ...


class SystemClock:
    now_ns = staticmethod(time.time_ns)
    now_s = staticmethod(time.monotonic)
