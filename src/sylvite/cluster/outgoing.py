"""Outgoing: what of this log is on its way into the stream, and how far it is there.  Pure.

Messages leave one after the other without waiting, up to a window.  Where one is not confirmed, all that is not is said
again, in order, as another *run*: those who read see what comes again by its place, and what is missing by what it follows.
"""

from __future__ import annotations

from collections import deque

import msgspec

from sylvite.cluster.carried import NOWHERE, Place, encode
from sylvite.core.batch import Batch

WINDOW_BYTES = 4 * 1024 * 1024
WINDOW_MESSAGES = 256


def is_own(batch: Batch) -> bool:
    """Say whether a batch was published here, or brought by a minion, and is for the stream."""
    return batch.passage is None or not batch.passage.is_from_master


class Message(msgspec.Struct, frozen=True):
    """`id`: unlike that of any other message, for the servers.  `number`: of it, among all of this `Outgoing`."""

    number: int
    id: str
    data: bytes
    place: Place


class _Sent(msgspec.Struct):
    message: Message | None
    until: int
    is_there: bool


class Outgoing:
    """`until`: everything in the log below this offset is in the stream, or not for it.  `place`: of the last message there."""

    def __init__(self, node: str, before: Place, start: int, run: int) -> None:
        """`before`: what the stream is to have before the first message; `start`: where in the log we begin."""
        self.until = start
        self.place = before
        self._node, self._before, self._run = node, before, run
        self._open: deque[_Sent] = deque()
        self._bytes = 0
        self._count = 0
        self._last = 0
        self._first_of_run = 1

    def has_room(self) -> bool:
        return self._bytes < WINDOW_BYTES and self._count < WINDOW_MESSAGES

    @property
    def is_empty(self) -> bool:
        """Say whether nothing is on its way."""
        return not self._count

    def take(self, batch: Batch) -> Message | None:
        """Take the next batch of the log; return what is to be sent of it, if it is for the stream."""
        until = batch.last + 1
        if not is_own(batch):
            self.skip(until)  # It has come from there.
            return None
        if batch.columns.offsets is not None:
            raise AssertionError("a batch that was cut: whoever reads all of a log gets whole ones")
        place = Place(batch.epoch, batch.next)
        self._last += 1
        message = Message(
            self._last,
            f"{self._node}.{batch.epoch:x}.{batch.base}.{self._run:x}",
            encode(self._node, self._before, batch),
            place,
        )
        self._before = place
        self._open.append(_Sent(message, until, False))
        self._count += 1
        self._bytes += len(message.data)
        return message

    def skip(self, until: int) -> None:
        """What is in the log below this offset, and was not taken, is not for the stream."""
        if self._open and self._open[-1].message is None:
            self._open[-1].until = until
        else:
            self._open.append(_Sent(None, until, True))
        self._settle()

    def miss(self, until: int) -> None:
        """What is below this offset and was not taken is not in the log any more: nobody can have it."""
        self._before = NOWHERE
        self.skip(until)

    def confirm(self, number: int) -> bool:
        """The stream has this message; return whether `until` has moved."""
        for sent in self._open:
            if sent.message is not None and sent.message.number == number:
                sent.is_there = True
                break
        return self._settle()

    def is_of_run(self, number: int) -> bool:
        """Say whether a message is of the run of now; what becomes of those before it does not matter."""
        return number >= self._first_of_run

    def again(self, run: int) -> list[Message]:
        """Return all that is not confirmed, and what was sent behind it, to be sent again: as another run."""
        self._run, self._first_of_run = run, self._last + 1
        messages: list[Message] = []
        for sent in self._open:
            if (former := sent.message) is not None:
                self._last += 1
                id_ = f"{former.id.rpartition('.')[0]}.{run:x}"
                sent.message = Message(self._last, id_, former.data, former.place)
                sent.is_there = False
                messages.append(sent.message)
        return messages

    def _settle(self) -> bool:
        before = self.until
        while self._open and self._open[0].is_there:
            sent = self._open.popleft()
            self.until = max(self.until, sent.until)
            if sent.message is not None:
                self._count -= 1
                self._bytes -= len(sent.message.data)
                self.place = sent.message.place
        return self.until > before


class Waiting:
    """Since when the oldest message that is on its way has waited for its answer, and whether that is too long.

    Other answers do not count: what one message has lost, those behind it may still be given.  After each time that all is
    sent again the patience is twice as long, up to `most_s`: what is slow does not get faster by it.
    """

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = self._patience_s = first_s
        self._most_s = most_s
        self._since_s: float | None = None

    def sent(self, now_s: float) -> None:
        """Another message is on its way."""
        if self._since_s is None:
            self._since_s = now_s

    def moved(self, now_s: float, *, is_empty: bool) -> None:
        """The oldest one was confirmed; `is_empty`: it was the only one."""
        self._since_s = None if is_empty else now_s
        self._patience_s = self._first_s

    def again(self, now_s: float) -> None:
        """All of them were sent again."""
        if self._since_s is not None:
            self._since_s = now_s
            self._patience_s = min(2 * self._patience_s, self._most_s)

    def left_s(self, now_s: float) -> float | None:
        """Return how long the oldest one may still wait; None where there is none."""
        return None if self._since_s is None else max(0.0, self._since_s + self._patience_s - now_s)

    def is_late(self, now_s: float) -> bool:
        return self.left_s(now_s) == 0.0
