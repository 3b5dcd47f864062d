"""Uplink: the minion's end of the link, without a socket, a clock or a disk.

It proves who the minion is, sends up what the outbox offers, and says the same again on the next connection until the
master has said that it is taken.  So nothing is lost, whatever is cut; and the master keeps what comes twice apart by
the offset in the outbox.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import NamedTuple

from sylvite.auth import enrolment
from sylvite.auth.enrolment import Token
from sylvite.auth.keyring_values import State
from sylvite.auth.keys import Fingerprint, KeyPair
from sylvite.errors import ConnectionLost, EventTooBig, RemoteProtocolError
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
    minion_session,
)
from sylvite.wire.messages import Bye, Message, Ping, Pong

WINDOW_BYTES = 1024 * 1024
PIECE_BYTES = 128 * 1024


class Load(NamedTuple):
    """Something of the outbox: where it is there, and its data, packed."""

    epoch: int
    offset: int
    packed: bytes


class Uplink:
    """`verdict`: what the master has said of the key on this connection; `done`: the load that was taken last, if it is news.

    `downs`, `statements`: events, and words on the master's next key, that have come.  `succeeded`: what the master has
    said of the key that was offered to it.  Who takes one of these takes it away.
    """

    def __init__(self, pair: KeyPair, minion: str, *, window_bytes: int = WINDOW_BYTES) -> None:
        self.verdict: Verdict | None = None
        self.done: Load | None = None
        self.downs: deque[Down] = deque()
        self.statements: deque[bytes] = deque()
        self.succeeded: Succeeded | None = None
        self._pair, self._minion, self._window_bytes = pair, minion, window_bytes
        self._session = minion_session()
        self._out: list[bytes] = []
        self._open: deque[Load] = deque()
        self._open_bytes = 0
        self._said = 0
        self._taken_next = -1
        """The offset behind the last load that was taken."""
        self._master: Fingerprint | None = None
        self._token: Token | None = None
        self._nonce = b""
        self._facts = b""
        self._facts_said = False

    # -- Connection ------------------------------------------------------------------------------------------------

    def connect(self, master: Fingerprint, token: Token | None = None) -> None:
        """A connection stands, to a master with this key, which is one that may be trusted: nothing is said before it."""
        self._session = minion_session()
        self._out, self._said = [], 0
        self.verdict = None
        self._master, self._token = master, token
        self._facts_said = False

    def lost(self) -> None:
        self.verdict = None
        self._out, self._said = [], 0

    def use(self, pair: KeyPair) -> None:
        """Have another key, from the next connection on."""
        self._pair = pair

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes from the master.

        Raises:
            ConnectionLost: it has said goodbye.
            RemoteProtocolError: it does not keep to the rules.
        """
        self._session.feed(data)
        for message in self._session.messages():
            self._take(message)

    def take_bytes(self) -> list[bytes]:
        """Return what is to be sent."""
        if self.is_up:
            self._say_facts()
            self._say_loads()
        out, self._out = self._out, []
        return out

    @property
    def is_up(self) -> bool:
        return self.verdict is not None and self.verdict.state == State.ACCEPTED

    def ping(self, number: int) -> None:
        self._say(Ping(number))

    def say_goodbye(self, reason: str = "") -> None:
        self._say(Bye(reason))

    def _say(self, message: Message) -> None:
        self._out.append(self._session.send(message))

    def _take(self, message: Message) -> None:
        match message:
            case Challenge():
                self._prove(message)
            case Verdict():
                self.verdict = message
            case Ping():
                self._say(Pong(message.number))
            case Bye():
                raise ConnectionLost(f"the master has closed the connection: {message.reason}")
            case Taken() | Down() | Announce() | Succeeded() if not self.is_up:
                raise RemoteProtocolError(f"a {type(message).__name__} before the minion was let in")
            case Taken():
                self._taken(message)
            case Down():
                self.downs.append(message)
            case Announce():
                self.statements.append(message.statement)
            case Succeeded():
                self.succeeded = message
            case _:
                pass  # A Pong has done its work by arriving.

    def _prove(self, message: Challenge) -> None:
        if message.version != VERSION:
            raise RemoteProtocolError(f"the master speaks version {message.version} of the link, and we {VERSION}")
        assert self._master is not None
        self._nonce = message.nonce
        request = enrolment.make_request(self._pair, self._minion, self._master, message.nonce, self._token)
        self._say(Prove(VERSION, enrolment.encode(request)))

    # -- Facts, keys -------------------------------------------------------------------------------------------------

    def tell(self, facts: bytes) -> None:
        """Say this of the minion, packed grains, to each master that lets it in.

        Raises:
            EventTooBig: the link does not take so much.
        """
        if len(facts) > FACTS_BYTES_MAX:
            raise EventTooBig(len(facts), FACTS_BYTES_MAX)
        if facts != self._facts:
            self._facts, self._facts_said = facts, False

    def offer_successor(self, successor: KeyPair) -> None:
        """Tell the master, on a connection that is up, which key is to be used next; `succeeded` is the answer."""
        assert self._master is not None
        current = self._pair.public
        signature = enrolment.sign_successor(successor, self._minion, current, self._master, self._nonce)
        self._say(Succeed(successor.public.raw, signature))

    def _say_facts(self) -> None:
        if self._facts and not self._facts_said:
            self._facts_said = True
            self._say(Facts(self._facts))

    # -- Up ----------------------------------------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Say whether more may be offered; the outbox keeps the rest."""
        return self._open_bytes < self._window_bytes

    def offer(self, load: Load) -> None:
        """Send a load up, and again, until it is taken.  In the order of the outbox."""
        self._open.append(load)
        self._open_bytes += len(load.packed)

    def _say_loads(self) -> None:
        while self._said < len(self._open):
            first = self._open[self._said - 1].offset + 1 if self._said else self._taken_next
            epoch, size = self._open[self._said].epoch, 0
            piece: list[tuple[int, bytes]] = []
            while self._said < len(self._open):
                load = self._open[self._said]
                if piece and (load.epoch != epoch or size + len(load.packed) > PIECE_BYTES):
                    break
                piece.append((load.offset, load.packed))
                size += len(load.packed)
                self._said += 1
            self._say(Up(epoch, piece, first))

    def _taken(self, message: Taken) -> None:
        said = islice(self._open, self._said)
        if not any(load.epoch == message.epoch for load in said):
            return  # It was said before.
        # The master stores in order, and answers for many at once: what stands before a load that it has taken is taken
        # too, also where it is of an earlier epoch: the minion has been restarted in between.
        is_there = False
        while self._said:
            first = self._open[0]
            if first.epoch == message.epoch:
                is_there = True
                if first.offset >= message.next:
                    return
            elif is_there:
                return
            self.done = self._open.popleft()
            self._open_bytes -= len(self.done.packed)
            self._taken_next = self.done.offset + 1
            self._said -= 1
