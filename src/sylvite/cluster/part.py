"""Part: what one member of a group hands out of one master's log, and where that ends.  Pure.

It comes from the stream, in the order of that log: what is there twice is passed over, and what stands behind a hole waits
until the hole is filled (incoming.py).  A *position* says what is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from sylvite.cluster.carried import Carried, Place
from sylvite.cluster.incoming import Hole, Incoming, Lost, Verdict
from sylvite.cluster.stream import StreamState
from sylvite.core.event import Event, Gap, Origin
from sylvite.eventlog.origins import Mark

EVENTS_MAX = 1024
BYTES_MAX = 1024 * 1024
"""So much is handed out at once, and then the rest of the message that it ends in."""
NUMBER_MAX = 2**63
MARKS_MAX = 64
"""So many starts of a master's broker are remembered."""


class Position(msgspec.Struct, frozen=True):
    """`marks`: what a master has written in each epoch of its log is done below that offset; the last one moves.
    `stamp_ns`: when that master took the last of it.  `stream`, `number`: the last message of the stream that is done.
    `since_ns`: what that master took before is not wanted."""

    marks: tuple[Place, ...] = ()
    stamp_ns: int = 0
    stream: int = 0
    number: int = 0
    since_ns: int = 0

    @property
    def place(self) -> Place | None:
        """Behind the last event that is done."""
        return self.marks[-1] if self.marks else None

    def behind(self, carried: Carried, stream: int, number: int) -> Position:
        """Return the position behind a message."""
        return self._with(carried.place, carried.batch.stamp_ns, stream, number)

    def within(self, carried: Carried, stream: int, number: int, until: int) -> Position:
        """Return the position in a message, behind the last event below an offset."""
        return self._with(Place(carried.place.epoch, until), carried.batch.stamp_ns, stream, number - 1)

    def _with(self, place: Place, stamp_ns: int, stream: int, number: int) -> Position:
        former = [mark for mark in self.marks if mark.epoch != place.epoch]
        marks = (*former, place)[-MARKS_MAX:]
        return Position(marks, max(self.stamp_ns, stamp_ns), stream, number, self.since_ns)


class Received(Event, frozen=True):
    """An event as it lies in the log of `node`: offset, epoch and stamp are of there, and so the same for all who read it.
    `redelivered`: somebody may have been handed it out before, and has not acknowledged it."""

    node: str = ""
    redelivered: bool = False

    def envelope(self) -> dict[str, Any]:
        shown = {"node": self.node, **super().envelope()}
        return shown | {"redelivered": True} if self.redelivered else shown


class Message(NamedTuple):
    """`number`: in the stream.  `lost`: what will not come any more, before it."""

    number: int
    carried: Carried
    lost: tuple[Lost, ...]


class Handed(NamedTuple):
    """`position`: behind it; `before`: the one in front of it.  `lost`: what will not come any more, before these events.
    `gaps`: events whose data cannot be decoded.  `messages`: what all that was in, of the stream of this id."""

    events: tuple[Received, ...]
    gaps: tuple[Gap, ...]
    lost: tuple[Lost, ...]
    before: Position
    position: Position
    redelivered: bool
    stream: int
    messages: tuple[Message, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it for anybody: it was only passed over."""
        return not (self.events or self.gaps or self.lost)

    def behind(self, event: Received) -> Position:
        """Return the position behind one of the events."""
        position = self.before
        for number, carried, _ in self.messages:
            if carried.place.epoch == event.epoch and carried.batch.base <= event.offset < carried.place.until - 1:
                return position.within(carried, self.stream, number, event.offset + 1)
            position = position.behind(carried, self.stream, number)
            if carried.place == (event.epoch, event.offset + 1):
                break
        return position


class Part:
    """`number`: of the last message that was looked at."""

    def __init__(
        self,
        node: str,
        position: Position,
        offered: int,
        state: StreamState,
        wants: Callable[[Event], bool],
        *,
        gives_up: bool = False,
    ) -> None:
        """`offered`: up to which message of the stream somebody may have been handed out what is not done.
        `state`: the stream as it is now.  `wants`: says whether an event is to be handed out.  `gives_up`: what the stream keeps no longer will not come: tell it as lost."""
        self._node, self._position, self._wants = node, position, wants
        self._incoming = Incoming("", (Mark(node, *mark) for mark in position.marks))
        self._waiting: deque[Message] = deque()
        is_same = position.stream == state.id and position.number <= state.last
        self.number = position.number if is_same else 0
        # Of a stream that is another one than it was, nobody knows what was handed out.
        self._offered = offered if is_same or not position.marks else NUMBER_MAX
        self._stream, self._old_until = state.id, state.last
        if state.first > self.number + 1 and (gives_up or not position.marks):
            self._incoming.stream_has_lost()

    def take(self, number: int, carried: Carried, now_s: float) -> None:
        """A message of this master has come."""
        self.number = number
        if self._is_of_before(carried):
            return
        verdict = self._incoming.judge(carried, now_s, is_old=number <= self._old_until)
        if verdict is Verdict.TAKE:
            self._incoming.took(carried)
            self._waiting.append(Message(number, carried, tuple(self._incoming.lost)))
            self._incoming.lost.clear()

    @property
    def hole(self) -> Hole | None:
        """What is missing of that log, while something behind it is there; None where nothing is."""
        return self._incoming.holes.get(self._node)

    def hand_out(self) -> Handed | None:
        """Return what comes next, as long as there is something to go on with; None where more has to arrive first.

        What it leaves out is done: the next position lies behind that too.
        """
        if not self._waiting:
            return None
        before = self._position
        redelivered = self._waiting[0].number <= self._offered
        events: list[Received] = []
        gaps: list[Gap] = []
        messages: list[Message] = []
        size = 0
        while self._waiting and len(events) < EVENTS_MAX and size < BYTES_MAX:
            message = self._waiting.popleft()
            count = len(events)
            for item in self._new_of(message.carried, redelivered=redelivered):
                if isinstance(item, Gap):
                    gaps.append(item)
                elif self._wants(item):
                    events.append(item)
            if len(events) > count:
                size += len(message.carried.batch.raw)
            self._position = self._position.behind(message.carried, self._stream, message.number)
            messages.append(message)
        lost = tuple(each for message in messages for each in message.lost)
        return Handed(
            tuple(events), tuple(gaps), lost, before, self._position, redelivered, self._stream, tuple(messages)
        )  # fmt: skip

    def _new_of(self, carried: Carried, *, redelivered: bool) -> list[Received | Gap]:
        """Return the events that are not done, as far back as they are wanted."""
        if carried.batch.stamp_ns < self._position.since_ns:
            return []
        events = _events_of(carried, redelivered=redelivered)
        until = next((mark.until for mark in self._position.marks if mark.epoch == carried.place.epoch), 0)
        if until <= carried.batch.base:
            return events
        return [item for item in events if (item.first if isinstance(item, Gap) else item.offset) >= until]

    def _is_of_before(self, carried: Carried) -> bool:
        """Say whether it was written before all that we know of: sent again, of an epoch that is not remembered."""
        place, last = carried.place, self._position.place
        if last is None or any(place.epoch == mark.epoch for mark in self._position.marks):
            return False
        return place.until <= last.until and carried.batch.stamp_ns < self._position.stamp_ns


def _events_of(carried: Carried, *, redelivered: bool) -> list[Received | Gap]:
    """Return the events as they lie in their master's log, from whom all other logs have them."""
    batch, node = carried.batch, carried.node
    origin = Origin(batch.epoch, batch.stamp_ns, f"{batch.sender}@{node}", batch.source_epoch)
    return [
        item
        if isinstance(item, Gap)
        else Received(item.tag, item.data, item.offset, origin, item.source_seq, None, item.hop, node, redelivered)
        for item in batch.events()
    ]
