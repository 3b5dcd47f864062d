"""Subscribers: quick and slow, of all and of some, live, synced, and with a durable cursor."""

from __future__ import annotations

import msgspec

from sylvite.client.feed import Feed
from sylvite.core.event import Event, Gap
from sylvite.core.pattern import Filter
from sylvite.errors import CursorInUse, EventLogError
from sylvite.wire.messages import Progress, Start
from tests.simulation.broker import Machine
from tests.simulation.client import Client
from tests.simulation.truth import Place, Truth
from tests.simulation.world import Violation, World

AGAIN_S = 0.3


class Habit(msgspec.Struct, frozen=True):
    """What a subscriber wants and how it reads.  `ack_chance`: for each event, that all up to it are done."""

    filter: Filter = Filter()
    start: str = "oldest"
    cursor: str = ""
    synced: bool = False
    credit_bytes: int = 64 * 1024
    pace_s: float = 0.001
    ack_chance: float = 0.5


class Subscriber(Client):
    """`next`: everything below it was handed out, or explained."""

    def __init__(self, world: World, machine: Machine, truth: Truth, name: str, habit: Habit) -> None:
        super().__init__(world, machine, name)
        self.truth, self.habit = truth, habit
        self.pace_s = habit.pace_s
        self.next = 0
        self.events = 0
        self._wants = habit.filter.matcher()
        self._acknowledged: int | None = None
        self._before: Place | None = None
        self._reads = self._stood = False
        self._life = 0
        self._feed = self._subscribe(self._first_start())

    def _first_start(self) -> Start:
        if self.habit.cursor:
            return Start("cursor", 1)
        if self.habit.start == "time":
            return Start("time", self.world.clock.now_ns() - 5 * 10**9)
        return Start(self.habit.start)

    def _subscribe(self, start: Start) -> Feed:
        habit = self.habit
        self._stood = False
        return self.core.subscribe(
            habit.filter, start, cursor=habit.cursor, synced=habit.synced, credit_bytes=habit.credit_bytes
        )  # fmt: skip

    @property
    def stands(self) -> bool:
        return self._feed.stands

    def restart(self) -> None:
        """The program that reads has died, and is started again: what it has in mind is its position, or its cursor."""
        self.note("is started again")
        self._drop()
        self.core = self._new_core()
        self._life += 1
        self._reads = False
        self._feed = self._subscribe(self._later_start())
        self._reconnect()

    def _later_start(self) -> Start:
        if self.habit.cursor:
            return self._first_start()
        if self.habit.start != "time" and self._before is not None:
            return Start("resume", self._before[1] + 1, self._before[0])
        self._before = None
        return self._first_start()

    # -- What arrives ------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        feed = self._feed
        if feed.stands and not self._stood:
            self._stood = True
            self._begin(feed)
        if feed.closed:
            self._was_refused(feed)
        elif feed.waiting and not self._reads:
            self._read_soon()

    def _begin(self, feed: Feed) -> None:
        start = feed.wanted
        self.note(f"stands at @{start}")
        if self.habit.cursor and self._acknowledged is not None and start > self._acknowledged:
            # A cursor that was never saved starts at the oldest event: what retention took before is not its matter.
            self.truth.check_skipped(max(self._acknowledged, self.truth.oldest), start, self._wants)
        self.next = start
        # With a delivery in the same piece, the feed knows only the epoch of that one.
        # At the oldest event the epoch is that event's own: the one before it may have been of another.
        knows = feed.epoch and feed.received == start and not feed.waiting and start > self.truth.oldest
        if self._before is None and knows:
            self._before = (feed.epoch, start - 1)

    def _was_refused(self, feed: Feed) -> None:
        """The cursor is still held by a connection that the broker believes to stand, or the disk could not be read."""
        assert feed.error is not None
        self.note(f"is refused: {feed.error.code}")
        self.world.happened[f"refused {feed.error.code}"] += 1
        if not isinstance(feed.error, CursorInUse) and type(feed.error) is not EventLogError:
            raise Violation("broken", f"{self.name} is refused: {feed.error!r}")
        life = self._life
        self._feed = Feed(0, self.habit.filter, Start("newest"), cursor="", synced=False, credit_bytes=1)
        self.world.after_s(AGAIN_S, lambda: self._again(life))

    def _again(self, life: int) -> None:
        if life == self._life:
            self._feed = self._subscribe(self._later_start())
            self.send()

    # -- What is handed out ------------------------------------------------------------------------------------------

    def _read_soon(self) -> None:
        self._reads = True
        life = self._life
        self.world.after_s(self.world.about_s(self.pace_s), lambda: self._read(life))

    def _read(self, life: int) -> None:
        if life != self._life:
            return
        self._reads = False
        feed = self._feed
        for _ in range(self.world.rng.randint(1, 5)):
            if not feed.waiting:
                break
            progress = feed.waiting[0]
            for item in self.core.take_events(feed):
                self._take(item)
            if isinstance(progress, Progress):
                self._progress(progress)
        self.send()
        self.changed()

    def _take(self, item: Event | Gap) -> None:
        if isinstance(item, Gap):
            self._gap(item)
            return
        offset, place = int(item.offset), (item.epoch, int(item.offset))
        self.note(f"gets @{offset}")
        if offset < self.next:
            raise Violation("duplicate", f"{self.name} gets @{offset} where @{self.next} was due")
        self._check_history(place)
        self.truth.check_event(item, synced=self.habit.synced or bool(self.habit.cursor))
        self.events += 1
        self.next, self._before = offset + 1, place
        if self.habit.cursor and self.world.is_chosen(self.habit.ack_chance):
            self.core.advance(self._feed, self.next)
            self._acknowledged = max(self._acknowledged or 0, self.next)

    def _check_history(self, place: Place) -> None:
        """What is read now is in the log of now: then nothing may be missing between this and what was read before."""
        if not self.truth.has(place):
            return  # It was on its way when the power was cut.
        if self._before is not None and not self.truth.has(self._before):
            raise Violation(
                "hole", f"{self.name} was at {self._before}, which is gone, and gets {place} without a word"
            )
        self.truth.check_skipped(self.next, place[1], self._wants)

    def _gap(self, gap: Gap) -> None:
        self.note(f"is told of a {gap}")
        self.world.happened[f"gap {gap.reason}"] += 1
        self.truth.check_gap(gap, self._before)
        if gap.reason == "reset":
            self.next, self._before = gap.next, None
            return
        if gap.first > self.next and (self._before is None or self.truth.has(self._before)):
            self.truth.check_skipped(self.next, gap.first, self._wants)
        self.next = max(self.next, gap.next)
        if gap.reason == "retention":
            self._before = None  # Whether that is of this log nobody can tell any more.

    def _progress(self, progress: Progress) -> None:
        if progress.offset <= self.next:
            return
        if progress.epoch:
            self._check_history((progress.epoch, progress.offset - 1))
            if self.truth.has((progress.epoch, progress.offset - 1)):
                self.truth.check_skipped(self.next, progress.offset, self._wants)
            before = (progress.epoch, progress.offset - 1)
            # As in `_begin`.
            is_first = not self.truth.has(before) and progress.offset == self.truth.oldest
            self._before = None if is_first else before
        self.next = progress.offset
