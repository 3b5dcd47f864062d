"""RecentJobs: what went down a moment ago, for a minion that comes in.  Pure.

After a connection that breaks, or a start anew, a minion is back in a moment, and nobody is told that it was away. So it
does not miss a job that was published meanwhile either; nor one that was on its way when the connection broke, which
looks from here as if it had it. So it gets them all, and passes over those that it has had (`jobs_had.py`).  One that comes
later does not find jobs that nobody waits for any more.  After the link itself was away, all its minions have to come back.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

RECENT_S = 5.0
KEPT_MAX = 1000
KEPT_BYTES_MAX = 4 * 1024 * 1024
"""A minion may get all of it at once: less than what it need not have read (`minion_wire.WAITING_BYTES_MAX`)."""


class Job(NamedTuple):
    until_s: float
    tag: str
    packed: bytes
    minions: frozenset[str]


class RecentJobs:
    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._bytes = 0

    def add(self, tag: str, packed: bytes, minions: frozenset[str], now_s: float, keep_s: float = RECENT_S) -> None:
        """Something went down to these, as far as they are here; for so long they get it when they come in."""
        self._forget(now_s)
        self._jobs.append(Job(now_s + keep_s, tag, packed, minions))
        self._bytes += len(packed)
        while len(self._jobs) > KEPT_MAX or self._bytes > KEPT_BYTES_MAX:
            self._drop()

    def of(self, minion: str, now_s: float) -> list[tuple[str, bytes]]:
        """Return what a minion that comes in may have missed, in order."""
        self._forget(now_s)
        return [(job.tag, job.packed) for job in self._jobs if job.until_s > now_s and minion in job.minions]

    def _forget(self, now_s: float) -> None:
        while self._jobs and self._jobs[0].until_s <= now_s:
            self._drop()

    def _drop(self) -> None:
        self._bytes -= len(self._jobs.popleft().packed)
