"""RecentJobs: what went down a moment ago, for a minion that was away just then.  Pure.

After a connection that breaks, or a start anew, a minion is back in a moment, and nobody is told that it was away. So it
does not miss a job that was published meanwhile either. One that comes later does not find jobs that nobody waits for
any more.  After the link itself was away, all its minions have to come back.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

RECENT_S = 5.0
KEPT_MAX = 1000
KEPT_BYTES_MAX = 16 * 1024 * 1024


class Job(NamedTuple):
    """`missing`: minions that it is for, and that were not there."""

    until_s: float
    tag: str
    packed: bytes
    missing: set[str]


class RecentJobs:
    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._bytes = 0

    def add(self, tag: str, packed: bytes, missing: set[str], now_s: float, keep_s: float = RECENT_S) -> None:
        """Something went down, and not to these; for so long they may still get it."""
        self._forget(now_s)
        if not missing:
            return
        self._jobs.append(Job(now_s + keep_s, tag, packed, missing))
        self._bytes += len(packed)
        while len(self._jobs) > KEPT_MAX or self._bytes > KEPT_BYTES_MAX:
            self._drop()

    def take(self, minion: str, now_s: float) -> list[tuple[str, bytes]]:
        """Return what a minion that is here again has missed, in order; each is for it once."""
        self._forget(now_s)
        found: list[tuple[str, bytes]] = []
        for job in self._jobs:
            if minion in job.missing and job.until_s > now_s:
                job.missing.discard(minion)
                found.append((job.tag, job.packed))
        return found

    def _forget(self, now_s: float) -> None:
        while self._jobs and self._jobs[0].until_s <= now_s:
            self._drop()

    def _drop(self) -> None:
        self._bytes -= len(self._jobs.popleft().packed)
