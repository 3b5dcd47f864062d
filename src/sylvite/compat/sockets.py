"""Salt's own sockets, in front of a bus of ours: programs written for Salt attach to them unchanged.

    pub     whoever connects reads all events from then on; each reader is a cursor in the log, however slow it is
    pull    whoever connects writes events; the next ones are read once the bus has these

An ordinary client of the broker, beside it: what goes wrong here does not touch the bus.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import socket
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sylvite.broker.place import Place
from sylvite.client.async_client import AsyncClient
from sylvite.client.async_publisher import AsyncPublisher
from sylvite.compat.bus import GAP_TAG, gap_data, received
from sylvite.compat.endpoints import Endpoints, TcpEndpoints, UnixEndpoints
from sylvite.compat.exceptions import SaltDeserializationError
from sylvite.compat.frames import FrameDecoder, Framing, encode_frame
from sylvite.compat.packing import pack_event, read_wire, split_event
from sylvite.compat.payload import map_with_text_keys
from sylvite.compat.tcp_owner import owner_of
from sylvite.core.event import Event, Gap
from sylvite.errors import InvalidSetting, ProtocolError, SylviteError

READERS_MAX = 256
WRITERS_MAX = 256
RECEIVE_BYTES = 64 * 1024
WAITING_BYTES = 64 * 1024
"""What may wait for one reader, in our memory; the rest waits in the log."""
BACKLOG = 128
PATIENCE_S = 7 * 86_400.0
"""For how long a bus that is away keeps programs that fire waiting; it is tried again all the time."""
logger = logging.getLogger("sylvite.salt")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def salt_sockets(bus: Path, endpoints: Endpoints, framing: Framing = "stream") -> AsyncGenerator[SaltSockets]:
    """Serve Salt's sockets in front of the bus at `bus`.

    Raises:
        AddressInUse, InvalidSetting: a socket cannot be put there.
    """
    sockets = SaltSockets(bus, framing)
    try:
        await sockets.listen(endpoints)
        yield sockets
    finally:
        await sockets.stop()


class SaltSockets:
    def __init__(self, bus: Path, framing: Framing = "stream") -> None:
        self._bus = bus
        self._framing: Framing = framing
        self._listeners: list[asyncio.Server] = []
        self._places: list[Place] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._all_stand = asyncio.Event()
        self._all_stand.set()

    # -- Listening ---------------------------------------------------------------------------------------------------

    async def listen(self, endpoints: Endpoints) -> None:
        for name, serve, limit in (("pub", self._serve_reader, READERS_MAX), ("pull", self._serve_writer, WRITERS_MAX)):
            accept = self._accept(serve, limit)
            match endpoints:
                case UnixEndpoints():
                    mode = allowed_mode(endpoints.pub_mode) if name == "pub" else 0o600
                    await self._listen_unix(getattr(endpoints.check(), name), mode, accept)
                case TcpEndpoints():
                    await self._listen_tcp(endpoints.host, getattr(endpoints, name), accept)

    async def _listen_unix(self, path: Path, mode: int, accept: Handler) -> None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        place = Place(path, "salt_sockets")
        self._places.append(place)
        place.remove_stale()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            place.bind(listening, mode)
            listening.setblocking(False)
            self._listeners.append(await asyncio.start_unix_server(accept, sock=listening, backlog=BACKLOG))
        except BaseException:
            listening.close()
            raise

    async def _listen_tcp(self, host: str, port: int, accept: Handler) -> None:
        try:
            self._listeners.append(await asyncio.start_server(accept, host, port, backlog=BACKLOG))
        except OSError as error:
            raise InvalidSetting("salt_sockets", f"{host} port {port}", f"cannot be listened on: {error}") from error

    @property
    def ports(self) -> tuple[int, ...]:
        """Of TCP: pub and pull; none where they are files."""
        listening = (listener.sockets[0] for listener in self._listeners)
        return tuple(each.getsockname()[1] for each in listening if each.family != socket.AF_UNIX)

    async def stop(self) -> None:
        for listener in self._listeners:
            listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for place in self._places:
            place.release()

    def _accept(self, serve: Handler, limit: int) -> Handler:
        busy: set[asyncio.Task[None]] = set()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            busy.add(task)
            try:
                if len(busy) > limit:
                    logger.warning("a connection is refused: there are %d already", limit)
                elif _may_connect(writer):
                    await serve(reader, writer)
            except (OSError, SylviteError) as error:
                logger.info("a connection has ended: %s", error)
            except asyncio.CancelledError:
                pass  # We are stopping.
            except Exception:
                logger.exception("a connection is ended by a mistake of ours; please report it")
            finally:
                self._tasks.discard(task)
                busy.discard(task)
                writer.transport.abort()

        return accepted

    # -- pub ---------------------------------------------------------------------------------------------------------

    async def _serve_reader(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give a reader all events from now on, as fast as it takes them."""
        since = datetime.fromtimestamp(time.time(), UTC)
        writer.transport.set_write_buffer_limits(high=WAITING_BYTES)
        sending = asyncio.create_task(self._send_events(writer, since))
        leaving = asyncio.create_task(_read_out(reader))
        try:
            done, _ = await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_events(self, writer: asyncio.StreamWriter, since: datetime) -> None:
        gaps: list[Gap] = []
        with self._is_starting() as stands:
            bus = await AsyncClient.connect(self._bus, name="salt-sockets: reader")
            try:
                events = await bus.subscribe(since=since, on_gap=gaps.append, credit_bytes=WAITING_BYTES)
            except BaseException:
                await bus.close()
                raise
            stands()
        async with bus, events:
            while True:
                event = await events.next(None)
                for gap in gaps:
                    logger.warning("a reader of Salt's socket misses events: %s", gap)
                    writer.write(self._frame(GAP_TAG, gap_data(gap)))
                gaps.clear()
                if event is None:
                    return
                writer.write(self._event_frame(event))
                await writer.drain()

    def _event_frame(self, event: Event) -> bytes:
        return self._frame(*received(event))

    def _frame(self, tag: str, data: dict[str, object]) -> bytes:
        return encode_frame(pack_event(tag, data), self._framing)

    @contextlib.contextmanager
    def _is_starting(self) -> Generator[Callable[[], None]]:
        """While a reader is being subscribed, nothing is published: who connects and then fires sees what it has fired."""
        self._starting += 1
        self._all_stand.clear()
        ended = False

        def stands() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self._starting -= 1
                if not self._starting:
                    self._all_stand.set()

        try:
            yield stands
        finally:
            stands()

    # -- pull --------------------------------------------------------------------------------------------------------

    async def _serve_writer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Publish what is written, in order; read on once the bus has it."""
        del writer
        decoder = FrameDecoder()
        async with (
            AsyncClient.connect(self._bus, name="salt-sockets: writer") as bus,
            bus.publisher(timeout_s=PATIENCE_S) as publisher,
        ):
            while data := await reader.read(RECEIVE_BYTES):
                decoder.feed(data)
                await self._all_stand.wait()
                try:
                    for packed in decoder.events():
                        await _publish(publisher, packed)
                except ProtocolError as error:
                    logger.error("a program that fires events is disconnected: %s", error)
                    return
                finally:
                    await _flush(publisher)


async def _publish(publisher: AsyncPublisher, packed: bytes) -> None:
    try:
        tag, raw = split_event(packed)
        data = map_with_text_keys(read_wire(raw), logger.warning)
    except SaltDeserializationError as error:
        logger.warning("an event that was fired is not taken: %s", error)
        return
    for _ in range(2):
        try:
            await publisher.publish(tag, data)
        except SylviteError as error:
            # It may be of earlier events; this one was not taken, and has its own try.
            logger.error("an event that was fired is not taken: %s", error)
        else:
            return


async def _flush(publisher: AsyncPublisher) -> None:
    try:
        await publisher.flush()
    except SylviteError as error:
        logger.error("events that were fired are not taken: %s", error)


async def _read_out(reader: asyncio.StreamReader) -> None:
    """Return once the other side has closed; what it writes is of no meaning, as in Salt."""
    while await reader.read(RECEIVE_BYTES):
        pass


def _may_connect(writer: asyncio.StreamWriter) -> bool:
    """On TCP: say whether the user of the other end may have our events.  Of a UNIX socket its mode has said so."""
    connected: socket.socket = writer.get_extra_info("socket")
    if connected.family == socket.AF_UNIX:
        return True
    uid = owner_of(writer.get_extra_info("peername")[:2], writer.get_extra_info("sockname")[:2])
    if uid in (0, os.geteuid()):
        return True
    logger.warning("a connection is refused: it is of %s", "somebody unknown" if uid is None else f"uid {uid}")
    return False


def allowed_mode(mode: int) -> int:
    """Return the mode of a socket; the group may not read where it is one that many users are in."""
    gid = os.getegid()
    try:
        is_own = gid == 0 or grp.getgrgid(gid).gr_name == pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        is_own = False
    if not is_own and mode & 0o070:
        logger.info("the group of this process is not its user's own: it may not read Salt's sockets")
    return mode if is_own else mode & ~0o070
