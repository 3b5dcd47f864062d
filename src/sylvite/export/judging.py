"""What follows from an attempt to deliver an event: done, again and when, a dead letter, or the whole webhook ends.  Pure."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

FIRST_S, MOST_S = 1.0, 900.0
"""Of the pause before another attempt: it doubles from one to the next."""
ASKED_S_MAX = 3600.0
"""A receiver may ask for a longer pause (`Retry-After`), up to this."""
REFUSED_ATTEMPTS = 5
"""What a receiver refuses as it is, holds the others up no longer than so many attempts."""
REFUSALS = frozenset((400, 405, 406, 411, 413, 414, 415, 422, 431, 501))
GONE = 410


class Verdict(Enum):
    DONE = "done"
    AGAIN = "again"
    DEAD = "dead"
    ENDED = "ended"


class Outcome(NamedTuple):
    """What came of an attempt.  `status`: None where no answer came; `reason`: in words, where it was not taken."""

    status: int | None
    reason: str = ""
    asked_s: float = 0.0

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def judge(outcome: Outcome, attempts: int, since_first_s: float, give_up_s: float) -> Verdict:
    """`attempts`: with this one.  `since_first_s`: how long ago the first one was."""
    if outcome.is_taken:
        return Verdict.DONE
    if outcome.status == GONE:
        return Verdict.ENDED
    if since_first_s >= give_up_s or (outcome.status in REFUSALS and attempts >= REFUSED_ATTEMPTS):
        return Verdict.DEAD
    return Verdict.AGAIN


def pause_s(outcome: Outcome, attempts: int, chance: float) -> float:
    """Return how long to wait before the next attempt; `chance` is from 0 to 1.

    Full jitter: what has failed in the same moment does not come back in the same moment.
    """
    most = min(MOST_S, FIRST_S * 2 ** min(attempts, 16))
    return max(min(outcome.asked_s, ASKED_S_MAX), FIRST_S, most * chance)
