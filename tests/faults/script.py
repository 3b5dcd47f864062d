"""A scripted run of a log that is driven as the broker drives it, and the check of what is there afterwards.

The script appends, syncs, marks, rolls, saves a cursor twice and lets retention drop segments; whatever fails is
answered as the broker would answer it, and written down.
"""

from __future__ import annotations

import random

from sylvite.core.event import Event, Gap
from sylvite.errors import EventLogError, LogFailed
from sylvite.eventlog.cursors import Cursor
from sylvite.eventlog.eventlog import EventLog, LogSettings, NewBatch
from sylvite.eventlog.storage import Storage
from tests.eventlog.logs import NOW_NS, new_batch, read_all

SETTINGS = LogSettings(segment_bytes=6 * 1024, keep_bytes=20 * 1024, keep_free_bytes=0, tail_bytes=4 * 1024)
CURSOR = "reader"
MINUTE_S = 61.0


class Crash(BaseException):
    """The process has died here.  No handler of the log catches it."""


class Run:
    """What the script was answered.  Numbers are the events'; an event that was refused keeps its number for itself."""

    def __init__(self, storage: Storage, settings: LogSettings = SETTINGS) -> None:
        self.storage, self.settings = storage, settings
        self.attempted = 0
        self.open: list[int] = []
        self.written: set[int] = set()
        self.synced: set[int] = set()
        self.refused: set[int] = set()
        self.unknown: set[int] = set()
        self.dropped_below = 0
        self.cursor_saved = self.cursor_moved = 0
        self.sync_failures = 0
        self.failed = False
        self._now_s = 0.0

    def __call__(self, events: int) -> None:
        """Run it.  Raises OSError, SylviteError where the log could not be opened; Crash from the storage."""
        log = self.log = EventLog(self.storage, self.settings, now_ns=NOW_NS)
        rng = random.Random(events)
        while self.attempted < events and not self.failed:
            self._append(log, [rng.randrange(1, 4) for _ in range(rng.randrange(1, 4))], rng.choice((20, 400)))
            if rng.random() < 0.5:
                self._sync(log)
                if rng.random() < 0.3:
                    self._mark(log)
            if self.attempted > events // 2 and rng.random() < 0.3:
                self._retain(log)
                self._move_cursor(log)
        if not self.failed:
            self._sync(log)
            self._move_cursor(log)

    def _append(self, log: EventLog, counts: list[int], size: int) -> None:
        batches: list[NewBatch] = []
        numbers: list[int] = []
        for count in counts:
            batches.append(new_batch(self.attempted, count, size=size))
            numbers.extend(range(self.attempted, self.attempted + count))
            self.attempted += count
        try:
            log.append(batches, NOW_NS)
        except LogFailed:
            # The disk failed in the middle, and nobody can say how far it came.
            self.failed = True
            self.unknown.update(numbers)
        except EventLogError:
            self.refused.update(numbers)
        else:
            self.written.update(numbers)
            self.open.extend(numbers)

    def _sync(self, log: EventLog) -> None:
        """Until nothing is open any more, or the log gives up."""
        while (job := log.sync_job()) is not None:
            covered, self.open = self.open, []
            error: OSError | None = None
            try:
                job.run()
            except OSError as raised:
                error = raised
                self.sync_failures += 1
            self._now_s += MINUTE_S if self.sync_failures < 3 else 0.001
            try:
                log.sync_done(error, NOW_NS, self._now_s)
            except LogFailed:
                self.failed = True
                self.unknown.update(covered)
                return
            if error is None:
                self.synced.update(covered)
            else:
                self.unknown.update(covered)

    def _mark(self, log: EventLog) -> None:
        try:
            log.mark(NOW_NS)
        except EventLogError:
            return  # The broker tries again with the next tick.

    def _retain(self, log: EventLog) -> None:
        try:
            log.retain(NOW_NS)
        except OSError:
            pass  # The broker says so and tries again.
        self.dropped_below = max(self.dropped_below, log.oldest)

    def _move_cursor(self, log: EventLog) -> None:
        self.cursor_moved = log.synced
        log.cursors.put(Cursor(CURSOR, "uid:0", log.epoch, log.synced, NOW_NS))
        try:
            log.cursors.save(log.cursors.content())
        except OSError:
            return  # The broker says so and tries again.
        self.cursor_saved = self.cursor_moved


def check(storage: Storage, run: Run, promised: set[int], case: str) -> EventLog:
    """Open what is left, and judge it.

    `promised`: the numbers that have to be there, unless retention has dropped them.

    Raises:
        AssertionError: something is lost, repeated, reordered, revived or invented; or the log does not go on.
    """
    log = EventLog(storage, run.settings, now_ns=NOW_NS)
    found = read_all(log)
    gaps = [item for item in found if isinstance(item, Gap)]
    events = [item for item in found if isinstance(item, Event)]
    numbers = [event.data["n"] for event in events]
    assert all(gap.reason == "retention" and gap.first == 0 for gap in gaps), f"{case}: {gaps}"
    assert [event.offset for event in events] == list(range(log.oldest, log.end)), f"{case}: offsets are not dense"
    assert numbers == sorted(set(numbers)), f"{case}: not in order, or twice"
    assert not run.refused & set(numbers), f"{case}: refused and there: {sorted(run.refused & set(numbers))}"
    assert not numbers or numbers[-1] < run.attempted, f"{case}: never sent"
    first = 0
    if log.oldest:
        # Where nothing is left behind what retention has dropped: an event's number is its offset, but for those refused.
        first = numbers[0] if numbers else log.oldest + len(run.refused | run.unknown)
    lost = {number for number in promised if number >= first} - set(numbers)
    assert not lost, f"{case}: lost {sorted(lost)[:5]} … of {len(promised)}"
    assert log.oldest <= log.end, case
    cursor = log.cursors.find(CURSOR)
    at = cursor.offset if cursor is not None else 0
    assert run.cursor_saved <= at <= run.cursor_moved, f"{case}: the cursor is at {at}, saved {run.cursor_saved}"
    (added,) = log.append([new_batch(run.attempted, 1)], NOW_NS)
    assert added.base == log.end - 1, case
    last = read_all(log, added.base)
    assert [item.data["n"] for item in last if isinstance(item, Event)] == [run.attempted], case
    return log
