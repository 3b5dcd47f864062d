"""Feed: one subscription as the core knows it.  What has arrived waits here, undecoded."""

from __future__ import annotations

from collections import deque

from sylvite.core.batch import Batch
from sylvite.core.event import Event, Gap
from sylvite.core.pattern import Filter
from sylvite.errors import RemoteProtocolError, SylviteError
from sylvite.wire.messages import Missed, Progress, Start, Subscribe, Subscribed

PIECE_BYTES = 128 * 1024


class Feed:
    """`credit_bytes` bounds what waits here.

    `wanted`: the offset of the next event to hand out.  `received`: the offset behind all that has arrived, and `epoch`
    that of the event before it: there the subscription goes on after a loss.  `done`: what a durable cursor has been
    told to keep.  `end`: where the log ended when the subscription was made.
    """

    def __init__(
        self, number: int, filter_: Filter, start: Start, *, cursor: str, synced: bool, credit_bytes: int
    ) -> None:
        self.number = number
        self.filter = filter_
        self.start = start
        self.cursor = cursor
        self.synced = synced
        self.credit_bytes = credit_bytes
        self.stands = False
        self.closed = False
        self.error: SylviteError | None = None
        self.end = self.wanted = self.received = self.epoch = self.done = 0
        self.waiting: deque[Batch | Gap | Progress] = deque()
        self._given_back = 0
        self._resets = 0
        self._new_end = self._new_epoch = 0

    def is_answered(self) -> bool:
        return self.stands or self.error is not None

    def has_more(self) -> bool:
        """Say whether there is something to take, or nothing will come any more."""
        return bool(self.waiting) or self.closed

    # -- What the broker is told -------------------------------------------------------------------------------------

    def request(self) -> Subscribe:
        """Return what asks for this subscription on a new connection: behind what has arrived, once it has stood."""
        start = Start("resume", self.received, self.epoch) if self.stands else self.start
        # What waits here was sent on the credit of an older connection, and still takes up our memory.
        held = sum(len(item.raw) for item in self.waiting if isinstance(item, Batch))
        credit = max(self.credit_bytes - held, 0)
        self._given_back = min(self.credit_bytes - held, 0)
        return Subscribe(self.number, self.filter, start, credit, self.cursor, self.synced)

    def take_credit(self) -> int:
        """Return how many bytes of credit to give back to the broker now; 0 while it is not worth a message."""
        if self._given_back < max(self.credit_bytes // 2, 1):
            return 0
        credit, self._given_back = self._given_back, 0
        return credit

    def advance(self, offset: int) -> bool:
        """Everything below `offset` is done; return whether the broker has to hear of it."""
        # While a reset waits to be taken, what is acknowledged is of a log that is gone.
        if self.closed or not self.cursor or self._resets or offset <= self.done:
            return False
        self.done = offset
        return True

    # -- What arrives ------------------------------------------------------------------------------------------------

    def subscribed(self, message: Subscribed) -> bool:
        """The subscription stands; return whether it goes on where it was, with a cursor the broker has to hear of."""
        self._new_end, self._new_epoch = message.end, message.epoch
        if self.stands:
            return bool(self.cursor and self.done) and message.next == self.received
        self.stands = True
        self.wanted = self.received = message.next
        self.epoch = message.epoch
        self.end = message.end
        return False

    def deliver(self, raw: bytes) -> None:
        """Raises RemoteProtocolError: this is no batch with events."""
        batch = Batch(raw)
        if not batch.count:
            raise RemoteProtocolError("a delivery without events")
        self.waiting.append(batch)
        self.received = max(self.received, batch.last + 1)
        self.epoch = batch.epoch

    def missed(self, message: Missed) -> None:
        self.waiting.append(Gap(message.first, message.next, message.reason, message.count, message.detail))
        self.received = message.next
        if message.reason == "reset":
            self.epoch = self._new_epoch
            self._resets += 1

    def progress(self, message: Progress) -> None:
        self.waiting.append(message)
        self.received = max(self.received, message.offset)
        self.epoch = message.epoch

    # -- What is handed out ------------------------------------------------------------------------------------------

    def take(self) -> list[Event | Gap]:
        """Return what the next delivery holds, decoded: events not seen before, and gaps; of a large one, a piece.

        May be empty although there was a delivery; `waiting` says whether there is more.

        Raises:
            RemoteProtocolError: the delivery cannot be read.
        """
        item = self.waiting[0]
        if isinstance(item, Batch):
            return self._take_of(item)
        whole = self.take_whole()
        return [whole] if isinstance(whole, Gap) else []

    def take_whole(self) -> Batch | Gap | Progress:
        """Return what the next delivery is, not decoded; of a batch, the first events may have been handed out before."""
        item = self.waiting.popleft()
        if isinstance(item, Batch):
            self.wanted = max(self.wanted, item.last + 1)
            self._given_back += len(item.raw)
            return item
        if isinstance(item, Progress):
            self.wanted = max(self.wanted, item.offset)
            return item
        self.wanted = item.next
        if item.reason == "reset":
            self._resets -= 1
            # A log that was wiped may never reach the end of the old one: then what was to be read ends here.
            self.end = min(self.end, self._new_end)
            self.done = min(self.done, item.next)
        return item

    def _take_of(self, batch: Batch) -> list[Event | Gap]:
        # Decoded, data may take seventy times its bytes: so not all of a large batch at once.
        try:
            events = batch.events(self.wanted, PIECE_BYTES)
        except RemoteProtocolError:
            self.waiting.popleft()
            raise
        if events:
            last = events[-1]
            self.wanted = last.next if isinstance(last, Gap) else last.offset + 1
        if self.wanted > batch.last:
            self.waiting.popleft()
            self._given_back += len(batch.raw)
        return events

    def close(self, error: SylviteError | None = None) -> None:
        """Nothing will come any more; without an error, nothing of what waits is wanted either."""
        self.closed = True
        self.error = error
        if error is None:
            self.waiting.clear()
