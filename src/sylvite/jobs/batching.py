"""Batching: a job that goes to its minions by and by, so many at a time.  No I/O, no clock.

All parts are one job: they share its jid, and `salt/job/<jid>/new` is there once for each.  A minion that has answered or
is given up makes room for the next one.  What happens is told in `salt/batch/<jid>/…` (spec/salt-events.md 3.6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sylvite.errors import InvalidInput
from sylvite.jobs.collecting import Collecting, Done, Publish, Returned, Step, Wait, has_failed

_percent = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%").fullmatch
_number = re.compile(r"[0-9]{1,9}").fullmatch


def read_size(text: str | int, total: int) -> int:
    """Return how many minions may be at it at a time, of so many: `10`, or `25%` of them, and then at least one.

    Raises:
        InvalidInput: it is neither.
    """
    written = str(text).strip()
    if (found := _percent(written)) is not None and 0 < float(found[1]) <= 100:
        return max(1, int(float(found[1]) / 100 * total))
    if _number(written) and int(written) > 0:
        return int(written)
    raise InvalidInput(
        f"{written[:40]!r} is no size of a batch: a number of minions, such as 10, or a part, such as 25%"
    )


class BatchLimits(msgspec.Struct, frozen=True):
    """`size`: how many at a time.  `wait_s`: before the next one takes the place of one that has answered.

    `failhard`: a minion that fails ends it for all.
    """

    size: int
    wait_s: float = 0.0
    failhard: bool = False


class Batching(Collecting):
    """A Collecting whose `step` also says for whom the job is to be published next.

    `about`: jid, fun, tgt, tgt_type, user.  `down`: minions that are not here; they get nothing, and have not answered.
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        minions: Sequence[str],
        limits: BatchLimits,
        *,
        down: Sequence[str] = (),
        timeout_s: float,
        gather_s: float,
        now: float,
    ) -> None:
        super().__init__(about["jid"], timeout_s=timeout_s, gather_s=gather_s, now=now)
        self.halted = False
        self._about, self._limits = dict(about), limits
        self._pending = list(minions)
        self._total = len(minions)
        self._began = now
        self._settled = 0
        self._cooling: list[float] = []
        self._parts = 0
        self._ended = False
        self._told: list[tuple[str, dict[str, Any]]] = []
        self.expected |= dict.fromkeys(down)
        self.given_up |= set(down)
        self._down = frozenset(down)
        self._tell("new", driver="cli", state=self._state(now))

    def take_events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the events that are to be published by now."""
        told, self._told = self._told, []
        return told

    def leave(self, now: float) -> None:
        """Nobody looks after it any more: no minion gets the job from now on."""
        if not self._ended:
            self._halt("it was left", now)

    def take(self, minion: str, data: Mapping[str, Any], now: float) -> Returned | None:
        found = super().take(minion, data, now)
        if found is not None and self._limits.failhard and has_failed(data):
            self._halt(f"{minion} has failed", now)
        return found

    def step(self, now: float) -> Step:
        if self.halted:
            return Done()
        found = super().step(now)
        self._settle(now)
        room = self._limits.size - self.waiting_count - len(self._cooling)
        if self._pending and room > 0:
            part, self._pending = self._pending[:room], self._pending[room:]
            self._parts += 1
            return Publish(part)
        if self._pending and self._cooling:
            until = min(self._cooling)
            return Wait(min(until, found.until) if isinstance(found, Wait) else until)
        if isinstance(found, Done):
            self._end(now)
        return found

    def _settle(self, now: float) -> None:
        """Those that have come to their end make room, after a while."""
        self._cooling = [until for until in self._cooling if until > now]
        settled = self._total - len(self._pending) - self.waiting_count
        if settled > self._settled:
            if self._limits.wait_s:
                self._cooling += [now + self._limits.wait_s] * (settled - self._settled)
            self._settled = settled
            self._tell("progress", **self._state(now))

    def _state(self, now: float) -> dict[str, Any]:
        return {
            "total": self._total,
            "completed": len(self.returned),
            "active": self.waiting_count,
            "pending": len(self._pending),
            "failed": len(self._failed()),
            "iter": self._parts,
            "last_progress": round(now - self._began, 6),
        }

    def _failed(self) -> list[str]:
        failed = [minion for minion, data in self.returned.items() if has_failed(data)]
        return failed + [minion for minion in self.given_up if minion not in self._down]

    def _halt(self, reason: str, now: float) -> None:
        self.halted = self._ended = True
        active, pending, failed = self.waiting, self._pending, self._failed()
        self.expected |= dict.fromkeys(pending)
        self._pending = []
        self.give_up(active)
        self.given_up |= set(pending)
        self._tell(
            "halted", reason=reason, completed=self._completed(), failed=failed, abandoned_active=active,
            abandoned_pending=pending, duration=now - self._began,
        )  # fmt: skip

    def _end(self, now: float) -> None:
        if not self._ended:
            self._ended = True
            self._tell(
                "complete", completed=self._completed(), failed=self._failed(), total_minions=self._total,
                duration=now - self._began,
            )  # fmt: skip

    def _completed(self) -> list[str]:
        return [minion for minion, data in self.returned.items() if not has_failed(data)]

    def _tell(self, what: str, **data: Any) -> None:
        self._told.append((f"salt/batch/{self.jid}/{what}", {**self._about, **data}))
