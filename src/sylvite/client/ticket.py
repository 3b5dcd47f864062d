"""Ticket and Question: what was said to the broker and waits for its answer."""

from __future__ import annotations

import msgspec

from sylvite.core.batch import Passage
from sylvite.core.event import Offset, Position
from sylvite.core.level import Level
from sylvite.errors import AckTimeout, AckUnknown, SylviteError
from sylvite.wire.messages import Ask, Publish, Relay


class Published(msgspec.Struct, frozen=True):
    """The answer to a publish: where the event is, and what it survives.  At level none, offset is -1."""

    offset: Offset
    epoch: int
    level: Level

    def __int__(self) -> int:
        return self.offset

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.offset)


class Ticket:
    """One block that was published: `published` is its first event, or `error` is why not; neither while it is open.

    `source_epoch` and `seq` name it to the broker: said again, it is not taken twice.  `origin`: of somebody else, whose
    sender, source epoch and seq these are; `passage`: how it has come.
    """

    __slots__ = ("block", "count", "error", "level", "origin", "passage", "published", "seq", "source_epoch")

    def __init__(
        self,
        source_epoch: int,
        seq: int,
        count: int,
        level: int,
        block: bytes,
        origin: tuple[str, int, int] | None = None,
    ) -> None:
        self.source_epoch, self.seq, self.count = source_epoch, seq, count
        self.level, self.block, self.origin = level, block, origin
        self.passage: Passage | None = None
        self.published: Published | None = None
        self.error: SylviteError | None = None

    def message(self) -> Publish | Relay:
        if self.origin is None:
            return Publish(self.level, self.seq, self.block)
        sender, source_epoch, seq = self.origin
        return Relay(self.level, self.seq, source_epoch, seq, sender, self.block, self.passage)

    def is_answered(self) -> bool:
        return self.published is not None or self.error is not None

    def refuse(self, error: SylviteError) -> None:
        self.error = error
        if isinstance(error, AckUnknown):
            error.ticket = self

    def result(self) -> Published:
        """Return the answer.  Raises SylviteError: the broker refused."""
        if self.error is not None:
            raise self.error
        assert self.published is not None
        return self.published

    def unknown(self, reason: Exception) -> AckUnknown:
        """Return what to raise where no answer came: nobody knows what became of the events."""
        if isinstance(reason, TimeoutError):
            unknown: AckUnknown = AckTimeout("the broker has not answered in time: the event may be in the log, or not")
        else:
            unknown = AckUnknown(f"{reason}; the event may be in the log, or not")
        unknown.ticket = self
        return unknown


class Question:
    """One question to the broker: `result`, or `error`, or neither while it is open."""

    __slots__ = ("error", "message", "result")

    def __init__(self, message: Ask) -> None:
        self.message = message
        self.result: dict[str, object] | None = None
        self.error: SylviteError | None = None

    def is_answered(self) -> bool:
        return self.result is not None or self.error is not None

    def answer(self) -> dict[str, object]:
        """Return the answer.  Raises SylviteError: the broker refused."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result
