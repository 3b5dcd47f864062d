"""When to try again.  Pure: chance comes as an argument."""

from __future__ import annotations

FIRST_S = 0.05
MOST_S = 2.0


def wait_s(attempt: int, chance: float) -> float:
    """Return how long to wait before attempt number `attempt` (the first retry is 1); `chance` is from 0 to 1.

    Full jitter: clients that lost the broker in the same moment do not come back in the same moment.
    """
    return min(MOST_S, FIRST_S * 2 ** min(attempt, 16)) * chance


def first_wait_s(attempt: int, chance: float) -> float:
    """As `wait_s`, but the first retry is at once: a broker that restarts is often back already."""
    return 0.0 if attempt == 0 else wait_s(attempt, chance)
