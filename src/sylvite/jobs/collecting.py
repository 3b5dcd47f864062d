"""Collecting: whose returns of a job are still waited for, and how long.  No I/O, no clock.

Salt's rules.  A minion that is expected may take as long as it says that it is at it: after `timeout_s` without news the
minions that have not answered are asked, by a job of its own (`saltutil.find_job`), whether they run it.  For their
answer there are `gather_s`; then those that have not said yes are given up, and the others are asked again.

Two things end a wait earlier than in Salt, where the answer is known: a minion that was not here when the job was
published, and still is not, is not waited for beyond `timeout_s`; and where all have said no, what is on its way gets
GRACE_S.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import msgspec

TIMEOUT_S = 5.0
GATHER_S = 10.0
GRACE_S = 1.0
"""For returns of minions that have said no: the answers of a minion come in order, its workers do not end in order."""
FIND_JOB = "saltutil.find_job"


class Returned(NamedTuple):
    """The return of a minion.  `data`: of its event."""

    minion: str
    data: Mapping[str, Any]


class Wait(msgspec.Struct, frozen=True):
    """Nothing is to be done before this moment, unless an event comes."""

    until: float


class Ask(msgspec.Struct, frozen=True):
    """Those who are `reachable` are to be asked whether they run the job; `asked` says that they were."""


class Publish(msgspec.Struct, frozen=True):
    """The job is to be published for these; then they are to be expected (`expect`).  Only of a batch."""

    minions: list[str]


class Done(msgspec.Struct, frozen=True):
    """Nobody is waited for any more."""


Step = Wait | Ask | Publish | Done


class _Round(msgspec.Struct):
    """One time of asking.  `until`: when those that have not said yes are given up."""

    asked: set[str]
    until: float
    running: set[str] = msgspec.field(default_factory=set[str])
    idle: set[str] = msgspec.field(default_factory=set[str])


class Collecting:
    """The minions of one job.  `returned`: who has answered, with what.  `given_up`: who is not waited for any more.

    `now` is in seconds, of a clock that is never put back.
    """

    def __init__(self, jid: str, *, timeout_s: float = TIMEOUT_S, gather_s: float = GATHER_S, now: float) -> None:
        self.jid = jid
        self.expected: dict[str, None] = {}
        self.returned: dict[str, Mapping[str, Any]] = {}
        self.given_up: set[str] = set()
        self._open: dict[str, None] = {}
        """Who is waited for: looked at with each return, and so not worked out anew."""
        self._timeout_s, self._gather_s = timeout_s, gather_s
        self._away: set[str] = set()
        self._ask_at = now + timeout_s
        self._round: _Round | None = None

    def expect(self, minions: Iterable[str], now: float, *, away: Iterable[str] = ()) -> None:
        """The job was published for these.  `away`: those of them that are not here."""
        for minion in minions:
            self.expected[minion] = None
            if minion not in self.returned:
                self._open[minion] = None
        self._away |= set(away)
        self._ask_at = now + self._timeout_s

    @property
    def waiting(self) -> list[str]:
        """Who is waited for."""
        return list(self._open)

    @property
    def waiting_count(self) -> int:
        return len(self._open)

    @property
    def missing(self) -> list[str]:
        """Who has not answered."""
        return [each for each in self.expected if each not in self.returned]

    # -- What comes --------------------------------------------------------------------------------------------------

    def take(self, minion: str, data: Mapping[str, Any], now: float) -> Returned | None:
        """A return of the job came; say whether it counts: None for a second one, and for one of nobody who was asked."""
        if minion not in self.expected or minion in self.returned or "return" not in data:
            return None
        self.returned[minion] = data
        self.given_up.discard(minion)
        self._open.pop(minion, None)
        self._ask_at = now + self._timeout_s
        return Returned(minion, data)

    def take_answer(self, minion: str, data: Mapping[str, Any], now: float) -> None:
        """A minion says whether it runs the job."""
        asked = self._round
        if asked is None or minion not in asked.asked:
            return
        value = data.get("return")
        runs = isinstance(value, dict) and bool(cast("dict[Any, Any]", value)) and not has_failed(data)
        (asked.running if runs else asked.idle).add(minion)
        if asked.idle >= asked.asked - self.returned.keys():
            asked.until = min(asked.until, now + GRACE_S)

    # -- What is to be done ------------------------------------------------------------------------------------------

    def step(self, now: float) -> Step:
        """Say what comes next."""
        if self._round is not None and now >= self._round.until:
            running = self._round.running
            self._round = None
            self.give_up([each for each in self._open if each not in running])
            self._ask_at = now
        if not self._open:
            return Done()
        if self._round is not None:
            return Wait(self._round.until)
        return Ask() if now >= self._ask_at else Wait(self._ask_at)

    def reachable(self, present: frozenset[str] | None) -> list[str]:
        """Return who can be asked.  `present`: who is here; None where nobody knows.

        Those who have not got the job, and can neither do it nor say so, are given up.
        """
        if present is None:
            return self.waiting
        self.give_up([each for each in self._open if each in self._away and each not in present])
        return [each for each in self._open if each in present]

    def give_up(self, minions: Iterable[str]) -> None:
        """Do not wait for these any more; a return of theirs counts all the same."""
        for minion in minions:
            if self._open.pop(minion, minion) is None:
                self.given_up.add(minion)

    def asked(self, minions: Iterable[str], now: float) -> None:
        """They are asked; nobody, where none of them is here: they get the time for it all the same."""
        self._round = _Round(set(minions), now + self._gather_s)


def has_failed(data: Mapping[str, Any]) -> bool:
    """Say whether a return is of something that failed; that of several functions has a `retcode` for each."""
    retcode = data.get("retcode")
    return any(cast("dict[Any, Any]", retcode).values()) if isinstance(retcode, dict) else bool(retcode)


def shape_return(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Salt's clients give of a return: `ret`, and `retcode`, `jid`, `out`, `success` as far as it says them."""
    shown: dict[str, Any] = {"ret": data.get("return")}
    return shown | {name: data[name] for name in ("out", "retcode", "jid", "success") if name in data}


NO_RESPONSE = "Minion did not return. [No response]"
NOT_CONNECTED = "Minion did not return. [Not connected]"


def shape_missing(jid: str, minion: str, present: frozenset[str] | None) -> dict[str, Any]:
    """Return what Salt's command line shows of a minion that has not answered."""
    text = NO_RESPONSE if present is None or minion in present else NOT_CONNECTED
    if text == NO_RESPONSE:
        text += (
            "\nThe minions may not have all finished running and any remaining minions will return upon completion. "
            f"To look up the return data for this job later, run the following command:\n\nsylvite jobs show {jid}"
        )
    return {"out": "no_return", "ret": text, "retcode": 1, "jid": jid, "success": False, "failed": True}
