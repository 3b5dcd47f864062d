"""Bytes ↔ session ↔ broker, for one socket.  Does no I/O: an Outlet takes what is to be written."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from sylvite.auth.peer import Peer
from sylvite.auth.policy import Access
from sylvite.broker.subscription import Subscription
from sylvite.errors import (
    NotAllowed,
    NotAuthenticated,
    Overloaded,
    RemoteProtocolError,
    SylviteError,
    facts_of,
)
from sylvite.wire.messages import (
    VERSION,
    Advance,
    Answer,
    Ask,
    Bye,
    Credit,
    Hello,
    Message,
    Ping,
    Pong,
    Publish,
    Refuse,
    Relay,
    Replicated,
    Subscribe,
    Unsubscribe,
    Welcome,
)
from sylvite.wire.session import State, broker_session

if TYPE_CHECKING:
    from sylvite.broker.broker import Broker

MAY_WAIT_BYTES = 16 * 1024


class Outlet(Protocol):
    """Where the bytes for one peer go."""

    def write(self, parts: Sequence[bytes]) -> None: ...

    def waiting_bytes(self) -> int:
        """Return how much was written and not taken by the peer yet."""
        ...

    @property
    def is_full(self) -> bool:
        """Say whether no more should be written; `Connection.drained` is called when that ends."""
        ...

    def close(self) -> None:
        """Close once what was written is gone."""
        ...

    def pause(self) -> None:
        """Stop reading from the peer."""
        ...

    def resume(self) -> None:
        """Go on reading."""
        ...


class Connection:
    """The broker's side of one connection.

    `token`: what the peer must show in its Hello (a broker on TCP); None where the socket says who it is.
    """

    def __init__(self, broker: Broker, peer: Peer, outlet: Outlet, *, token: str | None = None) -> None:
        self.broker = broker
        self.peer = peer
        self.access: Access | None = None
        self.source_epoch = 0
        self.client = ""
        self.subscriptions: dict[int, Subscription] = {}
        self.closing = False
        self._outlet = outlet
        self._token = token
        self._session = broker_session()
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._answers_wait = False
        self._held_for: set[str] = set()
        self._answer_bytes = broker.settings.limits.answer_bytes
        self._stalled = False

    @property
    def may_wait(self) -> bool:
        """Say whether only deliveries wait, and so few of them that they can leave together with what comes."""
        return not self._answers_wait and self._waiting_size < MAY_WAIT_BYTES and not self.closing

    def can_take(self) -> bool:
        """Say whether a delivery may be added; where not, subscriptions that are behind go on as soon as it may."""
        if self.closing:
            return False
        if self._outlet.is_full or self._waiting_size >= self.broker.settings.limits.socket_bytes:
            self._stalled = True
            return False
        return True

    # -- In --------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes | memoryview) -> None:
        """Take bytes from the peer.  What it got wrong is answered, and ends this connection only."""
        if self.closing:
            return
        if not self._held_for:
            try:
                message = self._session.single(data)
            except RemoteProtocolError as error:
                self._is_wrong(error)
                return
            if message is not None:
                self._take(message)
                return
        self._session.feed(data)
        if not self._held_for:
            self.listen()

    def listen(self) -> None:
        """Handle the messages that are here; stop where the peer has too many answers to read first."""
        try:
            for message in self._session.messages():
                self._take(message)
                if self.closing or self._held_for:
                    return
        except RemoteProtocolError as error:
            self._is_wrong(error)

    def _take(self, message: Message) -> None:
        try:
            self._handlers[type(message)](self, message)
        except RemoteProtocolError as error:
            self._is_wrong(error)
            return
        if not self.closing and self._waiting_size + self._outlet.waiting_bytes() > self._answer_bytes:
            self.hold("answers")

    def _is_wrong(self, error: RemoteProtocolError) -> None:
        self.broker.counters.protocol_errors += 1
        self.refuse("connection", 0, error)
        self.close()

    def _hello(self, message: Hello) -> None:
        try:
            if message.version != VERSION:
                raise RemoteProtocolError(f"version {message.version} is not spoken here; this broker speaks {VERSION}")
            if self._token is not None and not _same(message.token, self._token):
                raise NotAuthenticated("the token is wrong; use the file bus.tcp that this broker has written")
            access = self.broker.policy.access(self.peer)
            if access is None:
                raise NotAllowed(f"{self.peer.name} may not use this bus; its owner can allow it in the policy")
            self.broker.admit(self)
        except SylviteError as error:
            self.refuse("connection", 0, error)
            self.close()
            return
        self.access = access
        self.source_epoch, self.client = message.source_epoch, message.client[:64]
        log = self.broker.log
        self.send(
            Welcome(
                VERSION, self.broker.name, log.log_id, log.epoch, log.end, self.peer.name,
                self.broker.settings.limits.event_bytes,
            )
        )  # fmt: skip

    def _publish(self, message: Publish | Relay) -> None:
        try:
            self.broker.take(self, message)
        except RemoteProtocolError:
            raise
        except SylviteError as error:
            self.refuse("publish", message.ref, error)

    def _subscribe(self, message: Subscribe) -> None:
        try:
            if message.subscription in self.subscriptions:
                raise RemoteProtocolError(f"subscription {message.subscription} exists already")
            limit = self.broker.settings.limits.subscriptions_per_connection
            if len(self.subscriptions) >= limit:
                raise Overloaded(f"one connection may have {limit} subscriptions; use another one or wider patterns")
            self.broker.readers.subscribe(self, message)
        except RemoteProtocolError:
            raise
        except SylviteError as error:
            self.refuse("subscribe", message.subscription, error)

    def _unsubscribe(self, message: Unsubscribe) -> None:
        subscription = self.subscriptions.pop(message.subscription, None)
        if subscription is not None:
            self.broker.readers.unsubscribe(subscription)

    def _credit(self, message: Credit) -> None:
        subscription = self.subscriptions.get(message.subscription)
        if subscription is not None:
            # Without a limit: it is the socket that bounds what a reader holds of our memory.
            subscription.credit += max(message.bytes, 0)
            self.broker.readers.maybe_behind(subscription)

    def _advance(self, message: Advance) -> None:
        subscription = self.subscriptions.get(message.subscription)
        if subscription is not None:
            self.broker.readers.advance(subscription, message.offset)

    def _ask(self, message: Ask) -> None:
        try:
            result = self.broker.answer(self, message.verb, message.arguments)
        except SylviteError as error:
            self.refuse("ask", message.ask, error)
        else:
            self.send(Answer(message.ask, result))

    def _replicated(self, message: Replicated) -> None:
        if not self.peer.is_owner:
            raise RemoteProtocolError("only the user that runs the broker says what is replicated")
        self.broker.replicated(message)

    def _ping(self, message: Ping) -> None:
        self.send(Pong(message.number))

    def _pong(self, message: Pong) -> None:
        del message  # It has shown that it lives; nothing waits for the number.

    def _bye(self, message: Bye) -> None:
        del message
        self.close()

    _handlers: ClassVar[Mapping[type[Message], Callable[..., None]]] = {
        Hello: _hello, Publish: _publish, Relay: _publish, Replicated: _replicated, Subscribe: _subscribe, Unsubscribe: _unsubscribe, Credit: _credit,
        Advance: _advance, Ask: _ask, Ping: _ping, Pong: _pong, Bye: _bye,
    }  # fmt: skip

    # -- Out -------------------------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        if not self.closing:
            self._answers_wait = True
            self.send_parts(self._session.send(message))

    def send_parts(self, *parts: bytes) -> None:
        """Say something whose bytes are made already; it leaves with the next flush."""
        if not self._waiting:
            self.broker.has_output(self)
        self._waiting.extend(parts)
        self._waiting_size += sum(map(len, parts))

    def refuse(self, what: str, ref: int, error: SylviteError) -> None:
        if not self.closing and self._session.saying is not State.CLOSED:
            self.send(Refuse(what, ref, error.code, str(error), facts_of(error)))

    def flush(self) -> None:
        parts, self._waiting, self._waiting_size = self._waiting, [], 0
        self._answers_wait = False
        if parts:
            self._outlet.write(parts)
        if self._stalled and not self._outlet.is_full:
            self._wake()
        if "answers" in self._held_for and self._outlet.waiting_bytes() < self.broker.settings.limits.answer_bytes // 2:
            self.release("answers")

    def hold(self, reason: str) -> None:
        """Do not listen to the peer until `release` was called for each reason."""
        if not self._held_for:
            self._outlet.pause()
        self._held_for.add(reason)

    def release(self, reason: str) -> None:
        self._held_for.discard(reason)
        if not self._held_for and not self.closing:
            self._outlet.resume()
            self.broker.listen_soon(self)

    def drained(self) -> None:
        """The socket has taken what was waiting: subscriptions that were behind may go on."""
        if "answers" in self._held_for:
            self.release("answers")
        self._wake()

    def _wake(self) -> None:
        self._stalled = False
        for subscription in self.subscriptions.values():
            self.broker.readers.maybe_behind(subscription)

    def close(self, goodbye: str | None = None) -> None:
        """Say goodbye if asked to, and close once everything said has left."""
        if self.closing:
            return
        if goodbye is not None and self._session.saying is State.READY:
            self.send(Bye(goodbye))
        self.closing = True
        self.flush()
        self._outlet.close()

    def lost(self) -> None:
        """The socket is gone."""
        self.closing = True
        self._waiting.clear()
        for subscription in self.subscriptions.values():
            self.broker.readers.unsubscribe(subscription)
        self.subscriptions.clear()
        self.broker.leave(self)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
