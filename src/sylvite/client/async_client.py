"""AsyncClient: the asyncio shell.  Same names, same order as `Client`; no thread, no loop of its own.

async with AsyncClient.connect() as bus:
    await bus.publish("myco/deploy/done", {"version": "1.4.2"})
    async with await bus.subscribe("myco/", since="2h") as events:
        async for event in events:
            print(event.tag, event.data)
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from sylvite.client.address import AnyPath, default_socket
from sylvite.client.async_connection import AsyncConnection
from sylvite.client.async_publisher import AsyncPublisher
from sylvite.client.async_subscription import AsyncSubscription
from sylvite.client.batches import AsyncBatches, Brought, Relayed
from sylvite.client.core import CREDIT_BYTES, ClientCore, new_source_epoch
from sylvite.client.feed import Feed
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
from sylvite.client.sync_client import ANSWER_S
from sylvite.client.sync_connection import GREETING_S
from sylvite.client.ticket import Published, Ticket
from sylvite.core.event import Event, Gap
from sylvite.core.level import Level
from sylvite.core.pattern import Filter
from sylvite.errors import AckUnknown, ConnectionLost, NoSuchOffset, SylviteError, WaitTimeout
from sylvite.wire.messages import Start, Welcome


class _Connecting(Awaitable["AsyncClient"]):
    """What `AsyncClient.connect` returns: await it, or enter it."""

    def __init__(self, connect: Callable[[], Awaitable[AsyncClient]]) -> None:
        self._connect = connect
        self._client: AsyncClient | None = None

    def __await__(self) -> Generator[Any, None, AsyncClient]:
        return self._connect().__await__()

    async def __aenter__(self) -> AsyncClient:
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client is not None
        await self._client.close()


class AsyncClient:
    """A connection to a broker, made by `AsyncClient.connect`.  It reconnects and resumes by itself."""

    def __init__(self, connection: AsyncConnection) -> None:
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
    ) -> _Connecting:
        """As `Client.connect`; `await` it, or use it with `async with`."""
        where = os.fspath(path) if path is not None else default_socket()

        async def connected() -> AsyncClient:
            core = ClientCore(new_source_epoch(), name=name or f"pid:{os.getpid()}")
            connection = AsyncConnection(where, core, reconnect_s)
            await connection.open(timeout_s)
            return cls(connection)

        return _Connecting(connected)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def welcome(self) -> Welcome:
        """As `Client.welcome`."""
        if self._core.welcome is None:
            raise ConnectionLost("there is no connection at the moment")
        return self._core.welcome

    @property
    def dropped(self) -> int:
        """As `Client.dropped`."""
        return self._core.dropped

    async def close(self) -> None:
        """Say goodbye.  What was published and is not acknowledged is not waited for."""
        await self._connection.close()

    # -- Publish -----------------------------------------------------------------------------------------------------

    async def publish(
        self,
        tag: str,
        data: Mapping[str, Any] | None = None,
        *,
        level: Level | str | None = None,
        cause: Event | int | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Published:
        """As `Client.publish`."""
        ticket = new_ticket(self._core, tag, data, level, cause)
        deadline = time.monotonic() + timeout_s
        await self._connection.ensure_open(deadline)
        return await self._publish(ticket, deadline)

    async def retry(self, error: AckUnknown, *, timeout_s: float = ANSWER_S) -> Published:
        """As `Client.retry`."""
        ticket = read_ticket(self._core, error, error.ticket)
        deadline = time.monotonic() + timeout_s
        await self._connection.ensure_open(deadline)
        return await self._publish(ticket, deadline)

    async def relay(
        self, sender: str, source_epoch: int, seq: int, block: bytes, count: int,
        *, level: Level | None = Level.SYNCED, timeout_s: float = ANSWER_S,
    ) -> Published:  # fmt: skip
        """As `Client.relay`."""
        ticket = self._core.relayed(block, count, sender, source_epoch, seq, level=level)
        deadline = time.monotonic() + timeout_s
        await self._connection.ensure_open(deadline)
        return await self._publish(ticket, deadline)

    async def relay_many(
        self, sender: str, source_epoch: int, blocks: Sequence[Relayed], *, timeout_s: float = ANSWER_S
    ) -> list[SylviteError | None]:
        """As `relay`, for blocks of one source in their order.

        They are on their way together, and one call waits for all: thousands of calls would wake each other.  Returns
        what each was refused with, None where it is synced; AckUnknown where no answer came.

        Raises:
            ConnectionLost: nothing was sent.
        """
        tickets = [
            self._core.relayed(block, count, sender, source_epoch, seq, passage)
            for seq, block, count, passage in blocks
        ]  # fmt: skip
        return await self._bring(tickets, time.monotonic() + timeout_s)

    async def relay_all(self, blocks: Sequence[Brought], *, timeout_s: float = ANSWER_S) -> list[SylviteError | None]:
        """As `relay_many`, for blocks of many sources, in the order in which they are to be stored."""
        tickets = [
            self._core.relayed(each.block, each.count, each.sender, each.source_epoch, each.seq, each.passage)
            for each in blocks
        ]
        return await self._bring(tickets, time.monotonic() + timeout_s)

    async def _bring(self, tickets: list[Ticket], deadline: float) -> list[SylviteError | None]:
        connection, core = self._connection, self._core
        await connection.ensure_open(deadline)
        open_ = tickets[::-1]

        def are_answered() -> bool:
            while open_ and open_[-1].is_answered():
                open_.pop()
            return not open_

        try:
            for ticket in tickets:
                await connection.until(connection.is_sent, deadline)
                core.publish(ticket)
                connection.send()
            await connection.until(are_answered, deadline)
        except (TimeoutError, SylviteError) as error:
            return [ticket.error if ticket.is_answered() else ticket.unknown(error) for ticket in tickets]
        finally:
            for ticket in tickets:
                core.forget(ticket)
        return [ticket.error for ticket in tickets]

    def say_replicated(self, epoch: int, offset: int) -> None:
        """Say that the cluster has what the log, of this epoch, has below `offset`.  Lost with the connection: say it again."""
        self._core.replicated(epoch, offset)
        self._connection.send()

    async def _publish(self, ticket: Ticket, deadline: float) -> Published:
        connection = self._connection
        try:
            # What was said before leaves first: so a broker that does not read fills its socket, not our memory.
            await connection.until(connection.is_sent, deadline)
            self._core.publish(ticket)
            connection.send()
            await connection.until(ticket.is_answered, deadline)
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
    ) -> AsyncPublisher:
        """As `Client.publisher`."""
        outgoing = Outgoing(self._core, read_level(level), window_bytes=window_bytes, batch_bytes=batch_bytes)
        return AsyncPublisher(self._connection, outgoing, timeout_s)

    async def publish_many(
        self,
        events: Iterable[tuple[str, Mapping[str, Any]]] | AsyncIterable[tuple[str, Mapping[str, Any]]],
        *,
        level: Level | str | None = None,
        timeout_s: float = 60.0,
    ) -> int:
        """As `Client.publish_many`; takes asynchronous iterables too."""
        async with self.publisher(level=level, timeout_s=timeout_s) as publisher:
            if isinstance(events, AsyncIterable):
                async for tag, data in events:
                    await publisher.publish(tag, data)
            else:
                for tag, data in events:
                    await publisher.publish(tag, data)
        return publisher.acknowledged

    # -- Subscribe ---------------------------------------------------------------------------------------------------

    async def subscribe(
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
    ) -> AsyncSubscription:
        """As `Client.subscribe`."""
        filter_ = read_filter(
            patterns, where=where, exclude=exclude, startswith=startswith, endswith=endswith, find=find, regex=regex,
            fnmatch=fnmatch, exact=exact,
        )  # fmt: skip
        start = read_start(since, time.time_ns(), cursor=cursor is not None)
        check_options(ack, credit_bytes)
        feed = await self._stand(
            filter_, start, timeout_s, cursor=cursor or "", synced=synced, credit_bytes=credit_bytes
        )
        incoming = Incoming(self._core, feed, self._connection.send, ack=ack, on_gap=on_gap, until_end=until_end)
        return AsyncSubscription(self._connection, incoming)

    async def read_batches(
        self, cursor: str = "", *, since: int | None = None, timeout_s: float = ANSWER_S
    ) -> AsyncBatches:
        """Return all that is in the log and what comes, undecoded, in whole batches, from where a durable cursor is.

        At first it is at the oldest event.  `since`: an offset; the cursor is moved there.
        """
        start = Start("cursor", 1) if since is None else Start("offset", since)
        return AsyncBatches(self._connection, await self._stand(Filter(), start, timeout_s, cursor=cursor, synced=True))

    async def _stand(
        self,
        wanted: Filter,
        start: Start,
        timeout_s: float,
        *,
        cursor: str,
        synced: bool,
        credit_bytes: int = CREDIT_BYTES,
    ) -> Feed:
        """Return what is subscribed to, once the broker has said that it stands."""
        deadline = time.monotonic() + timeout_s
        await self._connection.ensure_open(deadline)
        feed = self._core.subscribe(wanted, start, cursor=cursor, synced=synced, credit_bytes=credit_bytes)
        self._connection.send()
        is_ours = False
        try:
            await self._connection.until(feed.is_answered, deadline)
            is_ours = feed.stands
        except TimeoutError:
            raise WaitTimeout("the broker has not answered in time") from None
        finally:
            # Also where it stands by now, and whoever wanted it was cancelled meanwhile: a cursor would be held for ever.
            if not is_ours:
                self._core.unsubscribe(feed)
                self._connection.send()
        if feed.error is not None:
            raise feed.error
        return feed

    async def next_of(
        self, subscriptions: Sequence[AsyncSubscription], timeout_s: float | None = None
    ) -> tuple[AsyncSubscription, Event] | None:
        """As `Client.next_of`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            for subscription in subscriptions:
                if (event := await subscription.next(0.0) if subscription.has_more() else None) is not None:
                    return subscription, event
            if all(subscription.ended for subscription in subscriptions):
                return None
            try:
                await self._connection.until(
                    lambda: any(each.has_more() for each in subscriptions if not each.ended), deadline
                )
            except TimeoutError:
                return None

    async def wait(
        self,
        *patterns: str,
        timeout_s: float | None = None,
        where: str | None = None,
        exclude: Patterns = (),
        since: Since = None,
    ) -> Event:
        """As `Client.wait`."""
        answer_s = ANSWER_S if timeout_s is None else min(timeout_s, ANSWER_S)
        async with await self.subscribe(
            *patterns, where=where, exclude=exclude, since=since, timeout_s=answer_s
        ) as subscription:  # fmt: skip
            event = await subscription.next(timeout_s)
        if event is None:
            raise WaitTimeout(f"no event within {timeout_s:g} s")
        return event

    async def get(self, offset: int, *, timeout_s: float = ANSWER_S) -> Event:
        """As `Client.get`."""
        async with await self.subscribe(
            since=int(offset), on_gap=raise_gone, until_end=True, timeout_s=timeout_s
        ) as subscription:  # fmt: skip
            event = await subscription.next(timeout_s)
            if event is None and not subscription.ended:
                raise WaitTimeout("the broker has not answered in time")
            if event is None or event.offset != offset:
                raise NoSuchOffset(offset, subscription.end)
            return event

    async def request(
        self, tag: str, data: Mapping[str, Any] | None = None, *, reply: str, timeout_s: float = ANSWER_S
    ) -> Event:
        """As `Client.request`."""
        deadline = time.monotonic() + timeout_s
        async with await self.subscribe(reply, timeout_s=timeout_s) as subscription:
            asked = (await self.publish(tag, data, timeout_s=max(deadline - time.monotonic(), 0.0))).offset
            while (event := await subscription.next(max(deadline - time.monotonic(), 0.0))) is not None:
                if event.cause == asked:
                    return event
        raise WaitTimeout(f"no answer to @{asked} within {timeout_s:g} s")

    async def ask(self, verb: str, *, timeout_s: float = ANSWER_S, **arguments: Any) -> dict[str, Any]:
        """As `Client.ask`."""
        deadline = time.monotonic() + timeout_s
        await self._connection.ensure_open(deadline)
        question = self._core.ask(verb, arguments)
        self._connection.send()
        try:
            await self._connection.until(question.is_answered, deadline)
        except TimeoutError:
            raise WaitTimeout("the broker has not answered in time") from None
        finally:
            self._core.drop_question(question)
        return question.answer()
