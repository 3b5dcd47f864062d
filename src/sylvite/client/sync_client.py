"""Client: the blocking shell.  No thread, no event loop; one client belongs to one thread.

with Client.connect() as bus:
    bus.publish("myco/deploy/done", {"version": "1.4.2"})
    for event in bus.subscribe("myco/", since="2h"):
        print(event.tag, event.data)
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from sylvite.client.address import default_socket, is_tcp, read_tcp
from sylvite.client.core import CREDIT_BYTES, ClientCore, Published, Ticket
from sylvite.client.publisher import BATCH_BYTES, WINDOW_BYTES, Outgoing, read_cause, read_level
from sylvite.client.retry import first_wait_s
from sylvite.client.start import Since, read_start
from sylvite.client.subscription import AckMode, Incoming, Patterns, read_filter
from sylvite.core.batch import BlockBuilder
from sylvite.core.event import Event, Gap, Position, pack_data
from sylvite.core.level import Level
from sylvite.core.tag import check_tag
from sylvite.errors import (
    AckTimeout,
    AckUnknown,
    BrokerNotReachable,
    ConnectionLost,
    InvalidData,
    NoSuchOffset,
    OffsetGone,
    ProtocolError,
    SylviteError,
    WaitTimeout,
)
from sylvite.wire.messages import Start, Welcome

RECEIVE_BYTES = 256 * 1024
GREETING_S = 10.0


class Client:
    """A connection to a broker, made by `Client.connect`.  It reconnects and resumes by itself."""

    def __init__(self, path: Path, core: ClientCore, reconnect_s: float | None) -> None:
        self._path = path
        self._core = core
        self._reconnect_s = reconnect_s
        self._socket: socket.socket | None = None
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._closed = False

    @classmethod
    def connect(
        cls,
        path: str | Path | None = None,
        *,
        timeout_s: float = GREETING_S,
        reconnect_s: float | None = None,
        name: str = "",
    ) -> Client:
        """Return a client that is connected.

        `path`: of the broker's socket; without it `$SYLVITE_SOCKET`, then the usual places.  `reconnect_s`: how long to
        try after a loss, None for ever.  `name`: what `sylvite status` shows.

        Raises:
            BrokerNotReachable, NotAllowed, NotAuthenticated: at once, without trying again.
        """
        where = Path(path) if path is not None else default_socket()
        core = ClientCore(int.from_bytes(os.urandom(8), "little") >> 1, name=name or f"pid:{os.getpid()}")
        client = cls(where, core, reconnect_s)
        client._open(time.monotonic() + timeout_s)
        return client

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def welcome(self) -> Welcome:
        """What the broker said at the latest connection: log id, epoch, end, who it takes us for."""
        if self._core.welcome is None:
            raise ConnectionLost("there is no connection at the moment")
        return self._core.welcome

    def close(self) -> None:
        """Say goodbye.  What was published and is not acknowledged is not waited for."""
        if self._closed:
            return
        self._closed = True
        if self._socket is not None:
            self._core.say_goodbye()
            try:
                self._socket.sendall(b"".join(self._core.take_bytes()))
            except OSError:
                pass  # Gone already: then there is nobody to say goodbye to.
            self._socket.close()
            self._socket = None

    # -- Publish -----------------------------------------------------------------------------------------------------

    def publish(
        self,
        tag: str,
        data: Mapping[str, Any] | None = None,
        *,
        level: Level | str | None = None,
        cause: Event | int | None = None,
        timeout_s: float = 10.0,
    ) -> Published:
        """Publish one event; return where it is and what it survives.

        `level`: none, written or synced; None leaves it to the broker's policy (synced, unless it says otherwise).
        `cause`: the event that this one answers.

        Raises:
            InvalidTag, InvalidData, EventTooBig: before anything is sent.
            NotAllowed, DiskFull, ...: the broker refused; the event is not in the log.
            AckUnknown: it may be in the log, or not; `retry` finds out without a double.
        """
        builder = BlockBuilder()
        builder.add(check_tag(tag), pack_data(checked_data(data)), *read_cause(cause))
        wanted = read_level(level)
        deadline = time.monotonic() + timeout_s
        self._ensure_open(deadline)
        block, count = builder.take()
        ticket = self._core.publish(block, count, wanted)
        self._send()
        return self._answer_to(ticket, deadline)

    def retry(self, error: AckUnknown, *, timeout_s: float = 10.0) -> Published:
        """Publish once more what `publish` got no certain answer for; the broker does not take it twice.

        Raises: as `publish`.
        """
        ticket = error.ticket
        if not isinstance(ticket, Ticket):
            raise InvalidData("this error does not come from publish()") from error
        deadline = time.monotonic() + timeout_s
        self._ensure_open(deadline)
        self._core.publish_again(ticket)
        self._send()
        return self._answer_to(ticket, deadline)

    def _answer_to(self, ticket: Ticket, deadline: float) -> Published:
        while ticket.is_open:
            try:
                self._receive(deadline)
            except TimeoutError:
                self._core.forget(ticket)
                unknown = AckTimeout("the broker has not answered in time: the event may be in the log, or not")
                unknown.ticket = ticket
                raise unknown from None
        if ticket.error is not None:
            if isinstance(ticket.error, AckUnknown):
                ticket.error.ticket = ticket
            raise ticket.error
        assert ticket.published is not None
        return ticket.published

    def publisher(
        self,
        *,
        level: Level | str | None = None,
        window_bytes: int = WINDOW_BYTES,
        batch_bytes: int = BATCH_BYTES,
        timeout_s: float = 60.0,
    ) -> Publisher:
        """Return a publisher for many events: they leave in batches, and answers are not waited for one by one."""
        outgoing = Outgoing(self._core, read_level(level), window_bytes=window_bytes, batch_bytes=batch_bytes)
        return Publisher(self, outgoing, timeout_s)

    def publish_many(
        self,
        events: Iterable[tuple[str, Mapping[str, Any]]],
        *,
        level: Level | str | None = None,
        timeout_s: float = 60.0,
    ) -> int:
        """Publish events in order; return how many, once all are acknowledged.  Raises: as `Publisher.flush`."""
        with self.publisher(level=level, timeout_s=timeout_s) as publisher:
            for tag, data in events:
                publisher.publish(tag, data)
        return publisher.acknowledged

    # -- Subscribe ---------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        *patterns: str,
        where: str | None = None,
        exclude: Patterns = (),
        since: Since = None,
        until_end: bool = False,
        cursor: str | None = None,
        ack: AckMode = "auto",
        synced: bool = False,
        on_gap: Callable[[Gap], None] | None = None,
        credit_bytes: int = CREDIT_BYTES,
        timeout_s: float = 10.0,
        **match: Patterns,
    ) -> Subscription:
        """Return a subscription that stands: what is published from now on will be on it.

        `patterns`: tags that begin so; with `*`, `?` or `[` shell patterns.  `match`: `startswith`, `endswith`,
        `find`, `regex`, `fnmatch`, `exact`, each a text or several.  `where`: a condition, such as
        `data.retcode != 0`.  `since`: see client/start.py; the default is from now on.  `until_end`: end with what is
        there now.  `cursor`: let the broker remember, under this name, what is done; `ack="manual"` says it with
        `Subscription.ack`, else an event is done when the next one is asked for.  `on_gap`: who takes gaps; without
        it a gap is raised as EventsMissed, after which iteration can go on.

        Raises:
            InvalidPattern, InvalidExpression, InvalidSetting; NoSuchOffset, CursorInUse, NotAllowed.
        """
        filter_ = read_filter(patterns, where, exclude, match)
        start = read_start(since, time.time_ns())
        if cursor is not None and start.at in ("newest", "oldest"):
            start = Start("cursor", 1 if start.at == "oldest" else 0)
        deadline = time.monotonic() + timeout_s
        self._ensure_open(deadline)
        feed = self._core.subscribe(filter_, start, cursor=cursor or "", synced=synced, credit_bytes=credit_bytes)
        self._send()
        while not feed.stands and feed.error is None:
            try:
                self._receive(deadline)
            except TimeoutError:
                self._core.unsubscribe(feed)
                raise WaitTimeout("the broker has not answered in time") from None
        if feed.error is not None:
            raise feed.error
        return Subscription(self, Incoming(self._core, feed, self._send, ack=ack, on_gap=on_gap, until_end=until_end))

    def wait(
        self,
        *patterns: str,
        timeout_s: float | None = None,
        where: str | None = None,
        since: Since = None,
        **match: Patterns,
    ) -> Event:
        """Return the first event that fits.  Raises WaitTimeout, and what `subscribe` raises."""
        with self.subscribe(*patterns, where=where, since=since, **match) as subscription:
            event = subscription.next(timeout_s)
        if event is None:
            raise WaitTimeout(f"no event within {timeout_s:g} s")
        return event

    def get(self, offset: int, *, timeout_s: float = 10.0) -> Event:
        """Return the event at an offset.

        Raises:
            NoSuchOffset: it is not written yet, or may not be seen.  OffsetGone: retention has dropped it.
        """
        with self.subscribe(since=int(offset), on_gap=raise_gone, until_end=True) as subscription:
            event = subscription.next(timeout_s)
            if event is None or event.offset != offset:
                raise NoSuchOffset(offset, subscription.end)
            return event

    def request(self, tag: str, data: Mapping[str, Any] | None = None, *, reply: str, timeout_s: float = 10.0) -> Event:
        """Publish an event and return the first one that names it as its cause.  `reply`: a pattern for its tag.

        Raises:
            WaitTimeout: nobody answered; and what `publish` and `subscribe` raise.
        """
        deadline = time.monotonic() + timeout_s
        with self.subscribe(reply) as subscription:
            asked = self.publish(tag, data, timeout_s=timeout_s).offset
            while (event := subscription.next(max(deadline - time.monotonic(), 0.0))) is not None:
                if event.cause == asked:
                    return event
        raise WaitTimeout(f"no answer to @{asked} within {timeout_s:g} s")

    def ask(self, verb: str, *, timeout_s: float = 10.0, **arguments: Any) -> dict[str, Any]:
        """Ask the broker one of the verbs in docs/protocol.md.  Raises SylviteError, WaitTimeout."""
        deadline = time.monotonic() + timeout_s
        self._ensure_open(deadline)
        question = self._core.ask(verb, arguments)
        self._send()
        while question.result is None and question.error is None:
            try:
                self._receive(deadline)
            except TimeoutError:
                raise WaitTimeout("the broker has not answered in time") from None
        if question.error is not None:
            raise question.error
        assert question.result is not None
        return question.result

    # -- The socket --------------------------------------------------------------------------------------------------

    def _open(self, deadline: float) -> None:
        """Connect and greet.  Raises BrokerNotReachable, or what the broker refuses with."""
        self._close_socket()
        connecting = self._make_socket(deadline)
        self._core.connect()
        self._socket = connecting
        try:
            connecting.sendall(b"".join(self._core.take_bytes()))
            while not self._core.is_ready:
                connecting.settimeout(max(deadline - time.monotonic(), 0.001))
                size = connecting.recv_into(self._buffer)
                if not size:
                    raise ConnectionResetError("it closed the connection")
                self._core.feed(self._buffer[:size])
            connecting.settimeout(None)
            connecting.sendall(b"".join(self._core.take_bytes()))
        except OSError as error:
            self._close_socket()
            raise BrokerNotReachable(str(self._path), os_reason(error)) from error
        except SylviteError:
            self._close_socket()
            raise

    def _make_socket(self, deadline: float) -> socket.socket:
        wait_s = max(deadline - time.monotonic(), 0.001)
        try:
            if is_tcp(self._path):
                address = read_tcp(self._path)
                self._core.token = address.token
                connecting = socket.create_connection((address.host, address.port), wait_s)
                connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connecting
            connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connecting.settimeout(wait_s)
                connecting.connect(str(self._path))
            except OSError:
                connecting.close()
                raise
            return connecting
        except OSError as error:
            raise BrokerNotReachable(str(self._path), os_reason(error)) from error

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ensure_open(self, deadline: float | None) -> None:
        if self._closed:
            raise ConnectionLost("this client is closed")
        if self._socket is None:
            try:
                self._reconnect(deadline)
            except TimeoutError:
                raise ConnectionLost(f"the broker at {self._path} is away; nothing was sent") from None

    def _reconnect(self, deadline: float | None) -> None:
        """Connect again, waiting longer each time.

        Raises:
            TimeoutError: the deadline came first.  ConnectionLost: `reconnect_s` is over.  What the broker refuses with.
        """
        self._close_socket()
        started = time.monotonic()
        attempt = 0
        while True:
            pause_s = first_wait_s(attempt, int.from_bytes(os.urandom(2), "little") / 65536)
            now = time.monotonic()
            if deadline is not None and now + pause_s >= deadline:
                raise TimeoutError
            if self._reconnect_s is not None and now + pause_s - started > self._reconnect_s:
                raise ConnectionLost(f"the broker at {self._path} has been away for {self._reconnect_s:g} s")
            time.sleep(pause_s)
            attempt += 1
            try:
                self._open(min(deadline or now + GREETING_S, now + GREETING_S))
            except ConnectionLost:
                continue
            except SylviteError as error:
                if error.code not in ("overloaded", "shutting_down"):
                    raise
            else:
                return

    def _send(self) -> None:
        """Send what the core has to say.  If the connection is lost, `_receive` notices and everything is said again."""
        parts = self._core.take_bytes()
        if parts and self._socket is not None:
            try:
                self._socket.sendall(parts[0] if len(parts) == 1 else b"".join(parts))
            except OSError:
                self._close_socket()

    def _receive(self, deadline: float | None) -> None:
        """Wait for bytes and give them to the core.  Raises TimeoutError at the deadline, and as `_reconnect`."""
        if self._closed:
            raise ConnectionLost("this client is closed")
        if self._socket is None:
            self._reconnect(deadline)
            return
        try:
            if deadline is None:
                self._socket.settimeout(None)
            else:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                self._socket.settimeout(left_s)
            try:
                size = self._socket.recv_into(self._buffer)
            finally:
                if self._socket is not None and deadline is not None:
                    self._socket.settimeout(None)
            if not size:
                raise ConnectionLost("the broker has closed the connection")
            self._core.feed(self._buffer[:size])
            self._send()
        except TimeoutError:
            raise
        except (ConnectionLost, OSError):
            self._reconnect(deadline)
        except ProtocolError:
            self._close_socket()
            raise


def checked_data(data: object) -> Mapping[str, Any]:
    """Return the map to publish; none is an empty one.  Raises InvalidData."""
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InvalidData(f"data must be a map, not {type(data).__name__}: give it a name, such as {{'value': …}}")
    return cast(Mapping[str, Any], data)


def os_reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return (error.strerror or str(error)).lower()


def raise_gone(gap: Gap) -> None:
    if gap.reason == "retention":
        raise OffsetGone(gap.first, gap.next)
    raise NoSuchOffset(gap.first, gap.next)


class Publisher:
    """Many events, pipelined.  A context manager; leaving it waits until all is acknowledged.

    As with a file, events are collected and leave when a batch is full, at `flush` and at the end.  An event that is
    refused raises at one of the next calls; none is dropped in silence.
    """

    def __init__(self, client: Client, outgoing: Outgoing, timeout_s: float) -> None:
        self._client, self._outgoing, self._timeout_s = client, outgoing, timeout_s
        self._add = outgoing.add

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._outgoing.give_up()

    @property
    def published(self) -> int:
        """Events taken so far."""
        return self._outgoing.published

    @property
    def acknowledged(self) -> int:
        """Events that the broker has acknowledged."""
        return self._outgoing.acknowledged

    def publish(self, tag: str, data: Mapping[str, Any], cause: Event | int | None = None) -> None:
        """Collect an event; send when a batch is full; wait while more than the window is not acknowledged.

        Raises:
            InvalidTag, InvalidData, EventTooBig: this event; it was not taken.
            SylviteError: an earlier one was refused.  AckTimeout: no answer for `timeout_s`.
        """
        if self._add(tag, data, cause):
            self._push()

    def _push(self) -> None:
        client, outgoing = self._client, self._outgoing
        deadline = time.monotonic() + self._timeout_s
        client._ensure_open(deadline)  # pyright: ignore[reportPrivateUsage] - two halves of one shell
        outgoing.send()
        client._send()  # pyright: ignore[reportPrivateUsage]
        outgoing.settle()
        while outgoing.is_over_window:
            self._wait(deadline)

    def _wait(self, deadline: float) -> None:
        try:
            self._client._receive(deadline)  # pyright: ignore[reportPrivateUsage]
        except TimeoutError:
            raise AckTimeout("the broker has not answered in time: events may be in the log, or not") from None
        self._outgoing.settle()

    def flush(self) -> None:
        """Send what is collected and return once all is acknowledged.  Raises: as `publish`."""
        self._push()
        deadline = time.monotonic() + self._timeout_s
        while not self._outgoing.is_settled:
            self._wait(deadline)


class Subscription:
    """Events, one by one: an iterator and a context manager.  Iteration waits for ever, or ends with `until_end`."""

    def __init__(self, client: Client, incoming: Incoming) -> None:
        self._client, self._incoming = client, incoming
        self._take = incoming.take

    def __iter__(self) -> Subscription:
        return self

    def __next__(self) -> Event:
        event = self._take()
        if event is not None:
            return event
        event = self.next(None)
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout_s: float | None = None) -> Event | None:
        """Return the next event; None if there is none in time, or the subscription has ended.

        Raises:
            EventsMissed: a gap, without `on_gap`.  SylviteError: the broker does not let us go on.
        """
        incoming, client = self._incoming, self._client
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            event = incoming.take()
            if event is not None:
                return event
            if incoming.has_ended:
                if incoming.feed.error is not None:
                    raise incoming.feed.error
                return None
            try:
                client._receive(deadline)  # pyright: ignore[reportPrivateUsage]
            except TimeoutError:
                return None

    def ack(self, event: Event) -> None:
        """This event and all before it are done: a new start of this cursor begins behind it."""
        self._incoming.acknowledge(event)

    @property
    def position(self) -> Position | None:
        """Of the event handed out last; `since=` takes it."""
        return self._incoming.position

    @property
    def gaps(self) -> int:
        """How many gaps there were."""
        return self._incoming.gaps

    @property
    def end(self) -> int:
        """The next offset of the log when the subscription was made."""
        return self._incoming.feed.end

    @property
    def ended(self) -> bool:
        return self._incoming.has_ended

    def close(self) -> None:
        self._incoming.finish(clean=True)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._incoming.finish(clean=kind is None)
