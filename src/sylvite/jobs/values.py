"""What the job store keeps of a job, and what it says of a return that comes in."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import msgspec


class Job(msgspec.Struct, frozen=True):
    """A job as it is published.

    `fun`: a list where one job calls several functions; then `arg` is a list of lists.  `minions`: the ids that are expected to
    answer.  `metadata`: what the caller wanted to be kept with it.
    """

    jid: str
    fun: str | tuple[str, ...]
    arg: tuple[Any, ...]
    tgt: str | tuple[str, ...]
    tgt_type: str
    user: str
    minions: tuple[str, ...]
    metadata: Any = None


class Listed(msgspec.Struct, frozen=True):
    """A job in a list.  `closed_ns`: when the last minion had answered, or was given up; None while it is waited for."""

    job: Job
    published_ns: int
    closed_ns: int | None
    expected: int
    returned: int

    @property
    def is_active(self) -> bool:
        return self.closed_ns is None


class Return(msgspec.Struct, frozen=True):
    """What a minion sends back.  `success`: None where it does not say.  `out`: the outputter it asks for."""

    jid: str
    minion: str
    value: Any
    retcode: int = 0
    success: bool | None = None
    out: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """A return that was kept.

    `refused`: why its value was not, and then `value` is None.  `late`: it came when nobody waited any more.
    `repeats`: how often it came again; the first one counts.
    """

    minion: str
    returned_ns: int
    value: Any
    retcode: int
    success: bool | None
    out: str | None
    refused: str | None
    late: bool
    repeats: int


class Arrival(Enum):
    """How a return stands to its job."""

    EXPECTED = "expected"
    LATE = "late"
    """Kept, but nobody waited any more."""
    REPEATED = "repeated"
    """This minion had answered: the first return stays."""
    REFUSED = "refused"
    """Its value is not kept; the job shows the reason in its place."""
    UNEXPECTED = "unexpected"
    """The job was not for this minion.  Nothing is kept."""
    UNKNOWN = "unknown"
    """There is no such job, or not any more.  Nothing is kept."""


class Taken(NamedTuple):
    arrival: Arrival
    reason: str = ""
    """For REFUSED."""
