"""Tenure: when one of several may take a lease, how long it may count on it, and when it has lost it.  Pure.

Nobody's clock is compared with another's.  Who waits for a lease takes it when it has seen the same entry for `life_s` of its
own time; who holds it counts from when it *sent* what it said last, and stops counting on it before `life_s` is over.  So the
holder's time ends first, whatever lies between.  A process that was stopped in between cannot know that: whatever it does
carries its *fence*, a number that grows with each tenure, and who is asked to do it refuses a lower one (`Guard`).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

import msgspec

from sylvite.errors import LeaseLost

LIFE_S = 10.0
SURE = 0.8
"""Which part of `life_s` a holder counts on: clocks do not run at quite the same rate."""
RENEW, LOOK = 1 / 3, 1 / 4
"""Which part of it goes by between two renewals, and between two looks at an entry of somebody else's."""


class Fence(NamedTuple):
    """A fencing token.  `epoch`: of the bucket, for one that was lost and made anew counts from 1 again."""

    epoch: int
    revision: int

    def __str__(self) -> str:
        return f"{self.epoch:x}-{self.revision}"


class Entry(msgspec.Struct, frozen=True):
    """What the bucket holds under the name of a lease.  `session`: of the holder's process; `number`: of this renewal;
    `since`: the revision with which the tenure began; 0: with this one."""

    node: str
    session: str
    life_s: float
    number: int
    since: int = 0


class Seen(NamedTuple):
    """An entry with its revision; `entry` is None where it was given up, or never was."""

    entry: Entry | None
    revision: int


class Kind(Enum):
    TAKE = auto()
    RENEW = auto()


class Write(NamedTuple):
    """Put the entry there if the last revision is still this one."""

    kind: Kind
    entry: Entry
    last: int


class Tenure:
    """One who wants a lease.  All times are of one clock of this process, which also runs while the machine sleeps."""

    def __init__(self, node: str, session: str, *, life_s: float = LIFE_S) -> None:
        self._node, self._session, self._life_s = node, session, life_s
        self._epoch = 0
        self._seen: Seen | None = None
        self._unchanged_since_s = 0.0
        self._look_at_s = 0.0
        self._number = 0
        self._tried: tuple[int, float] | None = None
        """The number of the last entry that we have tried to write, and when."""
        self._held: tuple[int, int, float] | None = None
        """The revision of our entry, the one that our tenure began with, and when it was sent."""

    @property
    def holder(self) -> str:
        """Who holds it, as we have seen last; empty: nobody."""
        return self._seen.entry.node if self._seen is not None and self._seen.entry is not None else ""

    @property
    def until_s(self) -> float:
        """Until when we can count on holding it; in the past where we do not."""
        return float("-inf") if self._held is None else self._held[2] + self._life_s * SURE

    def fence(self, now_s: float) -> Fence | None:
        """Return our fencing token; None where we do not hold the lease, or cannot count on it any more."""
        return None if self._held is None or now_s >= self.until_s else Fence(self._epoch, self._held[1])

    def next(self, now_s: float) -> Write | float:
        """Return what to write, or until when to wait before the entry is looked at again (`saw`)."""
        if self._held is not None:
            return self._next_of_holder(now_s, *self._held)
        if self._seen is None or now_s >= self._look_at_s:
            return now_s
        seen = self._seen
        due_s = now_s if seen.entry is None else self._unchanged_since_s + seen.entry.life_s
        if now_s < due_s:
            return min(due_s, self._look_at_s)
        return self._write(Kind.TAKE, seen.revision, 0, now_s)

    def _next_of_holder(self, now_s: float, revision: int, since: int, sent_s: float) -> Write | float:
        if self._tried is not None:
            return now_s  # Nobody knows whether the last renewal is there: look.
        due_s = sent_s + self._life_s * RENEW
        return due_s if now_s < due_s else self._write(Kind.RENEW, revision, since, now_s)

    def _write(self, kind: Kind, last: int, since: int, now_s: float) -> Write:
        self._number += 1
        self._tried = (self._number, now_s)
        return Write(kind, Entry(self._node, self._session, self._life_s, self._number, since), last)

    def wrote(self, revision: int) -> None:
        """What `next` has returned is there, with this revision."""
        assert self._tried is not None
        self._keep(revision, self._tried[1])

    def refused(self) -> None:
        """It is not: somebody else was faster.  The entry is to be looked at."""
        self._held = self._tried = self._seen = None

    def saw(self, seen: Seen, epoch: int, now_s: float) -> None:
        """This is what the bucket holds now.  `epoch`: of the bucket."""
        entry = seen.entry
        ours = entry if entry is not None and entry.session == self._session else None
        if epoch != self._epoch:
            self._held, self._seen = None, None  # What we had was in another bucket, which is gone.
            self._epoch = epoch
        if ours is not None and self._tried is not None and ours.number == self._tried[0]:
            self._keep(seen.revision, self._tried[1])
        elif self._held is not None and (ours is None or seen.revision != self._held[0]):
            self._held = None
        self._tried = None
        if self._seen is None or self._seen.revision != seen.revision:
            self._unchanged_since_s = now_s
        self._seen = seen
        self._look_at_s = now_s + (self._life_s if entry is None else entry.life_s) * LOOK

    def gave_up(self) -> None:
        """Our entry is gone, because we wanted that."""
        self._held = self._tried = self._seen = None

    @property
    def revision(self) -> int | None:
        """The revision of our entry; None where we hold nothing."""
        return None if self._held is None else self._held[0]

    def _keep(self, revision: int, sent_s: float) -> None:
        since = self._held[1] if self._held is not None else revision
        self._held = (revision, since, sent_s)
        self._tried = None


class Guard:
    """At whoever does what only the holder of a lease may ask for: remembers the highest fence, refuses what is lower."""

    def __init__(self, highest: Fence | None = None) -> None:
        self.highest = highest

    def check(self, name: str, fence: Fence) -> None:
        """Raises LeaseLost: another one has asked since, with a tenure that began later."""
        if self.highest is not None and fence < self.highest:
            raise LeaseLost(name, f"a tenure that began later has asked since ({self.highest}, not {fence})")
        self.highest = fence
