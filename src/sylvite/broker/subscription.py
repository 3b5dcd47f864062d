"""One subscription: a cursor over the log and a filter.

*Live* means that it has been offered everything written; the router then brings it each new batch. Otherwise it is
*behind* and reads the log at its own pace. The only thing it holds in memory is what its socket has not taken yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sylvite.broker.selection import Selection
from sylvite.broker.thought import STEPS_AT_ONCE, Steps, Thought, price
from sylvite.core.batch import Batch
from sylvite.core.event import Gap
from sylvite.core.predicate import Predicate, compile_predicate
from sylvite.eventlog.cursors import Cursor
from sylvite.eventlog.history import History, LogReader
from sylvite.wire.messages import Missed, Progress, Subscribe, deliver_head

if TYPE_CHECKING:
    from sylvite.broker.connection import Connection

READ_BYTES = 64 * 1024
_CACHE_MAX = 4096


class Subscription:
    """Made by `Broker.subscribe`; `wants` says whether a tag passes filter and rights.

    `told`: the client knows that nothing below it is still to come.  `delivered`: the offset after the last event that
    was sent; `advanced`: what the client has acknowledged, for a durable cursor.
    """

    def __init__(
        self,
        connection: Connection,
        request: Subscribe,
        wants: Callable[[str], bool],
        reader: LogReader,
        steps: Steps,
        *,
        reads_all: bool,
    ) -> None:
        self.connection = connection
        self.id = request.subscription
        self.cursor_name = request.cursor
        self.held_back = bool(request.cursor) or request.synced
        self.credit = request.credit
        self.predicate: Predicate | None = None
        if request.filter.where is not None:
            self.predicate = compile_predicate(request.filter.where)
        self.live = False
        self.closed = False
        self._steps = steps
        self.thought: Thought | None = None
        """What is worked out for it in another thread; until that is done it takes nothing."""
        self.caught_up = False
        self.reader = reader
        self.told = self.delivered = self.advanced = reader.next
        self._reads_all = reads_all
        self._wants = wants
        self._known: dict[str, bool] = {}

    def can_take(self) -> bool:
        return self.credit > 0 and self.thought is None and not self.closed and self.connection.can_take()

    def wants(self, tag: str) -> bool:
        known = self._known.get(tag)
        if known is None:
            if len(self._known) >= _CACHE_MAX:
                self._known.clear()
            known = self._known[tag] = self._wants(tag)
        return known

    def offer(self, selection: Selection, numbers: list[int], now_ns: int) -> None:
        """Take from a new batch the events with these tags; a live subscription that cannot, or not at once, falls behind."""
        batch = selection.batch
        if not self.can_take() or not self._can_pay(batch):
            self.live = False
            self.reader.seek(batch.base)
            return
        if self.predicate is None:
            self._deliver(*selection.with_tags(numbers))
            return
        found = selection.some(numbers, self.predicate, batch.base, batch.next, now_ns)
        if found is not None:
            self._deliver(*found)

    def catch_up(self, history: History, end: int, now_ns: int) -> bool:
        """Send the next piece of the log up to `end`; return whether there is more that could be sent now.

        Where its predicate may take long, `thought` is what has to be done first, and reading stays before that batch.
        """
        position = self.reader.next
        for item in self.reader.read(READ_BYTES, end):
            if isinstance(item, Gap):
                self.miss(item)
                position = item.next
                continue
            selection = Selection(item)
            numbers = [number for number, tag in enumerate(item.tags) if self.wants(tag)]
            if numbers and self.predicate is not None:
                steps = price(self.predicate, item)
                if steps > STEPS_AT_ONCE:
                    self.thought = Thought(self, selection, numbers, self.told, end, now_ns)
                if self.thought is not None or not self._steps.pay(steps):
                    self.reader.seek(position)
                    return self.thought is None
            found = selection.some(numbers, self.predicate, self.told, end, now_ns) if numbers else None
            if found is not None:
                self._deliver(*found)
            position = item.next
        if self.reader.next < end:
            return self.can_take()
        if not self.caught_up:
            # Once: that history ends here.  From then on `Broker.tick` tells, now and then.
            self.caught_up = True
            self.tell(history)
        self.live = not self.held_back
        return False

    def _can_pay(self, batch: Batch) -> bool:
        predicate = self.predicate
        return predicate is None or self._steps.pay(price(predicate, batch), leave=STEPS_AT_ONCE)

    def take(self, thought: Thought) -> None:
        """Send what was worked out, and read on behind that batch."""
        self.reader.seek(thought.selection.batch.next)
        if thought.found is not None:
            self._deliver(*thought.found)

    def tell(self, history: History) -> None:
        """Say how far this subscription is, if the client does not know."""
        if self.reader.next > self.told:
            self.told = self.reader.next
            self.connection.send(Progress(self.id, self.told, history.epoch_before(self.told)))

    def miss(self, gap: Gap) -> None:
        """Tell of a gap; a reader of only some tags learns neither how many nor what was in it."""
        if self._reads_all:
            self.connection.send(Missed(self.id, gap.first, gap.next, gap.reason, gap.count, gap.detail))
        else:
            self.connection.send(Missed(self.id, gap.first, gap.next, gap.reason, None, ""))
        self.told = self.delivered = gap.next

    def cursor_at(self, history: History, owner: str, now_ns: int) -> Cursor:
        """Return the durable cursor as it is now: at what is done, or at what was read where nothing is open."""
        offset = self.told if self.advanced >= self.delivered else self.advanced
        return Cursor(self.cursor_name, owner, history.epoch_before(offset), offset, now_ns)

    def _deliver(self, raw: bytes, next_offset: int) -> None:
        self.credit -= len(raw)
        self.told = self.delivered = next_offset
        self.connection.send_parts(deliver_head(self.id, len(raw)), raw)
