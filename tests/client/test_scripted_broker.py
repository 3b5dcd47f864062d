"""What the clients do with a broker that breaks the rules: an error in time, and never a hang."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

import pytest

from sylvite import BrokerNotReachable, ConnectionLost, NotAllowed, SylviteError
from sylvite.errors import AckUnknown, RemoteProtocolError
from sylvite.wire.messages import Ack, Bye, Deliver, Hello, Message, Ping, Refuse, Subscribed, encode
from tests.client.scripted_broker import WELCOME, Script, ScriptedBroker, says
from tests.contracts.clients import Connections


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("b") / "s"


NONSENSE = {
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": bytes(100),
    "too_big": b"\xff\xff\xff\x7f\x21",
    "no_such_type": b"\x02\x00\x00\x00\x63\x90",
    "broken_fields": b"\x04\x00\x00\x00\x21\x92\xc0\xc0",
    "what_a_client_says": encode(Hello(1, "x", 1)),
}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_as_a_greeting_is_an_error_of_the_other_side(connect: Connections, path: Path, said: bytes) -> None:
    with ScriptedBroker(path, says(said, greets=False)), pytest.raises(RemoteProtocolError):
        connect(path)


@pytest.mark.parametrize("said", [*NONSENSE.values(), encode(WELCOME)], ids=[*NONSENSE, "welcome_again"])
def test_nonsense_as_an_answer_is_an_error_of_the_other_side(connect: Connections, path: Path, said: bytes) -> None:
    """For a question, and for a publish, where it means that nobody knows what became of the event."""
    with ScriptedBroker(path, says(said)):
        bus = connect(path)
        with pytest.raises(RemoteProtocolError):
            bus.ask("log")
        with pytest.raises(AckUnknown) as caught:
            bus.publish("a")
        assert isinstance(caught.value.__cause__, RemoteProtocolError)
        with pytest.raises(RemoteProtocolError):
            bus.subscribe("a")


@pytest.mark.parametrize(
    "said",
    [
        Deliver(1, b""),
        Deliver(1, b"SyB1" + bytes(90)),
        Deliver(1, os.urandom(200)),
        encode(Deliver(1, b"x" * 10))[:-4],
        Ack(0, 1, 0, 1, 77),
    ],
    ids=["empty", "header", "random", "cut", "level"],
)
def test_a_delivery_that_is_none_ends_the_wait(connect: Connections, path: Path, said: Message | bytes) -> None:
    """It is raised to who reads, or the next attempt to connect is; the reader does not wait for ever."""
    script = says(Subscribed(1, 0, 0, 0), said, b"\x00\x00\x00\x00")
    with ScriptedBroker(path, script):
        bus = connect(path)
        with pytest.raises(SylviteError):
            events = bus.subscribe("a")
            events.next(30)


def test_random_bytes_are_never_a_hang(connect: Connections, path: Path) -> None:
    """Whatever comes behind the greeting: an answer in time, or an error of ours."""
    rng = random.Random(1)
    pieces = [bytes([rng.choice((2, 8, 30)), 0, 0, 0, rng.randrange(30, 45)]) + rng.randbytes(40) for _ in range(40)]
    turn = iter(pieces)

    def script(connected: socket.socket) -> None:
        says(next(turn, b"\x00\x00\x00\x00"))(connected)

    with ScriptedBroker(path, script):
        bus = connect(path)
        for _ in range(20):
            with pytest.raises(SylviteError):
                bus.ask("log", timeout_s=0.05)


def hang_up(connected: socket.socket) -> None:
    del connected


@pytest.mark.parametrize("script", [hang_up, says(Bye("stopping"), greets=False)], ids=["eof", "bye"])
def test_a_broker_that_hangs_up_is_not_reachable(connect: Connections, path: Path, script: Script) -> None:
    with ScriptedBroker(path, script), pytest.raises((BrokerNotReachable, RemoteProtocolError)):
        connect(path)


def test_a_broker_that_is_silent_is_not_reachable(connect: Connections, path: Path) -> None:
    with ScriptedBroker(path, says(greets=False)), pytest.raises(BrokerNotReachable, match="does not answer"):
        connect(path, timeout_s=0.1)


def test_a_refusal_is_raised_at_once(connect: Connections, path: Path) -> None:
    """With the broker's error and its words; an unknown code is an error of ours too."""
    with ScriptedBroker(path, says(Refuse("connection", 0, "not_allowed", "not you"), greets=False)) as broker:
        with pytest.raises(NotAllowed, match="not you"):
            connect(path)
        assert broker.connections == 1
    path.unlink()
    unknown = ScriptedBroker(path, says(Refuse("connection", 0, "new_code", "why"), greets=False))
    with unknown, pytest.raises(SylviteError, match="why"):
        connect(path)


def test_a_refusal_on_coming_back_is_raised(connect: Connections, path: Path) -> None:
    """Not tried again and again: the policy has changed, and the caller has to know."""
    turn = iter([says(Bye("the policy has changed"))])
    refusal = says(Refuse("connection", 0, "not_allowed", "not any more"), greets=False)
    with ScriptedBroker(path, lambda connected: next(turn, refusal)(connected)):
        bus = connect(path)
        with pytest.raises(NotAllowed, match="not any more"):
            bus.ask("log")


def test_a_full_broker_is_tried_again(connect: Connections, path: Path) -> None:
    """When coming back, that is: the limit may not hold in a moment."""
    full = says(Refuse("connection", 0, "overloaded", "no more"), greets=False)
    script = iter([says(Bye("stopping")), full, full, says(Refuse("ask", 1, "not_allowed", "heard"))])
    with ScriptedBroker(path, lambda connected: next(script)(connected)) as broker:
        bus = connect(path)
        with pytest.raises(NotAllowed, match="heard"):
            bus.ask("log")
        assert broker.connections == 4


def test_a_ping_is_answered(connect: Connections, path: Path) -> None:
    heard = bytearray()

    def script(connected: socket.socket) -> None:
        connected.recv(1 << 16)
        connected.sendall(encode(WELCOME))
        connected.recv(1 << 16)
        connected.sendall(encode(Ping(77)))
        heard.extend(connected.recv(1 << 16))
        connected.sendall(encode(Refuse("ask", 1, "not_allowed", "enough")))
        connected.recv(1 << 16)

    with ScriptedBroker(path, script):
        bus = connect(path)
        with pytest.raises(NotAllowed):
            bus.ask("log")
    assert bytes(heard) == b"\x03\x00\x00\x00\x42\x91\x4d"


def test_a_broker_that_hangs_up_after_each_greeting_costs_no_more_than_the_deadline(
    connect: Connections, path: Path
) -> None:
    def script(connected: socket.socket) -> None:
        connected.recv(1 << 16)
        connected.sendall(encode(WELCOME))

    with ScriptedBroker(path, script):
        bus = connect(path)
        with pytest.raises((TimeoutError, ConnectionLost)):
            bus.ask("log", timeout_s=0.2)
