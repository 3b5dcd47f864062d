"""Clock: how far that of a server is from ours."""

from __future__ import annotations

import time
from datetime import datetime

WARN_S, MAX_S = 1.0, 10.0
"""From when on it is said, and from when on such a server is not used: stamps are compared, by people and by programs."""
_MICROSECONDS = 26


def now_s() -> float:
    return time.time()


def apart_s(told: str, before_s: float, after_s: float) -> float | None:
    """Return how far a clock is ahead of ours, at least; None where what it says is no time.

    `told`: RFC 3339, in UTC.  `before_s`, `after_s`: when it was asked, and when it had answered.
    """
    try:
        there = datetime.fromisoformat(f"{told[:_MICROSECONDS].rstrip('Z')}+00:00").timestamp()
    except ValueError:
        return None
    return min(0.0, there - before_s) + max(0.0, there - after_s)
