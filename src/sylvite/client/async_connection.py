"""AsyncConnection: one socket under one ClientCore, for asyncio.  One task of its own reads; no thread, no loop of its own."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from sylvite.client.address import is_tcp, read_tcp
from sylvite.client.core import ClientCore
from sylvite.client.retry import first_wait_s
from sylvite.client.sync_connection import GREETING_S, RECEIVE_BYTES, os_reason
from sylvite.errors import BrokerNotReachable, ConnectionLost, SylviteError


class AsyncConnection:
    """Bytes between a core and its broker.  It connects again by itself; `reconnect_s`: for how long, None for ever."""

    def __init__(self, path: Path, core: ClientCore, reconnect_s: float | None) -> None:
        self.path = path
        self.core = core
        self._reconnect_s = reconnect_s
        self._writer: asyncio.StreamWriter | None = None
        self._closed = False
        self._failure: SylviteError | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._running: asyncio.Task[None] | None = None

    async def open(self, timeout_s: float) -> None:
        """Connect, greet, and go on reading.  Raises BrokerNotReachable, or what the broker refuses with."""
        reader = await self._open_once(timeout_s)
        self._running = asyncio.create_task(self._run(reader), name="sylvite client")

    async def close(self) -> None:
        """Say goodbye."""
        if self._closed:
            return
        self.core.say_goodbye()
        self.send()
        self._closed = True
        self._wake()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._drop()

    async def ensure_open(self, deadline: float) -> None:
        """Raises ConnectionLost: closed, or the broker does not come back in time."""
        try:
            await self.until(lambda: self.core.is_ready, deadline)
        except TimeoutError:
            raise ConnectionLost(f"the broker at {self.path} is away; nothing was sent") from None

    def send(self) -> None:
        """Give what the core has to say to the socket.  If the connection is lost, everything is said again."""
        parts = self.core.take_bytes()
        if parts and self._writer is not None and not self._writer.is_closing():
            self._writer.writelines(parts)

    async def drain(self, deadline: float) -> None:
        """Wait until the socket has taken most of what was said.  Raises TimeoutError."""
        if self._writer is not None:
            try:
                async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                    await self._writer.drain()
            except TimeoutError:
                raise
            except OSError:
                pass  # The reading side notices, connects again, and everything is said once more.

    async def until(self, holds: Callable[[], bool], deadline: float | None) -> None:
        """Wait until a condition holds.

        Raises:
            TimeoutError: the deadline came first.
            ConnectionLost: closed, or the broker was away for longer than `reconnect_s`.
            SylviteError: the broker refuses us, or says what cannot be understood.
        """
        loop = asyncio.get_running_loop()
        while not holds():
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise ConnectionLost("this client is closed")
            changed: asyncio.Future[None] = loop.create_future()
            self._waiting.add(changed)
            try:
                async with asyncio.timeout(None if deadline is None else max(deadline - time.monotonic(), 0)):
                    await changed
            finally:
                self._waiting.discard(changed)

    # -- The socket --------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        for changed in self._waiting:
            if not changed.done():
                changed.set_result(None)

    async def _run(self, reader: asyncio.StreamReader) -> None:
        """Feed the core, and connect again after a loss, until `close`."""
        try:
            while True:
                try:
                    data = await reader.read(RECEIVE_BYTES)
                    if not data:
                        raise ConnectionLost("the broker has closed the connection")
                    self.core.feed(data)
                except (ConnectionLost, OSError):
                    reader = await self._reconnect()
                self.send()
                self._wake()
        except SylviteError as error:
            self._failure = error
            await self._drop()
            self._wake()

    async def _reconnect(self) -> asyncio.StreamReader:
        """Connect again, waiting longer each time.  Raises: as `until`."""
        await self._drop()
        started = time.monotonic()
        attempt = 0
        while True:
            pause_s = first_wait_s(attempt, int.from_bytes(os.urandom(2), "little") / 65536)
            if self._reconnect_s is not None and time.monotonic() + pause_s - started > self._reconnect_s:
                raise ConnectionLost(f"the broker at {self.path} has been away for {self._reconnect_s:g} s")
            await asyncio.sleep(pause_s)
            attempt += 1
            try:
                return await self._open_once(GREETING_S)
            except ConnectionLost:
                continue
            except SylviteError as error:
                if error.code not in ("overloaded", "shutting_down"):
                    raise

    async def _open_once(self, timeout_s: float) -> asyncio.StreamReader:
        try:
            async with asyncio.timeout(timeout_s):
                reader, self._writer = await self._connected()
                self.core.connect()
                self.send()
                while not self.core.is_ready:
                    data = await reader.read(RECEIVE_BYTES)
                    if not data:
                        raise ConnectionResetError("it closed the connection")
                    self.core.feed(data)
                self.send()
        except BrokerNotReachable:
            raise
        except (ConnectionLost, OSError) as error:  # TimeoutError is an OSError.
            await self._drop()
            reason = os_reason(error) if isinstance(error, OSError) else "it closed the connection"
            raise BrokerNotReachable(str(self.path), reason) from error
        except BaseException:
            await self._drop()
            raise
        return reader

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if is_tcp(self.path):
            address = read_tcp(self.path)
            self.core.token = address.token
            return await asyncio.open_connection(address.host, address.port, limit=RECEIVE_BYTES)
        return await asyncio.open_unix_connection(str(self.path), limit=RECEIVE_BYTES)

    async def _drop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass  # It was lost: there is nothing left to close.
