"""What each message says, and its bytes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.core.batch import Passage
from sylvite.core.event import CONTAINERS_MAX
from sylvite.core.level import Level
from sylvite.core.pattern import PATTERNS_MAX, Filter
from sylvite.errors import RemoteProtocolError
from sylvite.wire.frame import GREETING_BYTES_MAX, HEADER, FrameDecoder
from sylvite.wire.messages import (
    KINDS,
    SEQ_MAX,
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
    Start,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Welcome,
    decode,
    deliver_head,
    encode,
)

U64 = 2**64 - 1
EXAMPLES: list[Message] = [
    Hello(1, "client", U64), Hello(1, "client", 0, "token"), Publish(255, SEQ_MAX, b"block"), Publish(0, 0, b""),
    Relay(255, SEQ_MAX, U64, SEQ_MAX, "minion:web1", b"block"), Relay(0, 0, 0, 0, "", b""),
    Relay(2, 1, 2, 3, "uid:0@mars", b"block", Passage(1, 2, U64, 4, -5, 6, 7)), Replicated(U64, U64),
    Subscribe(1, Filter(("a",), ("b",), ("c",), ("d",), ("e",), ("f",), ("g",), "true"), Start("resume", 5, U64), 1, "c", True),
    Subscribe(2**32 - 1, Filter(), Start("time", -(2**63)), U64), Unsubscribe(1), Credit(1, U64), Advance(1, U64),
    Ask(1, "stats", {"a": [1, {"b": None}]}), Welcome(1, "broker", "id", U64, U64, "uid:0", 1), Ack(U64, 1, U64, U64, Level.REPLICATED),
    Refuse("publish", U64, "code", "message"), Subscribed(1, U64, U64, U64), Deliver(2**32 - 1, b"batch"), Deliver(0, b""),
    Missed(1, 2, 3, "damage", None, ""), Missed(1, U64, U64, "damage", 5, "detail"), Progress(1, U64, U64), Answer(1, {}),
    Ping(1), Pong(-1), Bye(), Bye("reason"),
]  # fmt: skip
NUMBERS = {kind: number for number, kind in KINDS.items()}


def body_of(message: Message) -> bytes:
    return encode(message)[HEADER.size :]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    decoder = FrameDecoder()
    decoder.feed(encode(message))
    ((kind, body),) = decoder.frames()
    assert decode(kind, body) == message


def test_every_message_has_a_number_and_an_example() -> None:
    assert set(NUMBERS) == {type(message) for message in EXAMPLES}
    assert len(NUMBERS) == len(KINDS)


def test_the_bytes_are_those_of_the_specification() -> None:
    """docs/protocol.md: a change here is another protocol."""
    assert encode(Ping(5)).hex(" ") == "03 00 00 00 41 91 05"
    assert encode(Publish(2, 7, b"xy")).hex(" ") == "0c 00 00 00 02 02 07 00 00 00 00 00 00 00 78 79"
    assert encode(Relay(2, 7, 1, 9, "m", b"xy")).hex(" ") == (
        "20 00 00 00 08 02 07 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 09 00 00 00 00 00 00 00 01 00 00 6d 78 79"
    )
    assert encode(Deliver(3, b"xy")).hex(" ") == "07 00 00 00 25 03 00 00 00 78 79"
    assert {kind.__name__: number for number, kind in KINDS.items()} == {
        "Hello": 1, "Publish": 2, "Subscribe": 3, "Unsubscribe": 4, "Credit": 5, "Advance": 6, "Ask": 7, "Relay": 8, "Replicated": 9, "Welcome": 33,
        "Ack": 34, "Refuse": 35, "Subscribed": 36, "Deliver": 37, "Missed": 38, "Progress": 39, "Answer": 40, "Ping": 65,
        "Pong": 66, "Bye": 67,
    }  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.binary(max_size=50))
@settings(deadline=None, max_examples=50)
def test_a_delivery_is_laid_out_without_copying_its_batch(subscription: int, batch: bytes) -> None:
    assert deliver_head(subscription, len(batch)) + batch == encode(Deliver(subscription, batch))


@pytest.mark.parametrize(
    "message",
    [
        Hello(1, "", -1), Unsubscribe(-1), Unsubscribe(2**32), Credit(1, -1), Credit(2**32, 1), Advance(1, -1), Advance(-1, 1),
        Subscribe(2**32, Filter(), Start("newest"), 1), Subscribe(1, Filter(), Start("newest"), -1),
        Subscribe(1, Filter(), Start("resume", 1, -1), 1), Ask(-1, "", {}), Ack(1, 1, -1, 1, 1), Ack(1, 1, 1, 1, 4),
        Welcome(1, "", "", -1, 1, "", 1), Subscribed(1, -1, 1, 1), Missed(1, -1, 0, "", 1, ""), Progress(2**32, 1, 1),
        Publish(1, SEQ_MAX + 1, b"x"), Relay(1, SEQ_MAX + 1, 0, 0, "", b""), Relay(1, 0, 0, SEQ_MAX + 1, "", b""), Refuse("", -1, "", ""),
    ],
    ids=repr,
)  # fmt: skip
def test_a_number_has_room_in_the_headers_it_goes_into(message: Message) -> None:
    """Else it would fail later, where others wait for the same flush."""
    with pytest.raises(RemoteProtocolError):
        decode(NUMBERS[type(message)], body_of(message))


@pytest.mark.parametrize("field", ["startswith", "endswith", "find", "regex", "fnmatch", "exact", "exclude"])
def test_a_filter_has_so_many_patterns(field: str) -> None:
    def body(count: int) -> bytes:
        wanted = msgspec.structs.replace(Filter(), **{field: ("",) * count})
        return body_of(Subscribe(1, wanted, Start("newest"), 1))

    assert isinstance(decode(3, body(PATTERNS_MAX)), Subscribe)
    with pytest.raises(RemoteProtocolError, match="256"):
        decode(3, body(PATTERNS_MAX + 1))


def test_a_message_holds_so_many_maps_and_lists() -> None:
    """The message is a list, and its arguments are a map, that count too."""

    def body(count: int) -> bytes:
        return body_of(Ask(1, "stats", {"a": [{}] * count}))

    assert isinstance(decode(7, body(CONTAINERS_MAX - 3)), Ask)
    with pytest.raises(RemoteProtocolError, match="maps and lists"):
        decode(7, body(CONTAINERS_MAX - 2))


def test_a_greeting_fits_into_what_a_stranger_may_send() -> None:
    assert len(body_of(Hello(1, "x" * 64, U64, "t" * 512))) < GREETING_BYTES_MAX


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (0, b"\x90"), (8, b"\x90"), (255, b""), (1, b""), (1, b"\x80"), (1, b"\x93\x01\xa1a"), (1, b"\x91\x01"), (4, b"\x92\x01\x01"), (4, b"\x91\xa11"),
        (4, b"\x91\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"), (4, b"\x91\xc3"), (2, b"\x00" * 8), (37, b"\0\0\0"), (67, b"\x91\xa1\xff"), (67, b"\x91\xa1a\xc0"),
        (7, b"\x93\x01\xa1a\x81\x01\x01"), (7, b"\x93\x01\xa1a\x81\xa1a" + b"\x91" * 100_000), (3, b"\x94\x01\x91\xdd\xff\xff\xff\xff"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(kind: int, body: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(kind, body)
    assert len(str(caught.value)) < 300


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), U64) | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@given(
    kind=st.sampled_from([*KINDS, 0, 9, 200]),
    body=st.binary(max_size=40) | st.lists(VALUES, max_size=8).map(msgspec.msgpack.encode),
)
@settings(deadline=None, max_examples=100)
def test_any_frame_is_a_message_or_is_refused(kind: int, body: bytes) -> None:
    """And what is read can be said again."""
    try:
        message = decode(kind, body)
    except RemoteProtocolError:
        return
    assert decode(kind, encode(message)[HEADER.size :]) == message
