"""The messages: what each says, and its bytes.  Spec: docs/protocol.md, "Messages".

All but two are MessagePack arrays of their fields, in the order given here. `Publish` and `Deliver` carry events and
are laid out by hand, so that a batch travels as it lies in the log.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from struct import Struct
from typing import Annotated, Any

import msgspec

from sylvite.core.batch import PASSAGE, Passage
from sylvite.core.event import CONTAINERS_MAX, is_costly
from sylvite.core.level import Level
from sylvite.core.pattern import Filter
from sylvite.errors import RemoteProtocolError
from sylvite.wire.frame import HEADER, encode_frame

VERSION = 1
SEQ_MAX = 2**63 - 1
"""So that those of a whole block have room in eight bytes."""

U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
U64 = Annotated[int, msgspec.Meta(ge=0)]
"""MessagePack has none above 2**64 - 1.  Both go into headers of ours, and must fit there."""


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Any message."""


# -- What a client says ------------------------------------------------------------------------------------------


class Hello(Message, frozen=True):
    """The first message.  `token` is only for brokers on TCP; `source_epoch` names this publisher, at random."""

    version: int
    client: str
    source_epoch: U64
    token: str = ""


class Publish(Message, frozen=True):
    """A block of events.  `seq` is the source seq of the first; a retry repeats it.  `level`: core/level.py."""

    level: int
    seq: int
    block: bytes

    @property
    def ref(self) -> int:
        """What `Ack` and `Refuse` name."""
        return self.seq


class Start(Message, frozen=True):
    """Where a subscription starts.

    `at` is `newest`, `oldest`, `offset` (value: the offset), `time` (value: ns since 1970, UTC), `resume` (value:
    the offset after the last event seen; epoch: of that event) or `cursor` (what the broker has kept; `newest` for a
    new one, or `oldest` if value is 1).
    """

    at: str
    value: int = 0
    epoch: U64 = 0


class Subscribe(Message, frozen=True):
    """`credit`: bytes of deliveries that may be under way.  `synced`: only what is synced is delivered."""

    subscription: U32
    filter: Filter
    start: Start
    credit: U64
    cursor: str = ""
    synced: bool = False


class Unsubscribe(Message, frozen=True):
    subscription: U32


class Credit(Message, frozen=True):
    """So many more bytes of deliveries may be under way."""

    subscription: U32
    bytes: U64


class Advance(Message, frozen=True):
    """Everything below `offset` is done: the durable cursor of this subscription may move there."""

    subscription: U32
    offset: U64


class Ask(Message, frozen=True):
    """A question with one answer, by the names in docs/protocol.md, "Verbs"."""

    ask: U64
    verb: str
    arguments: dict[str, Any]


class Relay(Message, frozen=True):
    """A block of somebody else, for whom the one that relays answers: a minion's, brought by its link.

    `sender`, `source_epoch` and `seq` are of whom it comes from; `ref` is what `Ack` and `Refuse` name as seq.  `passage`:
    what a link knows of the minion's order, and what the bridge of a cluster knows of the log that it comes from; then
    `sender` ends with the master, as in `uid:0@mars`.
    """

    level: int
    ref: int
    source_epoch: int
    seq: int
    sender: str
    block: bytes
    passage: Passage | None = None


class Replicated(Message, frozen=True):
    """What this log has below `offset` is kept by the cluster too; `epoch` is that of the log, of now."""

    epoch: U64
    offset: U64


# -- What a broker says ------------------------------------------------------------------------------------------


class Welcome(Message, frozen=True):
    """`sender`: who the broker takes this peer for.  `end`: the next offset to be written."""

    version: int
    broker: str
    log_id: str
    epoch: U64
    end: U64
    sender: str
    event_bytes_max: int


class Ack(Message, frozen=True):
    """The block whose first event has `seq` has reached `level`; its events have the offsets from `base` on."""

    seq: U64
    count: int
    base: U64
    epoch: U64
    level: Annotated[int, msgspec.Meta(ge=0, le=int(max(Level)))]


class Refuse(Message, frozen=True):
    """No.  `what`: publish, subscribe, ask or connection; `ref`: the seq, subscription or ask it answers.

    `code`, `message`, `facts`: of the error, see errors.py.
    """

    what: str
    ref: U64
    code: str
    message: str
    facts: dict[str, str | int] = {}


class Subscribed(Message, frozen=True):
    """The subscription stands.  It starts at offset `next`; `end` is the next one to be written.

    `epoch`: of the event before `next`, 0 where there is none; it is what a resume names before the first delivery.
    """

    subscription: U32
    next: U64
    end: U64
    epoch: U64


class Deliver(Message, frozen=True):
    subscription: int
    batch: bytes


class Missed(Message, frozen=True):
    """A gap: see core/event.py."""

    subscription: U32
    first: U64
    next: U64
    reason: str
    count: int | None
    detail: str


class Progress(Message, frozen=True):
    """Nothing below `offset` is still to come on this subscription; `epoch` is that of the log there."""

    subscription: U32
    offset: U64
    epoch: U64


class Answer(Message, frozen=True):
    ask: U64
    result: dict[str, Any]


# -- What both say -----------------------------------------------------------------------------------------------


class Ping(Message, frozen=True):
    number: int


class Pong(Message, frozen=True):
    number: int


class Bye(Message, frozen=True):
    """The last message: nothing more will come from this side."""

    reason: str = ""


KINDS: dict[int, type[Message]] = {
    1: Hello, 2: Publish, 3: Subscribe, 4: Unsubscribe, 5: Credit, 6: Advance, 7: Ask, 8: Relay, 9: Replicated,
    33: Welcome, 34: Ack, 35: Refuse, 36: Subscribed, 37: Deliver, 38: Missed, 39: Progress, 40: Answer,
    65: Ping, 66: Pong, 67: Bye,
}  # fmt: skip
_NUMBERS = {kind: number for number, kind in KINDS.items()}
_PUBLISH, _DELIVER, _RELAY = _NUMBERS[Publish], _NUMBERS[Deliver], _NUMBERS[Relay]
_PUBLISH_HEAD = Struct("<BQ")
_RELAY_HEAD = Struct("<BQQQHB")
_DELIVER_HEAD = Struct("<I")
_DELIVER_FRAME = Struct("<IBI")
assert _DELIVER_FRAME.size == HEADER.size + _DELIVER_HEAD.size


class Packed:
    """Messages that are MessagePack arrays of their fields, each with its number, as frames and back."""

    def __init__(self, kinds: Mapping[int, type[Message]]) -> None:
        self._kinds = kinds
        self._numbers = {kind: number for number, kind in kinds.items()}
        self._encode = msgspec.msgpack.Encoder().encode
        # Made when they are first wanted: no process needs all of them, and a short one starts a millisecond sooner.
        self._decoders: dict[int, msgspec.msgpack.Decoder[Message]] = {}

    def encode(self, message: Message) -> bytes:
        """Return the message as one frame."""
        body = self._encode(message)
        return HEADER.pack(len(body) + 1, self._numbers[type(message)]) + body

    def decode(self, kind: int, body: bytes) -> Message:
        """Return the message of one frame.

        Raises:
            RemoteProtocolError: no such message, fields that are not its own, or far more of them than any message needs.
        """
        decoder = self._decoders.get(kind)
        if decoder is None:
            if kind not in self._kinds:
                raise RemoteProtocolError(f"there is no message of type {kind}")
            decoder = self._decoders[kind] = msgspec.msgpack.Decoder(self._kinds[kind])
        name = self._kinds[kind].__name__
        if is_costly(body):
            raise RemoteProtocolError(f"a {name} has more than {CONTAINERS_MAX} maps and lists")
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RemoteProtocolError(f"a {name} cannot be read: {error}") from error


_packed = Packed(KINDS)


def encode(message: Message) -> bytes:
    """Return the message as one frame."""
    if isinstance(message, Publish):
        return encode_frame(_PUBLISH, _PUBLISH_HEAD.pack(message.level, message.seq) + message.block)
    if isinstance(message, Deliver):
        return encode_frame(_DELIVER, _DELIVER_HEAD.pack(message.subscription) + message.batch)
    if isinstance(message, Relay):
        sender = message.sender.encode()
        way = b"" if message.passage is None else PASSAGE.pack(*message.passage)
        head = _RELAY_HEAD.pack(message.level, message.ref, message.source_epoch, message.seq, len(sender), len(way))
        return encode_frame(_RELAY, b"".join((head, sender, way, message.block)))
    return _packed.encode(message)


def deliver_head(subscription: int, batch_size: int) -> bytes:
    """Return what stands before the batch in a `Deliver` frame, so that the batch itself is not copied."""
    return _DELIVER_FRAME.pack(1 + _DELIVER_HEAD.size + batch_size, _DELIVER, subscription)


def decode(kind: int, body: bytes) -> Message:
    """Return the message of one frame.

    Raises:
        RemoteProtocolError: no such message, fields that are not its own, or far more of them than any message needs.
    """
    try:
        if kind == _PUBLISH:
            level, seq = _PUBLISH_HEAD.unpack_from(body)
            _check_seq(seq)
            return Publish(level, seq, body[_PUBLISH_HEAD.size :])
        if kind == _RELAY:
            return _decode_relay(body)
        if kind == _DELIVER:
            (subscription,) = _DELIVER_HEAD.unpack_from(body)
            return Deliver(subscription, body[_DELIVER_HEAD.size :])
        return _packed.decode(kind, body)
    except (UnicodeDecodeError, struct.error) as error:
        raise RemoteProtocolError(f"a {KINDS[kind].__name__} cannot be read: {error}") from error


def _decode_relay(body: bytes) -> Relay:
    level, ref, source_epoch, seq, size, way_size = _RELAY_HEAD.unpack_from(body)
    _check_seq(seq)
    _check_seq(ref)
    way = _RELAY_HEAD.size + size
    end = way + way_size
    if end > len(body) or way_size not in (0, PASSAGE.size):
        raise RemoteProtocolError("a Relay ends within its sender, or what follows it")
    passage = Passage(*PASSAGE.unpack_from(body, way)) if way_size else None
    return Relay(level, ref, source_epoch, seq, str(body[_RELAY_HEAD.size : way], "utf-8"), body[end:], passage)


def _check_seq(seq: int) -> None:
    if seq > SEQ_MAX:
        raise RemoteProtocolError(f"seq {seq} is beyond {SEQ_MAX}")
