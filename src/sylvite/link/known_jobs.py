"""KnownJobs: which minions a job was sent to.  Pure.

A master publishes `salt/job/<jid>/new`, which names the minions, and then `salt/job/<jid>/publish`, which is what goes
down to them.  The steps of a batch are several of both under one jid: each goes to the minions of the `/new` before it,
and what comes back is known to be theirs for the minions of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

JOBS_MAX = 20_000
NAMED_MAX = 2_000_000
"""How many minions all known jobs may name: beyond either, the oldest job is forgotten."""

Minions = frozenset[str]
_NONE: Minions = frozenset()


class KnownJobs:
    def __init__(self, *, jobs_max: int = JOBS_MAX, named_max: int = NAMED_MAX) -> None:
        self._latest: dict[str, Minions] = {}
        self._all: dict[str, Minions] = {}
        self._jobs_max, self._named_max = jobs_max, named_max
        self._named = self._heard = 0
        self._last = _NONE
        self._heard_at: dict[str, int] = {}
        self._holders: dict[str, tuple[int, int]] = {}
        """The epoch of an id, and since when: what went out before is another holder's to answer."""

    def hear(self, tag: str, data: Mapping[str, Any]) -> Minions:
        """Take an event of a job; return the minions that it goes down to."""
        match tag.split("/"):
            case ["salt", "job", jid, "new"]:
                self._new(jid, data.get("minions"))
                return _NONE
            case ["salt", "job", jid, "publish"]:
                return self._latest.get(jid, _NONE)
            case _:
                return _NONE

    def is_for(self, minion: str, jid: str) -> bool:
        """Say whether that job was sent to this minion, as far as is known."""
        if minion not in self._all.get(jid, _NONE):
            return False
        return minion not in self._holders or self._heard_at[jid] > self._holders[minion][1]

    def holds(self, minion: str, epoch: int) -> None:
        """The id is that of this epoch from now on; the first time, it has been so for as long as is known."""
        known = self._holders.get(minion)
        if known is None or known[0] != epoch:
            self._holders[minion] = epoch, 0 if known is None else self._heard

    def _new(self, jid: str, named: object) -> None:
        if not isinstance(named, list):
            return
        minions = frozenset(str(minion) for minion in cast("list[object]", named))
        if minions == self._last:
            minions = self._last  # Most jobs of a day go to the same minions: they are kept once.
        self._last = minions
        former = self._all.pop(jid, _NONE)
        self._latest[jid] = minions
        self._heard += 1
        self._heard_at[jid] = self._heard
        self._all[jid] = minions if former <= minions else former | minions
        self._named += len(self._all[jid]) - len(former)
        while len(self._all) > 1 and (len(self._all) > self._jobs_max or self._named > self._named_max):
            oldest = next(iter(self._all))
            self._named -= len(self._all.pop(oldest))
            del self._latest[oldest], self._heard_at[oldest]
