"""Client: the blocking shell.  No thread, no event loop; one client belongs to one thread.

with Client.connect() as bus:
    bus.publish("myco/deploy/done", {"version": "1.4.2"})
    for event in bus.subscribe("myco/", since="2h"):
        print(event.tag, event.data)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from sylvite.client.address import AnyPath, default_socket
from sylvite.client.core import CREDIT_BYTES, ClientCore, new_source_epoch
from sylvite.client.publisher import BATCH_BYTES, WINDOW_BYTES, Outgoing, new_ticket, read_level, read_ticket
from sylvite.client.start import Since, read_start
from sylvite.client.subscription import (
    AckMode,
    Incoming,
    Patterns,
    check_options,
    raise_gone,
    read_filter,
)
from sylvite.client.sync_connection import GREETING_S, SyncConnection
from sylvite.client.sync_publisher import Publisher
from sylvite.client.sync_subscription import Subscription
from sylvite.client.ticket import Published, Ticket
from sylvite.core.event import Event, Gap
from sylvite.core.level import Level
from sylvite.errors import AckUnknown, ConnectionLost, NoSuchOffset, SylviteError, WaitTimeout
from sylvite.wire.messages import Welcome

ANSWER_S = 10.0
"""How long an answer is waited for, unless the caller says otherwise."""


class Client:
    """A connection to a broker, made by `Client.connect`.  It reconnects and resumes by itself."""

    def __init__(self, connection: SyncConnection) -> None:
        self._connection = connection
        self._core = connection.core

    @classmethod
    def connect(
        cls,
        path: AnyPath | None = None,
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
        where = os.fspath(path) if path is not None else default_socket()
        connection = SyncConnection(
            where, ClientCore(new_source_epoch(), name=name or f"pid:{os.getpid()}"), reconnect_s
        )
        connection.open(time.monotonic() + timeout_s)
        return cls(connection)

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

    @property
    def dropped(self) -> int:
        """How many events that were published at level none the broker has said it refused, as far as was heard."""
        return self._core.dropped

    def close(self) -> None:
        """Say goodbye.  What was published and is not acknowledged is not waited for."""
        self._connection.close()

    def abandon(self) -> None:
        """Let go of the connection without a word: for the child of a fork, whose parent goes on with it."""
        self._connection.abandon()

    # -- Publish -----------------------------------------------------------------------------------------------------

    def publish(
        self,
        tag: str,
        data: Mapping[str, Any] | None = None,
        *,
        level: Level | str | None = None,
        cause: Event | int | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Published:
        """Publish one event; return where it is and what it survives.

        `level`: none, written or synced; None leaves it to the broker's policy (synced, unless it says otherwise).
        `cause`: the event that this one answers.

        Raises:
            InvalidTag, InvalidData, EventTooBig: before anything is sent.
            NotAllowed, DiskFull, ...: the broker refused; the event is not in the log.
            AckUnknown: it may be in the log, or not; `retry` finds out without a double.
        """
        ticket = new_ticket(self._core, tag, data, level, cause)
        deadline = time.monotonic() + timeout_s
        self._connection.ensure_open(deadline)
        return self._publish(ticket, deadline)

    def retry(self, error: AckUnknown, *, timeout_s: float = ANSWER_S) -> Published:
        """Publish once more what `publish` got no certain answer for; the broker does not take it twice.

        Raises:
            InvalidData: the error is of another client, or of a `Publisher`, which tries again by itself.
            SylviteError: as `publish`.
        """
        ticket = read_ticket(self._core, error, error.ticket)
        deadline = time.monotonic() + timeout_s
        self._connection.ensure_open(deadline)
        return self._publish(ticket, deadline)

    def relay(
        self, sender: str, source_epoch: int, seq: int, block: bytes, count: int,
        *, level: Level | None = Level.SYNCED, timeout_s: float = ANSWER_S,
    ) -> Published:  # fmt: skip
        """Publish a block of somebody else: `sender`, `source_epoch` and `seq` are of whom it comes from.  `level`: None: as the policy says.

        Saying it again is safe, from whichever client.  Only the user that runs the broker may.

        Raises:
            NotAllowed, InvalidInput, ...: the broker refused.  AckUnknown: it may be in the log, or not.
        """
        ticket = self._core.relayed(block, count, sender, source_epoch, seq, level=level)
        deadline = time.monotonic() + timeout_s
        self._connection.ensure_open(deadline)
        return self._publish(ticket, deadline)

    def _publish(self, ticket: Ticket, deadline: float) -> Published:
        connection = self._connection
        try:
            # What was said before leaves first: so a broker that does not read fills its socket, not our memory.
            connection.until(connection.is_sent, deadline)
            self._core.publish(ticket)
            connection.send()
            connection.until(lambda: ticket.is_answered() and connection.is_sent(), deadline)
        except (TimeoutError, SylviteError) as error:
            raise ticket.unknown(error) from error
        finally:
            self._core.forget(ticket)
        return ticket.result()

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
        return Publisher(self._connection, outgoing, timeout_s)

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
        startswith: Patterns = (),
        endswith: Patterns = (),
        find: Patterns = (),
        regex: Patterns = (),
        fnmatch: Patterns = (),
        exact: Patterns = (),
        since: Since = None,
        until_end: bool = False,
        cursor: str | None = None,
        ack: AckMode = "auto",
        synced: bool = False,
        on_gap: Callable[[Gap], None] | None = None,
        credit_bytes: int = CREDIT_BYTES,
        timeout_s: float = ANSWER_S,
    ) -> Subscription:
        """Return a subscription that stands: what is published from now on will be on it.

        `patterns`: tags that begin so; with `*`, `?` or `[` shell patterns.  `startswith` to `exact`: other ways to
        match, each a text or several; an event is wanted if any of them fits, and none of `exclude`.  `where`: a
        condition, such as `data.retcode != 0`.  `since`: see client/start.py; the default is from now on.
        `until_end`: end with what is there now.  `cursor`: let the broker remember, under this name, what is done;
        `ack="manual"` says it with `Subscription.ack`, else an event is done when the next one is asked for.
        `synced`: only what a power cut cannot undo.  `on_gap`: who takes gaps; without it a gap is raised as
        EventsMissed, after which iteration can go on.  `credit_bytes`: how much may wait here undecoded.

        Raises:
            InvalidPattern, InvalidExpression, InvalidSetting; NoSuchOffset, CursorInUse, NotAllowed.
        """
        filter_ = read_filter(
            patterns, where=where, exclude=exclude, startswith=startswith, endswith=endswith, find=find, regex=regex,
            fnmatch=fnmatch, exact=exact,
        )  # fmt: skip
        start = read_start(since, time.time_ns(), cursor=cursor is not None)
        check_options(ack, credit_bytes)
        deadline = time.monotonic() + timeout_s
        self._connection.ensure_open(deadline)
        feed = self._core.subscribe(filter_, start, cursor=cursor or "", synced=synced, credit_bytes=credit_bytes)
        self._connection.send()
        try:
            self._connection.until(feed.is_answered, deadline)
        except TimeoutError:
            raise WaitTimeout("the broker has not answered in time") from None
        finally:
            if not feed.stands:
                self._core.unsubscribe(feed)
        if feed.error is not None:
            raise feed.error
        incoming = Incoming(self._core, feed, self._connection.send, ack=ack, on_gap=on_gap, until_end=until_end)
        return Subscription(self._connection, incoming)

    def next_of(
        self, subscriptions: Sequence[Subscription], timeout_s: float | None = None
    ) -> tuple[Subscription, Event] | None:
        """Return the next event of any of several subscriptions of this client, and which; None if there is none in time.

        None too where all of them have ended.  Raises: as `Subscription.next`.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            for subscription in subscriptions:
                if (event := subscription.next(0.0) if subscription.has_more() else None) is not None:
                    return subscription, event
            if all(subscription.ended for subscription in subscriptions):
                return None
            try:
                self._connection.until(
                    lambda: any(each.has_more() for each in subscriptions if not each.ended), deadline
                )
            except TimeoutError:
                return None

    def wait(
        self,
        *patterns: str,
        timeout_s: float | None = None,
        where: str | None = None,
        exclude: Patterns = (),
        since: Since = None,
    ) -> Event:
        """Return the first event that fits.  Raises WaitTimeout, and what `subscribe` raises."""
        answer_s = ANSWER_S if timeout_s is None else min(timeout_s, ANSWER_S)
        with self.subscribe(
            *patterns, where=where, exclude=exclude, since=since, timeout_s=answer_s
        ) as subscription:  # fmt: skip
            event = subscription.next(timeout_s)
        if event is None:
            raise WaitTimeout(f"no event within {timeout_s:g} s")
        return event

    def get(self, offset: int, *, timeout_s: float = ANSWER_S) -> Event:
        """Return the event at an offset.

        Raises:
            NoSuchOffset: it is not written yet, or may not be seen.  OffsetGone: retention has dropped it.
        """
        with self.subscribe(
            since=int(offset), on_gap=raise_gone, until_end=True, timeout_s=timeout_s
        ) as subscription:  # fmt: skip
            event = subscription.next(timeout_s)
            if event is None and not subscription.ended:
                raise WaitTimeout("the broker has not answered in time")
            if event is None or event.offset != offset:
                raise NoSuchOffset(offset, subscription.end)
            return event

    def request(
        self, tag: str, data: Mapping[str, Any] | None = None, *, reply: str, timeout_s: float = ANSWER_S
    ) -> Event:
        """Publish an event and return the first one that names it as its cause.  `reply`: a pattern for its tag.

        Raises:
            WaitTimeout: nobody answered; and what `publish` and `subscribe` raise.
        """
        deadline = time.monotonic() + timeout_s
        with self.subscribe(reply, timeout_s=timeout_s) as subscription:
            asked = self.publish(tag, data, timeout_s=max(deadline - time.monotonic(), 0.0)).offset
            while (event := subscription.next(max(deadline - time.monotonic(), 0.0))) is not None:
                if event.cause == asked:
                    return event
        raise WaitTimeout(f"no answer to @{asked} within {timeout_s:g} s")

    def ask(self, verb: str, *, timeout_s: float = ANSWER_S, **arguments: Any) -> dict[str, Any]:
        """Ask the broker one of the verbs in docs/protocol.md.  Raises SylviteError, WaitTimeout."""
        deadline = time.monotonic() + timeout_s
        self._connection.ensure_open(deadline)
        question = self._core.ask(verb, arguments)
        self._connection.send()
        try:
            self._connection.until(question.is_answered, deadline)
        except TimeoutError:
            raise WaitTimeout("the broker has not answered in time") from None
        finally:
            self._core.drop_question(question)
        return question.answer()
