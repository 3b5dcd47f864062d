"""Subscribers that behave badly while events come to them and to others."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

import msgspec

from sylvite.wire.messages import Ack, Deliver, Ping, Refuse, Subscribe, Subscribed, encode
from tests.faults.raw_peer import RawPeer, subscribe

PINGS_BYTES = 16 * 1024 * 1024
_COSTLY = "any(data.list, any(data.list, any(data.list, it < 0)))"
_NONSENSE = 'data.pad > 3 and len(data.n) < "x" or regex(data.n, "[a-z]") and data.list[0].n in data.pad'


class Bad(msgspec.Struct, frozen=True):
    """`act` is called when half of the events were published, `prove` when the others have got all: it happened.

    `events`, `size`: how many, and of how many bytes.  `has_list`: the first one holds a list, which costs conditions much.
    """

    act: Callable[[RawPeer, random.Random], None]
    prove: Callable[[RawPeer], None]
    where: str | None = None
    over_tcp: bool = False
    events: int = 40
    size: int = 10
    has_list: bool = False

    def begin(self, peer: RawPeer, tag: str) -> None:
        wanted: Subscribe = subscribe(prefix=tag, where=self.where)
        peer.say(wanted)
        peer.hear(Subscribed)


def _nothing(peer: RawPeer, rng: random.Random) -> None:
    del peer, rng


def _no_proof(peer: RawPeer) -> None:
    del peer


def _close(peer: RawPeer, rng: random.Random) -> None:
    """Having read something of what has come."""
    del rng
    peer.hear(Deliver)
    peer.socket.close()


def _reset(peer: RawPeer, rng: random.Random) -> None:
    del rng
    peer.reset()


def _stop_hearing(peer: RawPeer, rng: random.Random) -> None:
    """Whoever writes to it gets an error, though it may speak."""
    del rng
    peer.socket.shutdown(socket.SHUT_RD)


def _garbage(peer: RawPeer, rng: random.Random) -> None:
    """What is no message, a frame that is too big, one that is not for it to say, or one cut short by another."""
    whole = encode(subscribe())
    said = rng.choice((
        b"\x01\x00\x00\x00\xff" + rng.randbytes(500), struct.pack("<IB", 1 << 31, 2), encode(Ack(0, 1, 0, 1, 1)),
        whole[: len(whole) // 2] + whole + whole,
    ))  # fmt: skip
    with suppress(ConnectionError):  # Closed in the middle of it.
        peer.socket.sendall(said)


def _is_ended(peer: RawPeer) -> None:
    peer.hear(Refuse)
    with suppress(ConnectionError):
        peer.hear_out()


def _flood(peer: RawPeer, rng: random.Random) -> None:
    """Ask again and again, and read no answer: until the broker does not listen any more."""
    del rng
    pings = b"".join(encode(Ping(number)) for number in range(1000))
    peer.socket.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while sent < PINGS_BYTES:
            sent += peer.socket.send(pings)
    assert sent < PINGS_BYTES, "the broker listens for ever"


def _hears_of_it(peer: RawPeer) -> None:
    peer.hear(Refuse)


def _gets_all(peer: RawPeer) -> None:
    peer.hear(Deliver)


BAD: dict[str, Bad] = {
    "closes": Bad(_close, _no_proof),
    "resets": Bad(_reset, _no_proof),
    "resets over TCP": Bad(_reset, _no_proof, over_tcp=True),
    "stops hearing": Bad(_stop_hearing, _no_proof),
    "sends garbage": Bad(_garbage, _is_ended),
    "reads nothing": Bad(_nothing, _no_proof, events=150, size=4000),
    "reads no answers": Bad(_flood, _no_proof),
    "wants nonsense": Bad(_nothing, _no_proof, where=_NONSENSE, has_list=True),
    "wants what costs too much": Bad(_nothing, _gets_all, where=_COSTLY, events=4, has_list=True),
    "wants what the broker is mistaken over": Bad(_nothing, _hears_of_it, where="data.broken == 1"),
}
