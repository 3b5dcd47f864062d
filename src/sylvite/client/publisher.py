"""What the two publishers share: collecting events into blocks, and counting what became of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from sylvite.client.core import ClientCore
from sylvite.client.ticket import Ticket
from sylvite.core.block import BlockBuilder, Collect
from sylvite.core.event import CONTAINERS_MAX, Event, pack_data
from sylvite.core.level import Level
from sylvite.core.tag import check_tag
from sylvite.errors import InvalidData, InvalidSetting, SylviteError

WINDOW_BYTES = 4 * 1024 * 1024
BATCH_BYTES = 128 * 1024
BATCH_BYTES_MAX = 128 * 1024
"""An event takes at least 19 bytes, so that a block of this size holds no more of them than a block may."""
CAUSE_MAX = 2**63 - 1
HOP_MAX = 2**32 - 1


def read_level(level: Level | str | None) -> Level | None:
    """Raises InvalidSetting: there is no such level."""
    return Level.named(level) if isinstance(level, str) else level


def read_cause(cause: Event | int | None) -> tuple[int | None, int]:
    """Return the offset of the cause, and the hop of its effect.  Raises InvalidSetting: not an offset."""
    if cause is None:
        return None, 0
    if isinstance(cause, Event):
        return cause.offset, min(cause.hop + 1, HOP_MAX)
    if not 0 <= cause <= CAUSE_MAX:
        raise InvalidSetting("cause", cause, "is not the offset of an event")
    return cause, 1


def pack(data: Mapping[str, Any] | None, bytes_max: int) -> bytes:
    """Return the data of one event; none is an empty map.  Raises InvalidData, EventTooBig."""
    if data is None:
        data = {}
    elif not isinstance(data, dict) and hasattr(data, "keys"):
        data = dict(data)  # The encoder knows no other maps.
    return pack_data(data, bytes_max=bytes_max)


def new_ticket(
    core: ClientCore,
    tag: str,
    data: Mapping[str, Any] | None,
    level: Level | str | None,
    cause: Event | int | None,
) -> Ticket:
    """Return a block of one event, not said yet.  Raises InvalidTag, InvalidData, InvalidSetting, EventTooBig."""
    builder = BlockBuilder()
    builder.add(check_tag(tag), pack(data, core.event_bytes_max), *read_cause(cause))
    wanted = read_level(level)
    return core.ticket(*builder.take(), wanted)


def read_ticket(core: ClientCore, error: Exception, ticket: object) -> Ticket:
    """Return what an error says is to be tried again.  Raises InvalidData: it is not of this client."""
    if not isinstance(ticket, Ticket):
        raise InvalidData("this error does not come from publish()") from error
    if ticket.source_epoch != core.source_epoch:
        # Under our name the broker could take it for another event, and answer for that one.
        raise InvalidData("this error comes from another client: only that one can try again") from error
    return ticket


class Outgoing:
    """Events on their way: collected, sent and not answered, answered.

    Of the events `published`, those `acknowledged` are answered with yes, and those `refused` with no.
    """

    def __init__(
        self, core: ClientCore, level: Level | None, *, window_bytes: int = WINDOW_BYTES, batch_bytes: int = BATCH_BYTES
    ) -> None:
        if not 0 < batch_bytes <= BATCH_BYTES_MAX:
            raise InvalidSetting("batch_bytes", batch_bytes, f"must be between 1 and {BATCH_BYTES_MAX}")
        self.acknowledged = 0
        self.refused = 0
        self.waits_for_answers = level is not Level.NONE
        """Else only the socket bounds what is on its way."""
        self._core = core
        self._level = level
        self._window_bytes, self._batch_bytes = window_bytes, batch_bytes
        self._builder = BlockBuilder()
        self._sent = 0
        self.collect = self._collector()
        """Takes an event as `add` does, if it is of the common kind; else False.  Another one for each block."""
        self._open: deque[Ticket] = deque()
        self._open_bytes = 0
        self._refusal: SylviteError | None = None
        self._first_refused = self._told = 0

    def add(self, tag: str, data: Mapping[str, Any], cause: Event | int | None = None) -> bool:
        """Collect an event; return False where it does not fit: `send` what is collected first, and add it again.

        Raises:
            InvalidTag, InvalidData, EventTooBig: nothing was collected.
        """
        if cause is None and self.collect(tag, data):
            return True
        check_tag(tag)
        packed = pack(data, self._core.event_bytes_max)
        builder = self._builder
        if len(builder) and builder.size + len(packed) > self._batch_bytes:
            return False
        builder.add(tag, packed, *read_cause(cause))
        return True

    def send(self) -> None:
        """Give what is collected to the core."""
        if len(self._builder):
            ticket = self._core.ticket(*self._builder.take(), self._level)
            self._sent += ticket.count
            self.collect = self._collector()
            self._core.publish(ticket)
            self._open.append(ticket)
            self._open_bytes += len(ticket.block)

    def _collector(self) -> Collect:
        return self._builder.collector(self._batch_bytes, min(CONTAINERS_MAX, self._core.event_bytes_max))

    @property
    def published(self) -> int:
        """Events taken so far."""
        return self._sent + len(self._builder)

    def has_room(self) -> bool:
        """Count what has been answered; say whether more may be sent."""
        self._settle()
        return self._open_bytes <= self._window_bytes

    def is_settled(self) -> bool:
        """Count what has been answered; say whether nothing is open any more."""
        self._settle()
        return not self._open

    def _settle(self) -> None:
        while self._open and self._open[0].is_answered():
            ticket = self._open.popleft()
            self._open_bytes -= len(ticket.block)
            if ticket.error is None:
                self.acknowledged += ticket.count
                continue
            if self._refusal is None:
                self._refusal = ticket.error
                self._first_refused = self.acknowledged + self.refused
            self.refused += ticket.count

    def raise_refusal(self) -> None:
        """Raises SylviteError: the first refusal since the last call, with a note of how many events were refused.

        At level none it is the latest refusal that this client has heard of.
        """
        if self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            count, self._told = self.refused - self._told, self.refused
            refusal.add_note(
                f"{count} events were refused, the first is number {self._first_refused} of this publisher"
            )
            raise refusal
        if not self.waits_for_answers and (dropped := self._core.drop_error) is not None:
            self._core.drop_error = None
            raise dropped

    def give_up(self) -> None:
        """Forget what is not answered: nobody will wait for it."""
        while self._open:
            ticket = self._open.popleft()
            self._open_bytes -= len(ticket.block)
            self._core.forget(ticket)


class Counts:
    """What a publisher shows of its events."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    @property
    def published(self) -> int:
        """Events taken so far."""
        return self._outgoing.published

    @property
    def acknowledged(self) -> int:
        """Events that the broker has acknowledged, as far as was heard."""
        return self._outgoing.acknowledged

    @property
    def refused(self) -> int:
        """Events that the broker has refused, as far as was heard; each refusal is raised too."""
        return self._outgoing.refused
