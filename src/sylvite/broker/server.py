"""The listeners: accept, identify, serve, drain.  asyncio around the Broker; one loop, helper threads for the disk."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from sylvite.auth.peer import Peer, peer_of, token_holder
from sylvite.broker.broker import IDLE_SYNC_S, Broker, Job
from sylvite.broker.connection import Connection
from sylvite.broker.disk import DiskThreads
from sylvite.broker.place import Place
from sylvite.errors import InvalidSetting, NotAuthenticated, SylviteError

RECEIVE_BYTES = 256 * 1024
DRAIN_S = 5.0
GOODBYE_S = 1.0
BACKLOG = 1024
HELLO_WITHIN_S = 10.0
NO_MEMORY = "the broker stops: there is no memory left. What it has acknowledged is in the log"
logger = logging.getLogger("sylvite.broker")


class Wire(asyncio.BufferedProtocol):
    """One socket: the Outlet of its Connection."""

    def __init__(self, server: Server, listener: str) -> None:
        self._server, self._listener = server, listener
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.is_full = False
        # One buffer for all connections: what was read is taken out of it before anybody else reads.
        self._buffer = server.buffer

    # -- asyncio calls these ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport, and are none.
        self._transport = cast(asyncio.Transport, transport)
        try:
            peer, token = self._identify(self._transport)
        except NotAuthenticated:
            self._transport.abort()
            return
        # Whatever the kernel does not take at once makes us full: a slow reader holds one delivery of our memory.
        self._transport.set_write_buffer_limits(high=0)
        self._connection = Connection(self._server.broker, peer, self, token=token)
        self._server.wires.add(self)
        self._deadline = asyncio.get_running_loop().call_later(HELLO_WITHIN_S, self._hello_is_late)

    def _identify(self, transport: asyncio.Transport) -> tuple[Peer, str | None]:
        if self._listener == "tcp":
            return token_holder(), self._server.token
        return peer_of(transport.get_extra_info("socket").fileno()), None

    def _hello_is_late(self) -> None:
        if self._connection is not None and self._connection.access is None and self._transport is not None:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._connection is not None:
            with memoryview(self._buffer) as view, view[:nbytes] as received:
                self._guarded(self._connection.receive, received)

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        if self._connection is not None:
            self._guarded(self._connection.drained)

    def _guarded(self, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except Exception as error:
            if isinstance(error, MemoryError):
                logger.error("a connection is ended: there is no memory for what it wants")
            else:
                logger.exception("a connection is ended by a mistake in the broker; please report it")
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._deadline is not None:
            self._deadline.cancel()
        self._server.wires.discard(self)
        if self._connection is not None:
            self._connection.lost()

    # -- The Connection calls these (Outlet) -------------------------------------------------------------------------

    def write(self, parts: Sequence[bytes]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            if len(parts) == 1:
                self._transport.write(parts[0])
            else:
                self._transport.writelines(parts)

    def waiting_bytes(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def say_goodbye(self) -> None:
        if self._connection is not None:
            self._connection.close("the broker is stopping")


class InternalFailure(SylviteError):
    """A mistake of ours, after which the broker cannot go on."""

    code = "internal"


class Server:
    """A broker with its sockets.  `failure` says why it has to stop: LogFailed (the disk) or InternalFailure."""

    def __init__(self, make_broker: Callable[[Callable[[], None], Callable[[SylviteError], None]], Broker]) -> None:
        self.buffer = bytearray(RECEIVE_BYTES)
        self.wires: set[Wire] = set()
        self.token: str | None = None
        self.failure: SylviteError | None = None
        self.stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._unhandled)
        self._scheduled = False
        self._flushed = asyncio.Event()
        self._disk = DiskThreads(self._loop, self._finished)
        self._jobs = 0
        self._listeners: list[asyncio.Server] = []
        self._places: list[Place] = []
        self._ticking: asyncio.TimerHandle | None = None
        self.broker = make_broker(self._wanted, self._failed)
        self._tick()

    # -- Driving the broker ------------------------------------------------------------------------------------------

    def _wanted(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _failed(self, error: SylviteError) -> None:
        self.failure = error
        self.stopping.set()

    def _flush(self) -> None:
        self._scheduled = False
        self._step(self.broker.flush)
        self._flushed.set()

    def _step(self, step: Callable[[], None]) -> None:
        try:
            step()
            for job in self.broker.take_jobs():
                self._run(job)
        except MemoryError:
            self._failed(InternalFailure(NO_MEMORY))
        except Exception as error:
            logger.exception("the broker stops because of a mistake in it; please report it")
            self._failed(InternalFailure(f"internal error: {error!r}"))

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody has caught in a callback of the loop."""
        if isinstance(context.get("exception"), MemoryError):
            self._failed(InternalFailure(NO_MEMORY))
        else:
            loop.default_exception_handler(context)

    def _run(self, job: Job) -> None:
        self._jobs += 1
        self._disk.run(job)

    def _finished(self, job: Job, error: Exception | None) -> None:
        self._jobs -= 1
        if error is None or isinstance(error, OSError):
            self._step(lambda: job.done(error))
        else:
            self._failed(InternalFailure(f"internal error in a thread of the disk: {error!r}"))
        self._flush()

    def _tick(self) -> None:
        self._step(self.broker.tick)
        self._ticking = self._loop.call_later(IDLE_SYNC_S, self._tick)

    # -- Listening ---------------------------------------------------------------------------------------------------

    async def listen_unix(self, path: Path, mode: int) -> None:
        """Listen on a UNIX socket that has its final mode from the first instant.

        Raises:
            AddressInUse: another broker has that path, or answers there.
            InvalidSetting: something that is no socket is there, or the path is too long.
        """
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        place = self._claim(path, "socket")
        place.remove_stale()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            place.bind(listening, mode)
            listening.setblocking(False)
            server = await self._loop.create_unix_server(
                lambda: Wire(self, "unix"), sock=listening, backlog=BACKLOG
            )  # fmt: skip
        except BaseException:
            listening.close()
            raise
        self._listeners.append(server)

    async def listen_tcp(self, host: str, port: int, address_file: Path) -> int:
        """Listen on loopback; write port and token to a file that only the owner can read; return the port.

        Raises:
            AddressInUse: another broker says there where it listens.
            InvalidSetting: the host is not a loopback address.
        """
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise InvalidSetting("tcp", host, "is not a loopback address; the bus speaks TCP only on this machine")
        place = self._claim(address_file, "tcp")
        self.token = secrets.token_hex(32)
        try:
            server = await self._loop.create_server(lambda: Wire(self, "tcp"), host, port, backlog=BACKLOG)
        except OSError as error:
            raise InvalidSetting("tcp", f"{host} port {port}", f"cannot be listened on: {error.strerror}") from error
        self._listeners.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        try:
            address_file.unlink(missing_ok=True)
            descriptor = os.open(address_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump({"host": host, "port": bound, "token": self.token}, file)
        except OSError as error:
            raise InvalidSetting("tcp", str(address_file), f"cannot be written: {error.strerror}") from error
        place.is_ours()
        return bound

    def _claim(self, path: Path, setting: str) -> Place:
        place = Place(path, setting)
        self._places.append(place)
        return place

    async def stop(self) -> None:
        """Take nothing more, finish what was taken, say goodbye, let go of sockets and log."""
        for listener in self._listeners:
            listener.close()
        self._step(self.broker.drain)
        deadline = self._loop.time() + DRAIN_S
        while not self.broker.is_drained and self.failure is None and self._loop.time() < deadline:
            self._flushed.clear()
            self._wanted()
            await self._flushed.wait()
            await asyncio.sleep(0.001)
        for wire in list(self.wires):
            wire.say_goodbye()
        # A reader that has stopped reading does not hear the goodbye, and does not hold us up.
        deadline = self._loop.time() + GOODBYE_S
        while self.wires and self._loop.time() < deadline:
            await asyncio.sleep(0.001)
        if self._ticking is not None:
            self._ticking.cancel()
        # A mark that was written meanwhile may still be on its way to the disk: the log hears of that before it is closed.
        while self._jobs or self._scheduled:
            await asyncio.sleep(0.001)
        self._disk.stop()
        self.broker.finish()
        for place in self._places:
            place.release()
