"""Worker messages: what a minion, its nursery and the workers that this one forks say to each other.

minion → nursery    Run, with the descriptor of the job's stream; Signal.  A datagram each
nursery → minion    Ready; Ended, or Refused
minion → worker     the publication of the job: one frame on its stream
worker → minion     Progress, Note, at last Returned: a frame each
"""

from __future__ import annotations

from typing import Any

import msgspec

from sylvite.errors import InvalidData
from sylvite.wire.frame import encode_frame

FRAME = 1
CONTROL_BYTES_MAX = 4096
MARGIN_BYTES = 16 * 1024
"""What a return's event has beside return and arguments, here and at the master."""
NOTES_MAX = 200
NOTE_CHARACTERS_MAX = 2000


NOTHING = msgspec.Raw(b"\xc0")


class Begin(msgspec.Struct, frozen=True):
    """What a nursery is told at its stdin.  `event_bytes_max`: what its minion can publish."""

    opts: dict[str, Any]
    grains: dict[str, Any]
    socket: str
    event_bytes_max: int


class _Control(msgspec.Struct, frozen=True, array_like=True, tag=True):
    pass


class Run(_Control, frozen=True):
    number: int


class Signal(_Control, frozen=True):
    """To the worker, and to all that it has started."""

    number: int
    signal: int


class Ready(_Control, frozen=True):
    """The library is there: from now on jobs begin at once."""


class Refused(_Control, frozen=True):
    """There is no process for this job."""

    number: int
    reason: str


class Ended(_Control, frozen=True):
    """A worker has ended.  `status`: as waitpid(2) has it; None where the nursery itself is gone."""

    number: int
    status: int | None


class Progress(_Control, frozen=True):
    """`item`: what a generator function has yielded."""

    number: int
    item: msgspec.Raw


class Note(_Control, frozen=True):
    """A line for the log of the minion."""

    level: int
    logger: str
    text: str


class Returned(_Control, frozen=True):
    """`value`, `retcode`, `success`: maps by function where the job calls several.

    `arguments`: after the call, which may have changed them; NOTHING where they are too big or cannot be sent.  `out`: the outputter.
    `errors`: what functions have raised.
    """

    value: msgspec.Raw
    retcode: int | dict[str, int]
    success: bool | dict[str, bool]
    arguments: msgspec.Raw
    out: str | None
    errors: list[str]


ToNursery = Run | Signal
FromNursery = Ready | Refused | Ended
FromWorker = Progress | Note | Returned

_encoder = msgspec.msgpack.Encoder()
_to_nursery: msgspec.msgpack.Decoder[ToNursery] = msgspec.msgpack.Decoder(ToNursery)
_from_nursery: msgspec.msgpack.Decoder[FromNursery] = msgspec.msgpack.Decoder(FromNursery)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_begin = msgspec.msgpack.Decoder(Begin)


def encode(message: ToNursery | FromNursery | Begin) -> bytes:
    return _encoder.encode(message)


def frame(message: FromWorker) -> bytes:
    return encode_frame(FRAME, _encoder.encode(message))


def job_frame(packed: bytes) -> bytes:
    return encode_frame(FRAME, packed)


def decode_begin(data: bytes) -> Begin:
    return _begin.decode(data)


def decode_to_nursery(data: bytes) -> ToNursery:
    return _to_nursery.decode(data)


def decode_from_nursery(data: bytes) -> FromNursery:
    return _from_nursery.decode(data)


def decode_from_worker(data: bytes) -> FromWorker:
    """Raises InvalidData: it is none of them; the function may have written to whatever descriptor it found."""
    try:
        return _from_worker.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidData(f"a worker has sent what cannot be read: {error}") from error
