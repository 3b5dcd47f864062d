"""AsyncConnection: one socket under one ClientCore, for asyncio.  No thread, no loop of its own.

What arrives goes from asyncio's callback into the core at once; a task runs only while there is no connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from sylvite.client.address import is_tcp, read_tcp
from sylvite.client.core import ClientCore
from sylvite.client.retry import Retry
from sylvite.client.sync_connection import GOODBYE_S, GREETING_S, PASSING, RECEIVE_BYTES, os_reason, random_chance
from sylvite.errors import BrokerNotReachable, ConnectionLost, SylviteError

SOCKET_BYTES = 256 * 1024
"""So much may wait for the socket in memory; more stays where it is until there is room."""


class _Wire(asyncio.BufferedProtocol):
    """One socket, for as long as it lives."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._buffer = bytearray(RECEIVE_BYTES)
        self.transport: asyncio.Transport | None = None
        self.is_full = False
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport, and are none.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=SOCKET_BYTES, low=SOCKET_BYTES // 4)

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        with memoryview(self._buffer) as view, view[:nbytes] as received:
            self._connection.received(self, received)

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self._connection.send()
        self._connection.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        reason = exc if exc is not None and not isinstance(exc, OSError) else None
        self._connection.lost(self, reason)

    def write(self, parts: list[bytes]) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.writelines(parts)

    def end(self) -> None:
        """Close; what the socket does not take at once is given up."""
        transport = self.transport
        if transport is not None:
            if transport.get_write_buffer_size():
                transport.abort()
            else:
                transport.close()


class AsyncConnection:
    """Bytes between a core and its broker.  It connects again by itself; `reconnect_s`: for how long, None for ever."""

    def __init__(self, path: str, core: ClientCore, reconnect_s: float | None) -> None:
        self.path = path
        self.core = core
        self._retry = Retry(reconnect_s)
        self._wire: _Wire | None = None
        self._closed = False
        self._greeting_error: Exception | None = None
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._reconnecting: asyncio.Task[None] | None = None

    async def open(self, timeout_s: float) -> None:
        """Connect and greet.  Raises BrokerNotReachable, or what the broker refuses with."""
        wire: _Wire | None = None
        try:
            async with asyncio.timeout(timeout_s):
                wire = await self._connected()
                self._wire = wire
                self.core.connect()
                self.send()
                await self._welcomed(wire)
        except (ConnectionLost, OSError) as error:  # TimeoutError is an OSError.
            self._drop()
            if isinstance(error, BrokerNotReachable):
                raise
            reason = os_reason(error) if isinstance(error, OSError) else "it closed the connection"
            raise BrokerNotReachable(str(self.path), reason) from error
        except BaseException:
            self._drop()
            raise
        self._retry.connected(time.monotonic())

    async def _welcomed(self, wire: _Wire) -> None:
        """Wait until the broker has greeted us.  Raises: why it has not."""
        while not self.core.is_ready:
            if self._wire is not wire:
                raise self._greeting_error or ConnectionLost("the broker has closed the connection")
            changed = asyncio.get_running_loop().create_future()
            self._waiting[changed] = lambda: self.core.is_ready or self._wire is not wire
            try:
                await changed
            finally:
                del self._waiting[changed]

    async def _connected(self) -> _Wire:
        loop = asyncio.get_running_loop()
        if is_tcp(self.path):
            address = read_tcp(self.path)
            self.core.token = address.token
            _, wire = await loop.create_connection(lambda: _Wire(self), address.host, address.port)
        else:
            _, wire = await loop.create_unix_connection(lambda: _Wire(self), str(self.path))
        return wire

    async def close(self) -> None:
        """Say goodbye, and wait a moment until the broker has heard it: see `SyncConnection.close`."""
        if self._closed:
            return
        self._closed = True
        self.core.say_goodbye()
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.write(self.core.take_bytes())
        self._fail(ConnectionLost("this client is closed"))
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            await asyncio.gather(self._reconnecting, return_exceptions=True)
        if wire is not None:
            try:
                async with asyncio.timeout(GOODBYE_S):
                    await wire.gone
            except TimeoutError:
                pass  # It does not read; then it need not hear it.
            finally:
                wire.end()

    async def ensure_open(self, deadline: float) -> None:
        """Raises ConnectionLost: closed, or the broker does not come back in time."""
        if self._closed:
            raise ConnectionLost("this client is closed")
        try:
            await self.until(self._is_ready, deadline)
        except TimeoutError:
            raise ConnectionLost(f"the broker at {self.path} is away; nothing was sent") from None

    def _is_ready(self) -> bool:
        return self.core.is_ready

    def send(self) -> None:
        """Give what the core has to say to the socket, while it has room.

        If the connection is lost, everything is said again.
        """
        wire = self._wire
        if wire is not None and not wire.is_full and self.core.has_bytes:
            wire.write(self.core.take_bytes())

    def is_sent(self) -> bool:
        """Say whether the socket has taken most of what was said."""
        return not self.core.has_bytes and (self._wire is None or not self._wire.is_full)

    async def until(self, holds: Callable[[], bool], deadline: float | None) -> None:
        """Wait until a condition holds; look once at what is there, however late it is.

        Raises:
            TimeoutError: the deadline came first.
            ConnectionLost: closed, or the broker was away for longer than `reconnect_s`.
            SylviteError: the broker refuses us, or says what cannot be understood.
        """
        loop = asyncio.get_running_loop()
        while not holds():
            if self._closed:
                raise ConnectionLost("this client is closed")
            if self._wire is None:
                self._reconnect()
            changed: asyncio.Future[None] = loop.create_future()
            self._waiting[changed] = holds
            try:
                async with asyncio.timeout(None if deadline is None else max(deadline - time.monotonic(), 0)):
                    await changed
            except TimeoutError:
                if not holds():
                    raise
            finally:
                del self._waiting[changed]

    # -- The socket --------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something has changed: wake those whose condition holds."""
        for changed, holds in self._waiting.items():
            if not changed.done() and holds():
                changed.set_result(None)

    def _fail(self, error: Exception) -> None:
        """Raise in all who wait."""
        for changed in self._waiting:
            if not changed.done():
                changed.set_exception(error)

    def received(self, wire: _Wire, data: memoryview) -> None:
        """Bytes have arrived."""
        if wire is not self._wire:
            return
        try:
            self.core.feed(data)
        except ConnectionLost:
            self.lost(wire, None)
        except SylviteError as error:
            self.lost(wire, error)
        else:
            self.send()
            self.wake()

    def lost(self, wire: _Wire, error: Exception | None) -> None:
        """A connection is over.  With an error, those who wait hear of it; without one, it is made again."""
        if wire is not self._wire:
            return
        is_greeting = not self.core.is_ready
        self._drop()
        if is_greeting:
            self._greeting_error = error  # `open` tells who wanted it.
            self.wake()
        elif error is not None:
            self._fail(error)
        elif not self._closed:
            self._reconnect()

    def _reconnect(self) -> None:
        if self._reconnecting is None:
            self._reconnecting = asyncio.create_task(self._reconnected(), name="sylvite client: connect again")

    async def _reconnected(self) -> None:
        """Connect again, waiting longer each time; those who wait hear of it where that cannot be."""
        try:
            while not self._closed and self._wire is None:
                pause_s = self._retry.wait_s(time.monotonic(), random_chance())
                if pause_s is None:
                    raise ConnectionLost(f"the broker at {self.path} has been away for {self._retry.limit_s:g} s")
                await asyncio.sleep(pause_s)
                self._retry.attempt()
                try:
                    await self.open(GREETING_S)
                except ConnectionLost:
                    continue
                except SylviteError as error:
                    if error.code not in PASSING:
                        raise
        except Exception as error:  # noqa: BLE001 - the top of a task: whatever it is, those who wait must hear of it
            self._fail(error)
        else:
            self.wake()
        finally:
            self._reconnecting = None

    def _drop(self) -> None:
        self.core.lost()
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.end()
