"""MinionSession: the master's end of the link to one minion, without a socket, a clock or a disk.

It has a minion prove its key, and sorts what it sends up into blocks of events, each with a place of its own in the
minion's order: the broker stores none of them twice, however often they come.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from sylvite.auth import enrolment
from sylvite.auth.enrolment import Asking
from sylvite.auth.keyring_values import Identity
from sylvite.auth.keys import Fingerprint, InvalidKey, PublicKey
from sylvite.core.batch import Passage
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data, unpack_data
from sylvite.errors import ConnectionLost, EventTooBig, InvalidData, InvalidInput, RemoteProtocolError
from sylvite.link.forwarding import Forwarded, MakeJid, Refusal, forward
from sylvite.link.messages import (
    FACTS_BYTES_MAX,
    VERSION,
    Announce,
    Challenge,
    Down,
    Facts,
    Prove,
    Succeed,
    Succeeded,
    Taken,
    Up,
    Verdict,
    master_session,
)
from sylvite.wire.messages import Bye, Message, Ping, Pong
from sylvite.wire.session import State

PLACES = 2048
"""In the minion's order, for each load: a list of forwarding.EVENTS_MAX events, each under two tags, has room."""
OFFSET_MAX = 2**51
BLOCK_BYTES = 128 * 1024
GOODBYE_CHARACTERS_MAX = 200


class Judgement(NamedTuple):
    """What the keyring says of a minion that asks; `identity` where it is let in."""

    verdict: Verdict
    identity: Identity | None = None


Judge = Callable[[Asking], Judgement | None]
"""None: it takes a while; `MinionSession.decide` gets the judgement."""


class Block(NamedTuple):
    """Events of one load, to be relayed under this seq of the minion's.  `passage`: what else there is of it around them."""

    seq: int
    events: int
    packed: bytes
    passage: Passage | None = None


class Arrived(NamedTuple):
    """One load: what it becomes on the master's bus.  Once that is synced there, `MinionSession.taken` is due."""

    source_epoch: int
    outbox_epoch: int
    offset: int
    blocks: list[Block]
    refusals: list[Refusal]


class MinionSession:
    """`identity`: who it is, once it was let in.  `arrived`: loads that have come, oldest first.

    `facts`: its grains, packed, where it has sent some.  `successor`: the key that it wants to use next, which it has
    shown.  Who takes either puts None in its place.  `goodbye`: what it has said at the end, if it has.
    """

    def __init__(
        self,
        master: str,
        fingerprint: Fingerprint,
        nonce: bytes,
        judge: Judge,
        is_for_minion: Callable[[str, str], bool],
        make_jid: MakeJid | None = None,
    ) -> None:
        """`is_for_minion`: says of a minion's id and a jid whether that job was sent to that minion.

        `make_jid`: for returns of jobs that nobody has sent; None refuses them.
        """
        self.identity: Identity | None = None
        self.arrived: deque[Arrived] = deque()
        self.facts: bytes | None = None
        self.successor: PublicKey | None = None
        self.goodbye: str | None = None
        self.refused = 0
        """How many loads, or events of them."""
        self.closed = False
        self._fingerprint, self._nonce, self._judge = fingerprint, nonce, judge
        self._is_for_minion, self._make_jid = is_for_minion, make_jid
        self._session = master_session()
        self._out: list[bytes] = [self._session.send(Challenge(VERSION, master, nonce))]
        self._asking: Asking | None = None
        self._outbox: tuple[int, int] = (0, -1)
        self._first = -1
        """From this seq on, what has arrived is all that there is of the minion's outbox."""

    def feed(self, data: bytes | memoryview, now_s: int) -> None:
        """Take bytes from the minion.

        Raises:
            ConnectionLost: it has said goodbye.
            RemoteProtocolError: it does not keep to the rules; close the connection.
        """
        self._session.feed(data)
        for message in self._session.messages():
            self._take(message, now_s)

    @property
    def has_asked(self) -> bool:
        return self._asking is not None

    def take_bytes(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def taken(self, arrived: Arrived) -> None:
        """Tell the minion that this load, and all before it, need not be said again."""
        self._say(Taken(arrived.outbox_epoch, arrived.offset + 1))

    def send_down(self, tag: str, packed: bytes) -> None:
        """Bring the minion an event; nothing happens where it was not let in."""
        if self.identity is not None:
            self._say(Down(tag, packed))

    def announce(self, statement: bytes) -> None:
        """Tell a minion that was let in which key the master will have next."""
        if self.identity is not None:
            self._say(Announce(statement))

    def answer_successor(self, *, taken: bool, detail: str = "") -> None:
        if self.identity is not None:
            self._say(Succeeded(taken, detail))

    def ping(self, number: int) -> None:
        if self.identity is not None:
            self._say(Ping(number))

    def decide(self, judgement: Judgement) -> None:
        """Tell the minion what has become of its key; it has asked."""
        if self.closed:
            return
        verdict, self.identity = judgement
        self._say(verdict)
        if self.identity is None:
            self.close("it is not let in")

    def close(self, reason: str) -> None:
        """Say goodbye; whatever still comes counts for nothing."""
        if not self.closed:
            self._say(Bye(reason))
        self.closed = True
        self.identity = None

    def _say(self, message: Message) -> None:
        if not self.closed and self._session.saying is not State.CLOSED:
            self._out.append(self._session.send(message))

    def _take(self, message: Message, now_s: int) -> None:
        match message:
            case Prove() if self._asking is None:
                self._prove(message)
            case Ping():
                self._say(Pong(message.number))
            case Pong():
                pass  # It lives.
            case Bye():
                self.goodbye = message.reason[:GOODBYE_CHARACTERS_MAX]
                raise ConnectionLost(f"the minion has closed the connection: {message.reason}")
            case Up() if self.identity is not None:
                if self._first < 0 or self._outbox[0] != message.epoch:
                    self._first = PLACES * min(message.first, OFFSET_MAX) if message.first >= 0 else -1
                for offset, packed in message.loads:
                    self._arrive(self.identity, message.epoch, offset, packed, now_s)
            case Facts() if self.identity is not None:
                if len(message.grains) > FACTS_BYTES_MAX:
                    raise RemoteProtocolError(f"facts of {len(message.grains)} bytes; the limit is {FACTS_BYTES_MAX}")
                self.facts = message.grains
            case Succeed() if self.identity is not None:
                self._succeed(self.identity, message)
            case _:
                raise RemoteProtocolError(f"{type(message).__name__} is not allowed now")

    def _prove(self, message: Prove) -> None:
        if message.version != VERSION:
            raise RemoteProtocolError(f"the minion speaks version {message.version} of the link, and we {VERSION}")
        try:
            request = enrolment.decode(message.request, enrolment.Request)
            self._asking = enrolment.check_request(request, self._fingerprint, self._nonce)
        except (InvalidInput, enrolment.BadEnrolment) as error:
            raise RemoteProtocolError(f"the minion has shown nothing: {error}") from error
        if (judgement := self._judge(self._asking)) is not None:
            self.decide(judgement)

    def _succeed(self, who: Identity, message: Succeed) -> None:
        assert self._asking is not None
        try:
            successor = PublicKey(message.public)
            current = self._asking.public
            enrolment.check_successor(
                successor, message.signature, who.id, current, self._fingerprint, self._nonce
            )  # fmt: skip
        except (InvalidKey, enrolment.BadEnrolment) as error:
            raise RemoteProtocolError(str(error)) from error
        self.successor = successor

    def _arrive(self, who: Identity, epoch: int, offset: int, packed: bytes, now_s: int) -> None:
        if offset > OFFSET_MAX or (self._outbox[0] == epoch and offset <= self._outbox[1]):
            raise RemoteProtocolError(f"offset {offset} of the outbox comes out of its order")
        self._outbox = (epoch, offset)
        if not 0 <= self._first <= offset * PLACES:
            self._first = offset * PLACES
        try:
            is_for_it = partial(self._is_for_minion, who.id)
            events, refusals = forward(who.id, unpack_data(packed), now_s, is_for_it, self._make_jid)
        except InvalidData as error:
            events, refusals = [], [Refusal("", str(error))]
        blocks = _blocks_of(events, offset * PLACES, refusals)
        self.refused += len(refusals)
        if blocks:
            blocks = _in_their_stretch(blocks, self._first, (offset + 1) * PLACES)
            self._first = (offset + 1) * PLACES
        self.arrived.append(Arrived(_source_of(who, epoch), epoch, offset, blocks, refusals))


def _blocks_of(events: list[Forwarded], seq: int, refusals: list[Refusal]) -> list[Block]:
    builder, blocks = BlockBuilder(), list[Block]()

    def close() -> None:
        if len(builder):
            packed, count = builder.take()
            blocks.append(Block(seq + sum(block.events for block in blocks), count, packed))

    for tag, data in events:
        try:
            packed = pack_data(data)
        except (EventTooBig, InvalidData) as error:
            refusals.append(Refusal(tag, str(error)))
            continue
        if builder.size + len(packed) > BLOCK_BYTES:
            close()
        builder.add(tag, packed)
    close()
    return blocks


def _in_their_stretch(blocks: list[Block], first: int, next_: int) -> list[Block]:
    """Say of the blocks of a load that between these seqs the minion has nothing else."""
    ends = [*(block.seq for block in blocks[1:]), next_]
    begins = [first, *ends[:-1]]
    return [block._replace(passage=Passage(begin, end)) for block, begin, end in zip(blocks, begins, ends, strict=True)]


def _source_of(who: Identity, outbox_epoch: int) -> int:
    """Return the source epoch of a minion's outbox: another one for each holder of the id, and for each outbox."""
    name = f"{who.id}\n{who.epoch}\n{outbox_epoch}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") >> 1
