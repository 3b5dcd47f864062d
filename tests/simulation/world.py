"""The world of one run: time, chance, and the trace.  Nothing in it is real, and nothing depends on the machine."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter, deque
from collections.abc import Callable

from sylvite.testing.clock import ManualClock

LAST_LINES = 60
US = 1_000_000


class Violation(AssertionError):
    """An invariant does not hold.  `kind`: its word, as in the ledger of the fault tests."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


class Timer:
    """Something that will happen, unless `cancel` comes first."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step: Callable[[], None] | None = step

    def cancel(self) -> None:
        self._step = None

    def happen(self) -> None:
        if self._step is not None:
            self._step()


class World:
    """What happens when, by a seed.  Time is whole microseconds; what is due at the same instant happens in turn.

    `write`: gets each line of the trace.
    """

    def __init__(self, seed: int, write: Callable[[str], None] | None = None) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock()
        self.happened: Counter[str] = Counter()
        """Faults, and what else should be seen to happen, by name."""
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._write = write
        self._digest = hashlib.sha256()
        self._now_us = 0
        self._queue: list[tuple[int, int, Timer]] = []
        self._made = 0

    # -- Trace -------------------------------------------------------------------------------------------------------

    def note(self, who: str, what: str) -> None:
        line = f"{self._now_us // US}.{self._now_us % US:06d} {who}: {what}"
        self._digest.update(line.encode() + b"\n")
        self.last_lines.append(line)
        if self._write is not None:
            self._write(line)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    # -- Time --------------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self._now_us / US

    def after_s(self, seconds: float, step: Callable[[], None]) -> Timer:
        timer = Timer(step)
        self._made += 1
        heapq.heappush(self._queue, (self._now_us + max(round(seconds * US), 0), self._made, timer))
        return timer

    def run_until(self, holds: Callable[[], bool], *, within_s: float) -> bool:
        """Let things happen until a condition holds; return whether it did, within so much time."""
        deadline_us = self._now_us + round(within_s * US)
        while not holds():
            if not self._queue or self._queue[0][0] > deadline_us:
                self._move_to(deadline_us)
                return holds()
            at_us, _, timer = heapq.heappop(self._queue)
            self._move_to(at_us)
            timer.happen()
        return True

    def _move_to(self, at_us: int) -> None:
        if at_us > self._now_us:
            self.clock.pass_s((at_us - self._now_us) / US)
            self._now_us = at_us

    # -- Chance ------------------------------------------------------------------------------------------------------

    def is_chosen(self, chance: float) -> bool:
        return self.rng.random() < chance

    def about_s(self, mean_s: float) -> float:
        """Return a time that is short mostly, and now and then long."""
        return self.rng.expovariate(1.0 / mean_s)
