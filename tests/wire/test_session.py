"""Which messages are legal when, walked through from both sides."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.errors import FrameTooBig, LocalProtocolError, RemoteProtocolError
from sylvite.wire.frame import FRAME_BYTES_MAX, GREETING_BYTES_MAX, encode_frame
from sylvite.wire.messages import KINDS, Ask, Bye, Hello, Message, Ping, Pong, Publish, Refuse, Welcome, encode
from sylvite.wire.session import BROKER_SAYS, CLIENT_SAYS, Session, State, Table, broker_session, client_session
from tests.wire.test_messages import EXAMPLES

ONE_OF_EACH = list({type(message): message for message in EXAMPLES}.values())
HELLO, WELCOME, REFUSE = Hello(1, "", 0), Welcome(1, "", "", 0, 0, "", 0), Refuse("connection", 0, "", "")
SIDES: list[tuple[Callable[[], Session], Callable[[], Session], Table]] = [
    (client_session, broker_session, CLIENT_SAYS),
    (broker_session, client_session, BROKER_SAYS),
]
BEFORE: dict[State, tuple[list[Message], list[Message]]] = {
    State.GREETING: ([], []),
    State.READY: ([HELLO], [WELCOME]),
    State.CLOSED: ([HELLO, Bye()], [WELCOME, Bye()]),
}


def walk(says: Session, hears: Session, table: Table, state: State) -> None:
    """Bring both into a state, by what the one says and the other one hears."""
    for message in BEFORE[state][table is BROKER_SAYS]:
        hears.feed(says.send(message))
        assert list(hears.messages()) == [message]
    assert (says.saying, hears.hearing) == (state, state)


CASES = [
    (make_says, make_hears, table, state, message)
    for (make_says, make_hears, table), state, message in itertools.product(SIDES, State, ONE_OF_EACH)
]


@pytest.mark.parametrize(
    ("make_says", "make_hears", "table", "state", "message"),
    CASES,
    ids=[f"{case[0].__name__}-{case[3].name}-{type(case[4]).__name__}" for case in CASES],
)
def test_the_whole_table(
    make_says: Callable[[], Session], make_hears: Callable[[], Session], table: Table, state: State, message: Message
) -> None:
    """Each message in each state: said and heard where the table has it, and else refused at both ends."""
    says, hears = make_says(), make_hears()
    walk(says, hears, table, state)
    following = table[state].get(type(message))
    if following is None:
        with pytest.raises(LocalProtocolError, match=f"while {state.name.lower()}"):
            says.send(message)
        assert says.saying is state
        hears.feed(encode(message))
        with pytest.raises(RemoteProtocolError):
            list(hears.messages())
        assert hears.hearing is State.CLOSED
    else:
        hears.feed(says.send(message))
        assert list(hears.messages()) == [message]
        assert (says.saying, hears.hearing) == (following, following)


def test_the_table_names_every_message_and_state() -> None:
    assert {kind for table in (CLIENT_SAYS, BROKER_SAYS) for state in table.values() for kind in state} == set(
        KINDS.values()
    )
    assert set(CLIENT_SAYS) == set(BROKER_SAYS) == set(State)
    assert not CLIENT_SAYS[State.CLOSED]
    assert not BROKER_SAYS[State.CLOSED]


def test_the_sides_close_each_for_itself() -> None:
    """Who has said goodbye still hears what the other one has to say."""
    client, broker = client_session(), broker_session()
    broker.feed(client.send(HELLO) + client.send(Bye()))
    assert list(broker.messages()) == [HELLO, Bye()]
    client.feed(broker.send(WELCOME) + broker.send(Ping(1)) + broker.send(Bye()))
    assert list(client.messages()) == [WELCOME, Ping(1), Bye()]
    with pytest.raises(LocalProtocolError):
        client.send(Pong(1))


def test_a_refused_greeting_closes() -> None:
    client, broker = client_session(), broker_session()
    client.feed(broker.send(REFUSE))
    assert list(client.messages()) == [REFUSE]
    assert (broker.saying, client.hearing) == (State.CLOSED, State.CLOSED)


@pytest.mark.parametrize(
    "wrong", [encode(Hello(1, "", 0)), encode_frame(99, b""), encode_frame(65, b"\xc1"), b"\0\0\0\0"]
)
def test_after_a_breach_nothing_is_heard(wrong: bytes) -> None:
    """What came before it is; what follows in the same bytes, or later, is not."""
    broker = broker_session()
    broker.feed(encode(HELLO) + encode(Ping(1)) + wrong + encode(Ping(2)))
    heard = broker.messages()
    assert [next(heard), next(heard)] == [HELLO, Ping(1)]
    with pytest.raises(RemoteProtocolError):
        next(heard)
    broker.feed(encode(Ping(3)))
    with pytest.raises(RemoteProtocolError):
        list(broker.messages())
    assert broker.hearing is State.CLOSED


def test_a_stranger_may_send_little() -> None:
    """The limit of the greeting holds for one frame; what follows in the same bytes has the limit of the others."""
    large = encode(Publish(0, 0, b"x" * 100_000))
    broker = broker_session()
    broker.feed(encode(HELLO) + large)
    assert [type(message) for message in broker.messages()] == [Hello, Publish]
    fits = Hello(1, "x" * (GREETING_BYTES_MAX - 1 - len(encode(HELLO)) + 5 - 2), 0)
    assert len(encode(fits)) == GREETING_BYTES_MAX + 4
    broker = broker_session()
    broker.feed(encode(fits))
    assert list(broker.messages()) == [fits]
    broker = broker_session()
    broker.feed(encode(Hello(1, fits.client + "x", 0))[:4])
    with pytest.raises(FrameTooBig):
        list(broker.messages())


def test_a_frame_has_its_limit_after_the_greeting() -> None:
    broker = broker_session()
    broker.feed(encode(HELLO) + (FRAME_BYTES_MAX + 1).to_bytes(4, "little"))
    heard = broker.messages()
    assert next(heard) == HELLO
    with pytest.raises(FrameTooBig):
        next(heard)


@given(
    messages=st.lists(st.sampled_from([Ping(1), Pong(2), Publish(1, 2, b"block"), Ask(1, "log", {})]), max_size=8),
    cut=st.integers(1, 40),
)
@settings(deadline=None, max_examples=100)
def test_messages_survive_any_cut(messages: list[Message], cut: int) -> None:
    client, broker = client_session(), broker_session()
    stream = b"".join(client.send(message) for message in [HELLO, *messages])
    heard: list[Message] = []
    for start in range(0, len(stream), cut):
        broker.feed(memoryview(stream)[start : start + cut])
        heard.extend(broker.messages())
    assert heard == [HELLO, *messages]


@given(st.lists(st.binary(max_size=30) | st.sampled_from([encode(message) for message in EXAMPLES]), max_size=6))
@settings(deadline=None, max_examples=200)
def test_any_stream_is_heard_or_refused(pieces: list[bytes]) -> None:
    for session in (client_session(), broker_session()):
        try:
            for piece in pieces:
                session.feed(piece)
                assert all(isinstance(message, Message) for message in session.messages())
        except RemoteProtocolError:
            assert session.hearing is State.CLOSED
