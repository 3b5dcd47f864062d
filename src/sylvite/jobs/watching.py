"""Watching: which of the jobs that are open are waited for no more.  No I/O, no clock.

All have answered: then the job store ends a job by itself.  Of the others, once a job is so old that nobody waits for a
first answer, the minions that have not answered are looked at: soon at first, then each time after twice as long.

    it says that it runs the job                                 waited for, however long it takes
    it says that it does not                                     what is on its way gets GRACE_S, then it is given up
    it is away, and was so when the job was published            given up: it has never got it
    it is away, or says nothing, and was not heard for QUIET_S   given up

A job has ended when all of these are given up; what still comes is kept as late.  Jobs that only ask minions how things
stand are not asked for: they end once they are old enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from sylvite.jobs.active import RUNNING
from sylvite.jobs.collecting import FIND_JOB
from sylvite.jobs.minions import MinionRecord
from sylvite.jobs.values import Listed

NANOSECONDS = 1_000_000_000
GRACE_S = 5.0
QUIET_S = 3600.0
PAUSE_S_MAX = 600.0
"""Between two looks at one job."""
QUESTIONS = (FIND_JOB, RUNNING)


class Look(NamedTuple):
    """What comes of a look.  `ended`: the jids of those that are waited for no more.  `ask`: who is to be asked what it runs."""

    ended: list[str]
    ask: list[str]


class _Running(msgspec.Struct):
    jid: str


class _Seen(msgspec.Struct):
    """Of one job.  `heard_ns`, `idle_ns`: when a minion last said that it runs it, and first that it does not."""

    due_ns: int = 0
    asked: list[str] = []
    heard_ns: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    idle_ns: dict[str, int] = msgspec.field(default_factory=dict[str, int])


class Watch:
    """`answer_s`: what a first answer may take.  `now_ns`: from when on minions may have been heard."""

    def __init__(self, answer_s: float, now_ns: int, *, quiet_s: float = QUIET_S) -> None:
        self.answer_s = answer_s
        self._begun_ns, self._quiet_ns = now_ns, int(quiet_s * NANOSECONDS)
        self._seen: dict[str, _Seen] = {}

    def due(self, jobs: Sequence[Listed], now_ns: int) -> list[Listed]:
        """Return which of the jobs that are open, each with the minions that have not answered, are to be looked at."""
        self._seen = {each.job.jid: self._seen.get(each.job.jid) or _Seen() for each in jobs}
        answer_ns = int(self.answer_s * NANOSECONDS)
        return [each for each in jobs if now_ns >= max(self._seen[each.job.jid].due_ns, each.published_ns + answer_ns)]

    def look(self, due: Sequence[Listed], records: Iterable[MinionRecord] | None, now_ns: int) -> Look:
        """Look at them.  `records`: what is known of minions; None: nothing is, and all may be here."""
        known = None if records is None else {record.id: record for record in records}
        ended: list[str] = []
        ask: dict[str, None] = {}
        for each in due:
            seen = self._seen[each.job.jid]
            waiting = [minion for minion in each.job.minions if self._waits(each, seen, minion, known, now_ns)]
            if each.job.fun in QUESTIONS or not waiting:
                ended.append(each.job.jid)
                continue
            pause_ns = min(now_ns - each.published_ns, int(PAUSE_S_MAX * NANOSECONDS))
            seen.due_ns = now_ns + pause_ns
            seen.asked = [minion for minion in waiting if minion not in seen.idle_ns and _is_here(minion, known)]
            ask |= dict.fromkeys(seen.asked)
        return Look(ended, list(ask))

    def hear(self, answers: Mapping[str, Any], now_ns: int) -> None:
        """Those that were asked have had their time.  `answers`: to `saltutil.running`, by minion."""
        running = {minion: jids for minion, answer in answers.items() if (jids := _jids(answer)) is not None}
        for jid, seen in self._seen.items():
            asked, seen.asked = seen.asked, []
            for minion in asked:
                if minion not in running:
                    continue
                if jid in running[minion]:
                    seen.heard_ns[minion] = now_ns
                else:
                    seen.idle_ns.setdefault(minion, now_ns)
                    seen.due_ns = min(seen.due_ns, now_ns + int(GRACE_S * NANOSECONDS))

    def _waits(
        self, each: Listed, seen: _Seen, minion: str, known: Mapping[str, MinionRecord] | None, now_ns: int
    ) -> bool:
        if (idle_ns := seen.idle_ns.get(minion)) is not None:
            return now_ns < idle_ns + int(GRACE_S * NANOSECONDS)
        if known is not None and not _is_here(minion, known):
            record = known.get(minion)
            if record is None or record.left_ns is None or record.left_ns < each.published_ns:
                return False
        heard_ns = seen.heard_ns.get(minion, max(each.published_ns, self._begun_ns))
        return now_ns < heard_ns + self._quiet_ns


def _is_here(minion: str, known: Mapping[str, MinionRecord] | None) -> bool:
    return known is None or (minion in known and known[minion].is_present)


def _jids(answer: Any) -> set[str] | None:
    """Return the jobs that a minion says it runs; None where it says nothing of that kind."""
    try:
        return {each.jid for each in msgspec.convert(answer, list[_Running])}
    except msgspec.ValidationError:
        return None
