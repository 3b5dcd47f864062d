"""What the two publishers share: collecting events into blocks, and counting what became of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from sylvite.client.core import ClientCore, Ticket
from sylvite.core.batch import BATCH_EVENTS_MAX, BLOCK_BYTES_MAX, BlockBuilder
from sylvite.core.event import Event, pack_data
from sylvite.core.level import Level
from sylvite.core.tag import check_tag
from sylvite.errors import InvalidSetting

WINDOW_BYTES = 4 * 1024 * 1024
BATCH_BYTES = 64 * 1024
BATCH_EVENTS = 1000
KNOWN_TAGS_MAX = 65_536


def read_level(level: Level | str | None) -> Level | None:
    """Raises InvalidSetting: there is no such level."""
    return Level.named(level) if isinstance(level, str) else level


def read_cause(cause: Event | int | None) -> tuple[int | None, int]:
    """Return the offset of the cause, and the hop of its effect."""
    if isinstance(cause, Event):
        return cause.offset, cause.hop + 1
    return cause, 0 if cause is None else 1


class Outgoing:
    """Events on their way: collected, sent and not answered, answered.

    `published`: events taken so far; `acknowledged`: those that are answered with yes.
    """

    def __init__(
        self, core: ClientCore, level: Level | None, *, window_bytes: int = WINDOW_BYTES, batch_bytes: int = BATCH_BYTES
    ) -> None:
        if not 0 < batch_bytes < BLOCK_BYTES_MAX:
            raise InvalidSetting("batch_bytes", batch_bytes, f"must be between 1 and {BLOCK_BYTES_MAX - 1}")
        self.published = 0
        self.acknowledged = 0
        self._core = core
        self._level = level
        self._window_bytes, self._batch_bytes = window_bytes, batch_bytes
        self._builder = BlockBuilder()
        self._known: set[str] = set()
        self._open: deque[Ticket] = deque()
        self._open_bytes = 0

    def add(self, tag: str, data: Mapping[str, Any], cause: Event | int | None = None) -> bool:
        """Collect an event; return whether it is time to send.

        Raises:
            InvalidTag, InvalidData, EventTooBig: nothing was collected.
        """
        if tag not in self._known:
            check_tag(tag)
            if len(self._known) >= KNOWN_TAGS_MAX:
                self._known.clear()
            self._known.add(tag)
        packed = pack_data(data)
        builder = self._builder
        if cause is None:
            builder.add(tag, packed)
        else:
            builder.add(tag, packed, *read_cause(cause))
        self.published += 1
        return builder.size >= self._batch_bytes or len(builder) >= BATCH_EVENTS

    def send(self) -> None:
        """Give what is collected to the core."""
        assert len(self._builder) <= BATCH_EVENTS_MAX
        if len(self._builder):
            block, count = self._builder.take()
            ticket = self._core.publish(block, count, self._level)
            self._open.append(ticket)
            self._open_bytes += len(block)

    @property
    def is_unacknowledged(self) -> bool:
        """Say whether no answer is waited for, so that only the socket bounds what is on its way."""
        return self._level is Level.NONE

    @property
    def is_over_window(self) -> bool:
        return self._open_bytes > self._window_bytes

    @property
    def is_settled(self) -> bool:
        return not self._open and not len(self._builder)

    def settle(self) -> None:
        """Count what has been answered.

        Raises:
            SylviteError: the first refusal among it; what follows is counted by the next call.  At level none, one of
                which the broker has told us since the last call.
        """
        if self.is_unacknowledged and (dropped := self._core.drop_error) is not None:
            self._core.drop_error = None
            raise dropped
        while self._open and self._open[0].is_answered():
            ticket = self._open.popleft()
            self._open_bytes -= len(ticket.block)
            if ticket.error is not None:
                ticket.error.add_note(
                    f"{ticket.count} events were refused, from number {ticket.seq} of this publisher on"
                )
                raise ticket.error
            self.acknowledged += ticket.count

    def give_up(self) -> None:
        """Forget what is not answered: nobody will wait for it."""
        while self._open:
            ticket = self._open.popleft()
            self._open_bytes -= len(ticket.block)
            self._core.forget(ticket)
