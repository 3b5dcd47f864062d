"""One side of one connection: which messages are legal when.  Spec: docs/protocol.md, "States"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum, auto

from sylvite.errors import LocalProtocolError, RemoteProtocolError
from sylvite.wire.frame import FRAME_BYTES_MAX, GREETING_BYTES_MAX, FrameDecoder
from sylvite.wire.messages import (
    Ack,
    Advance,
    Answer,
    Ask,
    Bye,
    Credit,
    Deliver,
    Hello,
    Message,
    Missed,
    Ping,
    Pong,
    Progress,
    Publish,
    Refuse,
    Relay,
    Replicated,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Welcome,
    decode,
    encode,
)


class State(IntEnum):
    GREETING = auto()
    READY = auto()
    CLOSED = auto()


Codec = tuple[Callable[[Message], bytes], Callable[[int, bytes], Message]]
Table = Mapping[State, Mapping[type[Message], State]]

CLIENT_SAYS: Table = {
    State.GREETING: {Hello: State.READY},
    State.READY: {
        **dict.fromkeys(
            (Publish, Relay, Replicated, Subscribe, Unsubscribe, Credit, Advance, Ask, Ping, Pong), State.READY
        ),
        Bye: State.CLOSED,
    },
    State.CLOSED: {},
}
BROKER_SAYS: Table = {
    State.GREETING: {Welcome: State.READY, Refuse: State.CLOSED},
    State.READY: {
        **dict.fromkeys((Ack, Refuse, Subscribed, Deliver, Missed, Progress, Answer, Ping, Pong), State.READY),
        Bye: State.CLOSED,
    },
    State.CLOSED: {},
}


class Session:
    """Bytes to messages and back for one side, with the table obeyed in both directions.  Does no I/O.

    `codec`: how messages become frames and back, where they are not those of the bus.
    """

    def __init__(
        self, says: Table, hears: Table, *, bytes_max: int = FRAME_BYTES_MAX, codec: Codec | None = None
    ) -> None:
        self._says, self._hears = says, hears
        self._encode, self._decode = codec or (encode, decode)
        self.saying = State.GREETING
        self.hearing = State.GREETING
        self._bytes_max = bytes_max
        self._decoder = FrameDecoder(min(bytes_max, GREETING_BYTES_MAX))

    def feed(self, data: bytes | memoryview) -> None:
        self._decoder.feed(data)

    def messages(self) -> Iterator[Message]:
        """Yield each whole message.

        Raises:
            RemoteProtocolError: the other side broke the rules; close the connection.
        """
        try:
            for kind, body in self._decoder.frames():
                yield self._heard(kind, body)
        except RemoteProtocolError:
            # Whatever follows in the stream was said by someone who does not keep to the rules.
            self.hearing = State.CLOSED
            raise

    def single(self, data: bytes | memoryview) -> Message | None:
        """Return the message that `data` is, where it is exactly one and nothing waits before it; else None: feed it.

        Raises: as `messages`.
        """
        try:
            frame = self._decoder.single(data)
            return None if frame is None else self._heard(*frame)
        except RemoteProtocolError:
            self.hearing = State.CLOSED
            raise

    def _heard(self, kind: int, body: bytes) -> Message:
        message = self._decode(kind, body)
        following = self._hears[self.hearing].get(type(message))
        if following is None:
            raise RemoteProtocolError(f"{type(message).__name__} is not allowed while {self.hearing.name.lower()}")
        if following is not self.hearing:
            self.hearing = following
            self._decoder.bytes_max = self._bytes_max
        return message

    def send(self, message: Message) -> bytes:
        """Return the bytes that say `message`.

        Raises:
            LocalProtocolError: it is not allowed now.
        """
        following = self._says[self.saying].get(type(message))
        if following is None:
            raise LocalProtocolError(f"{type(message).__name__} is not allowed while {self.saying.name.lower()}")
        self.saying = following
        return self._encode(message)


def client_session() -> Session:
    return Session(CLIENT_SAYS, BROKER_SAYS)


def broker_session() -> Session:
    return Session(BROKER_SAYS, CLIENT_SAYS)
