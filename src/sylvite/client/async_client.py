"""AsyncClient: the asyncio shell.  Same names, same order as `Client`; no thread, no loop of its own.

async with AsyncClient.connect() as bus:
    await bus.publish("myco/deploy/done", {"version": "1.4.2"})
    async with await bus.subscribe("myco/", since="2h") as events:
        async for event in events:
            print(event.tag, event.data)
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sylvite.client.address import default_socket, is_tcp, read_tcp
from sylvite.client.core import CREDIT_BYTES, ClientCore, Published, Ticket
from sylvite.client.publisher import BATCH_BYTES, WINDOW_BYTES, Outgoing, read_cause, read_level
from sylvite.client.retry import first_wait_s
from sylvite.client.start import Since, read_start
from sylvite.client.subscription import AckMode, Incoming, Patterns, read_filter
from sylvite.client.sync_client import GREETING_S, RECEIVE_BYTES, checked_data, os_reason, raise_gone
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
    SylviteError,
    WaitTimeout,
)
from sylvite.wire.messages import Start, Welcome

T = TypeVar("T")


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

    def __init__(self, path: Path, core: ClientCore, reconnect_s: float | None) -> None:
        self._path = path
        self._core = core
        self._reconnect_s = reconnect_s
        self._writer: asyncio.StreamWriter | None = None
        self._closed = False
        self._failure: SylviteError | None = None
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @classmethod
    def connect(
        cls,
        path: str | Path | None = None,
        *,
        timeout_s: float = GREETING_S,
        reconnect_s: float | None = None,
        name: str = "",
    ) -> _Connecting:
        """As `Client.connect`; `await` it, or use it with `async with`."""
        where = Path(path) if path is not None else default_socket()

        async def connected() -> AsyncClient:
            core = ClientCore(int.from_bytes(os.urandom(8), "little") >> 1, name=name or f"pid:{os.getpid()}")
            client = cls(where, core, reconnect_s)
            try:
                reader = await asyncio.wait_for(client._open(), timeout_s)
            except TimeoutError:
                raise BrokerNotReachable(str(where), "it does not answer") from None
            client._running = asyncio.create_task(client._run(reader), name="sylvite client")
            return client

        return _Connecting(connected)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def welcome(self) -> Welcome:
        """What the broker said at the latest connection."""
        if self._core.welcome is None:
            raise ConnectionLost("there is no connection at the moment")
        return self._core.welcome

    async def close(self) -> None:
        """Say goodbye.  What was published and is not acknowledged is not waited for."""
        if self._closed:
            return
        self._core.say_goodbye()
        self._send()
        self._closed = True
        self._changed.set()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._close_writer()

    # -- Publish -----------------------------------------------------------------------------------------------------

    async def publish(
        self,
        tag: str,
        data: Mapping[str, Any] | None = None,
        *,
        level: Level | str | None = None,
        cause: Event | int | None = None,
        timeout_s: float = 10.0,
    ) -> Published:
        """As `Client.publish`."""
        builder = BlockBuilder()
        builder.add(check_tag(tag), pack_data(checked_data(data)), *read_cause(cause))
        wanted = read_level(level)
        deadline = time.monotonic() + timeout_s
        await self._ensure_open(deadline)
        block, count = builder.take()
        ticket = self._core.publish(block, count, wanted)
        self._send()
        return await self._answer_to(ticket, deadline)

    async def retry(self, error: AckUnknown, *, timeout_s: float = 10.0) -> Published:
        """As `Client.retry`."""
        ticket = error.ticket
        if not isinstance(ticket, Ticket):
            raise InvalidData("this error does not come from publish()") from error
        deadline = time.monotonic() + timeout_s
        await self._ensure_open(deadline)
        self._core.publish_again(ticket)
        self._send()
        return await self._answer_to(ticket, deadline)

    async def _answer_to(self, ticket: Ticket, deadline: float) -> Published:
        try:
            await self._until(lambda: not ticket.is_open, deadline)
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
    ) -> AsyncPublisher:
        """As `Client.publisher`."""
        outgoing = Outgoing(self._core, read_level(level), window_bytes=window_bytes, batch_bytes=batch_bytes)
        return AsyncPublisher(self, outgoing, timeout_s)

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
        since: Since = None,
        until_end: bool = False,
        cursor: str | None = None,
        ack: AckMode = "auto",
        synced: bool = False,
        on_gap: Callable[[Gap], None] | None = None,
        credit_bytes: int = CREDIT_BYTES,
        timeout_s: float = 10.0,
        **match: Patterns,
    ) -> AsyncSubscription:
        """As `Client.subscribe`."""
        filter_ = read_filter(patterns, where, exclude, match)
        start = read_start(since, time.time_ns())
        if cursor is not None and start.at in ("newest", "oldest"):
            start = Start("cursor", 1 if start.at == "oldest" else 0)
        deadline = time.monotonic() + timeout_s
        await self._ensure_open(deadline)
        feed = self._core.subscribe(filter_, start, cursor=cursor or "", synced=synced, credit_bytes=credit_bytes)
        self._send()
        try:
            await self._until(lambda: feed.stands or feed.error is not None, deadline)
        except TimeoutError:
            self._core.unsubscribe(feed)
            raise WaitTimeout("the broker has not answered in time") from None
        if feed.error is not None:
            raise feed.error
        return AsyncSubscription(
            self, Incoming(self._core, feed, self._send, ack=ack, on_gap=on_gap, until_end=until_end)
        )  # fmt: skip

    async def wait(
        self,
        *patterns: str,
        timeout_s: float | None = None,
        where: str | None = None,
        since: Since = None,
        **match: Patterns,
    ) -> Event:
        """As `Client.wait`."""
        async with await self.subscribe(*patterns, where=where, since=since, **match) as subscription:
            event = await subscription.next(timeout_s)
        if event is None:
            raise WaitTimeout(f"no event within {timeout_s:g} s")
        return event

    async def get(self, offset: int, *, timeout_s: float = 10.0) -> Event:
        """As `Client.get`."""
        async with await self.subscribe(since=int(offset), on_gap=raise_gone, until_end=True) as subscription:
            event = await subscription.next(timeout_s)
            if event is None or event.offset != offset:
                raise NoSuchOffset(offset, subscription.end)
            return event

    async def request(
        self, tag: str, data: Mapping[str, Any] | None = None, *, reply: str, timeout_s: float = 10.0
    ) -> Event:
        """As `Client.request`."""
        deadline = time.monotonic() + timeout_s
        async with await self.subscribe(reply) as subscription:
            asked = (await self.publish(tag, data, timeout_s=timeout_s)).offset
            while (event := await subscription.next(max(deadline - time.monotonic(), 0.0))) is not None:
                if event.cause == asked:
                    return event
        raise WaitTimeout(f"no answer to @{asked} within {timeout_s:g} s")

    async def ask(self, verb: str, *, timeout_s: float = 10.0, **arguments: Any) -> dict[str, Any]:
        """As `Client.ask`."""
        deadline = time.monotonic() + timeout_s
        await self._ensure_open(deadline)
        question = self._core.ask(verb, arguments)
        self._send()
        try:
            await self._until(lambda: question.result is not None or question.error is not None, deadline)
        except TimeoutError:
            raise WaitTimeout("the broker has not answered in time") from None
        if question.error is not None:
            raise question.error
        assert question.result is not None
        return question.result

    # -- The socket --------------------------------------------------------------------------------------------------

    async def _open(self) -> asyncio.StreamReader:
        """Connect and greet.  Raises BrokerNotReachable, or what the broker refuses with."""
        await self._close_writer()
        try:
            reader, writer = await self._make_streams()
        except OSError as error:
            raise BrokerNotReachable(str(self._path), os_reason(error)) from error
        self._core.connect()
        self._writer = writer
        try:
            self._send()
            while not self._core.is_ready:
                data = await reader.read(RECEIVE_BYTES)
                if not data:
                    raise ConnectionResetError("it closed the connection")
                self._core.feed(data)
            self._send()
        except OSError as error:
            await self._close_writer()
            raise BrokerNotReachable(str(self._path), os_reason(error)) from error
        except BaseException:
            await self._close_writer()
            raise
        return reader

    async def _make_streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if is_tcp(self._path):
            address = read_tcp(self._path)
            self._core.token = address.token
            return await asyncio.open_connection(address.host, address.port, limit=RECEIVE_BYTES)
        return await asyncio.open_unix_connection(str(self._path), limit=RECEIVE_BYTES)

    async def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass  # It was lost: there is nothing left to close.

    async def _run(self, reader: asyncio.StreamReader) -> None:
        """Feed the core, and connect again after a loss, until `close`."""
        while True:
            try:
                data = await reader.read(RECEIVE_BYTES)
                if not data:
                    raise ConnectionLost("the broker has closed the connection")
                self._core.feed(data)
                self._send()
                self._changed.set()
            except (ConnectionLost, OSError):
                try:
                    reader = await self._reconnect()
                except SylviteError as error:
                    self._fail(error)
                    return
                self._changed.set()
            except SylviteError as error:
                self._fail(error)
                return

    def _fail(self, error: SylviteError) -> None:
        self._failure = error
        self._changed.set()

    async def _reconnect(self) -> asyncio.StreamReader:
        await self._close_writer()
        started = time.monotonic()
        attempt = 0
        while True:
            pause_s = first_wait_s(attempt, int.from_bytes(os.urandom(2), "little") / 65536)
            if self._reconnect_s is not None and time.monotonic() + pause_s - started > self._reconnect_s:
                raise ConnectionLost(f"the broker at {self._path} has been away for {self._reconnect_s:g} s")
            await asyncio.sleep(pause_s)
            attempt += 1
            try:
                return await asyncio.wait_for(self._open(), GREETING_S)
            except (ConnectionLost, TimeoutError):
                continue
            except SylviteError as error:
                if error.code not in ("overloaded", "shutting_down"):
                    raise

    async def _ensure_open(self, deadline: float) -> None:
        try:
            await self._until(lambda: self._core.is_ready, deadline)
        except TimeoutError:
            raise ConnectionLost(f"the broker at {self._path} is away; nothing was sent") from None

    def _send(self) -> None:
        parts = self._core.take_bytes()
        if parts and self._writer is not None and not self._writer.is_closing():
            self._writer.writelines(parts)

    async def _drain(self) -> None:
        """Wait until the socket has taken most of what was said."""
        if self._writer is not None:
            try:
                await self._writer.drain()
            except OSError:
                pass  # The reading side notices, connects again, and everything is said once more.

    async def _until(self, holds: Callable[[], bool], deadline: float | None) -> None:
        """Wait until a condition holds.  Raises TimeoutError, and what ended this client."""
        while not holds():
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise ConnectionLost("this client is closed")
            self._changed.clear()
            async with asyncio.timeout(None if deadline is None else max(deadline - time.monotonic(), 0)):
                await self._changed.wait()


class AsyncPublisher:
    """As `Publisher`, with `await`."""

    def __init__(self, client: AsyncClient, outgoing: Outgoing, timeout_s: float) -> None:
        self._client, self._outgoing, self._timeout_s = client, outgoing, timeout_s

    async def __aenter__(self) -> AsyncPublisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.flush()
        else:
            self._outgoing.give_up()

    @property
    def published(self) -> int:
        return self._outgoing.published

    @property
    def acknowledged(self) -> int:
        return self._outgoing.acknowledged

    async def publish(self, tag: str, data: Mapping[str, Any], cause: Event | int | None = None) -> None:
        """As `Publisher.publish`."""
        if self._outgoing.add(tag, data, cause):
            await self._push()

    async def _push(self) -> None:
        client, outgoing = self._client, self._outgoing
        deadline = time.monotonic() + self._timeout_s
        await client._ensure_open(deadline)  # pyright: ignore[reportPrivateUsage] - two halves of one shell
        outgoing.send()
        client._send()  # pyright: ignore[reportPrivateUsage]
        await client._drain()  # pyright: ignore[reportPrivateUsage]
        outgoing.settle()
        if outgoing.is_over_window:
            await self._settled(lambda: not outgoing.is_over_window, deadline)

    async def _settled(self, holds: Callable[[], bool], deadline: float) -> None:
        outgoing = self._outgoing

        def done() -> bool:
            outgoing.settle()
            return holds()

        try:
            await self._client._until(done, deadline)  # pyright: ignore[reportPrivateUsage]
        except TimeoutError:
            raise AckTimeout("the broker has not answered in time: events may be in the log, or not") from None

    async def flush(self) -> None:
        """As `Publisher.flush`."""
        await self._push()
        await self._settled(lambda: self._outgoing.is_settled, time.monotonic() + self._timeout_s)


class AsyncSubscription:
    """As `Subscription`, with `async for`."""

    def __init__(self, client: AsyncClient, incoming: Incoming) -> None:
        self._client, self._incoming = client, incoming
        self._take = incoming.take

    def __aiter__(self) -> AsyncSubscription:
        return self

    async def __anext__(self) -> Event:
        event = self._take()
        if event is None:
            event = await self.next(None)
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout_s: float | None = None) -> Event | None:
        """As `Subscription.next`."""
        incoming = self._incoming
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            event = incoming.take()
            if event is not None:
                return event
            if incoming.has_ended:
                if incoming.feed.error is not None:
                    raise incoming.feed.error
                return None
            feed = incoming.feed
            try:
                await self._client._until(  # pyright: ignore[reportPrivateUsage]
                    lambda: bool(feed.waiting) or feed.closed, deadline
                )
            except TimeoutError:
                return None

    async def ack(self, event: Event) -> None:
        """As `Subscription.ack`."""
        self._incoming.acknowledge(event)

    @property
    def position(self) -> Position | None:
        return self._incoming.position

    @property
    def gaps(self) -> int:
        return self._incoming.gaps

    @property
    def end(self) -> int:
        return self._incoming.feed.end

    @property
    def ended(self) -> bool:
        return self._incoming.has_ended

    async def close(self) -> None:
        self._incoming.finish(clean=True)

    async def __aenter__(self) -> AsyncSubscription:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._incoming.finish(clean=kind is None)
