"""What a minion and its master say to each other, inside TLS.  Spec: docs/link.md."""

from __future__ import annotations

from typing import Annotated

import msgspec

from sylvite.wire.messages import U64, Bye, Message, Packed, Ping, Pong
from sylvite.wire.session import Session, State, Table

VERSION = 1
FACTS_BYTES_MAX = 256 * 1024
TAKEN_OVER = "this minion has another connection"
"""The reason of a goodbye that tells a minion that somebody else has come with its key, or itself on another way."""


class Challenge(Message, frozen=True):
    """The master's first word: what a minion has to sign."""

    version: int
    master: str
    nonce: bytes


class Prove(Message, frozen=True):
    """`request`: auth/enrolment.py, signed for this master and this nonce."""

    version: int
    request: bytes


class Verdict(Message, frozen=True):
    """What has become of the key: `accepted`, and the session stands; else the master closes after it.

    `epoch`: of the minion's id.  `retry_s`: when to ask again, 0 for never.
    """

    state: str
    epoch: U64 = 0
    retry_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0
    detail: str = ""


class Up(Message, frozen=True):
    """Loads of a minion's outbox, each with its offset there; `epoch` is that of the outbox's log.

    `first`: from this offset on there are no others in the outbox; -1 where the minion does not know.
    """

    epoch: U64
    loads: list[tuple[U64, bytes]]
    first: int = -1


class Taken(Message, frozen=True):
    """Everything below offset `next` of the outbox is synced at the master, or was refused there and told."""

    epoch: U64
    next: U64


class Down(Message, frozen=True):
    """An event for the minion: a job.  `data` is a MessagePack map."""

    tag: str
    data: bytes


class Facts(Message, frozen=True):
    """What a minion says of itself: its grains, a MessagePack map of at most FACTS_BYTES_MAX bytes."""

    grains: bytes


class Succeed(Message, frozen=True):
    """The key that a minion wants to use next, which it has: auth/enrolment.py, `sign_successor`."""

    public: bytes
    signature: bytes


class Succeeded(Message, frozen=True):
    """What has become of that: the key lets the minion in from now on, or `detail` says why it does not."""

    taken: bool
    detail: str = ""


class Announce(Message, frozen=True):
    """The master's word that another key follows its own: auth/enrolment.py, `Succession`."""

    statement: bytes


KINDS: dict[int, type[Message]] = {
    1: Challenge, 2: Prove, 3: Verdict, 4: Up, 5: Taken, 6: Down, 7: Facts, 8: Succeed, 9: Succeeded, 10: Announce,
    65: Ping, 66: Pong, 67: Bye,
}  # fmt: skip
_packed = Packed(KINDS)
encode, decode = _packed.encode, _packed.decode

MINION_SAYS: Table = {
    State.GREETING: {Prove: State.READY},
    State.READY: {**dict.fromkeys((Up, Facts, Succeed, Ping, Pong), State.READY), Bye: State.CLOSED},
    State.CLOSED: {},
}
MASTER_SAYS: Table = {
    State.GREETING: {Challenge: State.READY},
    State.READY: {
        **dict.fromkeys((Verdict, Taken, Down, Succeeded, Announce, Ping, Pong), State.READY),
        Bye: State.CLOSED,
    },
    State.CLOSED: {},
}


def minion_session() -> Session:
    return Session(MINION_SAYS, MASTER_SAYS, codec=(encode, decode))


def master_session() -> Session:
    return Session(MASTER_SAYS, MINION_SAYS, codec=(encode, decode))
