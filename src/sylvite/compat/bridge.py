"""The bridge: what happens on the bus of a running Salt, into a log of ours, live.

    <tag>                   each event of Salt's, its data as it is; with a prefix, <prefix><tag>
    bridge/salt/attached    from here on all events of that bus are here: {where, bridge}
    bridge/salt/gap         ... but for those between two moments: {where, since, until, reason}
    bridge/salt/refused     and for one that no bus of ours takes: {where, tag, reason}
    bridge/salt/detached    the bridge was told to stop: {where, bridge}

Salt's bus has no history, and throws out a reader that does not keep up: so what arrives is taken at once, up to a limit,
and published behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from sylvite.client.async_client import AsyncClient
from sylvite.client.async_publisher import AsyncPublisher
from sylvite.compat.endpoints import TcpEndpoints, UnixEndpoints
from sylvite.compat.exceptions import SaltDeserializationError
from sylvite.compat.frames import FrameDecoder
from sylvite.compat.packing import read_wire, split_event
from sylvite.compat.payload import map_with_text_keys
from sylvite.errors import InvalidInput, InvalidSetting, ProtocolError, SylviteError
from sylvite.functions.data import stamp

OWN = "bridge/salt/"
RECEIVE_BYTES = 256 * 1024
WAITING_BYTES = 64 * 1024 * 1024
"""What may be taken from Salt before it is published; beyond it Salt waits, and throws us out in the end."""
RETRY_S = (0.1, 2.0)
PATIENCE_S = 7 * 86_400.0
"""For how long our own bus may be away, while what Salt says is kept here, up to the limit."""
logger = logging.getLogger("sylvite.bridge")


class Bridge:
    """Between the `pub` socket of one Salt and one bus of ours."""

    def __init__(self, bus: AsyncClient, salt: UnixEndpoints | TcpEndpoints, prefix: str = "") -> None:
        self.attached = asyncio.Event()
        """Set once it has been connected to Salt."""
        self.copied = 0
        self._bus, self._salt, self._prefix = bus, salt, prefix
        self._where = str(salt.pub) if isinstance(salt, UnixEndpoints) else f"{salt.host}:{salt.pub}"
        self._id = secrets.token_hex(8)
        self._said = {f"{prefix}{OWN}{word}" for word in ("attached", "copying")}
        self._copies = False
        self._waiting: deque[bytes | dict[str, Any]] = deque()
        self._waiting_bytes = 0
        self._changed = asyncio.Event()
        self._lost: str | None = None
        self._lost_why = ""

    async def run(self) -> None:
        """Copy until cancelled.

        Raises:
            InvalidSetting: the Salt that it reads from is our own bus.
            SylviteError: our bus does not let it publish, or is gone for good.
        """
        async with self._bus.publisher(timeout_s=PATIENCE_S) as publisher, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._publish(publisher))

    async def detach(self) -> None:
        """Say that it ends, having published what was taken."""
        with contextlib.suppress(SylviteError):
            async with self._bus.publisher() as publisher:
                for item in self._waiting:
                    await self._publish_one(publisher, item)
                await publisher.publish(f"{OWN}detached", self._say(bridge=self._id))

    # -- Salt's side -------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        pause_s = RETRY_S[0]
        while True:
            try:
                async with self._connected() as reader:
                    pause_s = RETRY_S[0]
                    self._begin()
                    await self._take_all(reader)
                    self._lose("Salt has closed the connection: it was stopped, or found us too slow")
            except OSError as error:
                self._lose(f"Salt cannot be reached: {error.strerror or error}")
            except ProtocolError as error:
                self._lose(f"what Salt sends cannot be read: {error}")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S[1])

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncGenerator[asyncio.StreamReader]:
        if isinstance(self._salt, UnixEndpoints):
            reader, writer = await asyncio.open_unix_connection(self._salt.pub, limit=RECEIVE_BYTES)
        else:
            reader, writer = await asyncio.open_connection(self._salt.host, self._salt.pub, limit=RECEIVE_BYTES)
        try:
            yield reader
        finally:
            writer.transport.abort()

    def _begin(self) -> None:
        if self._lost is not None and self.attached.is_set():
            logger.warning("Salt is back at %s; what happened since %s is missing", self._where, self._lost)
            gap = self._say(since=self._lost, until=stamp(time.time_ns()), reason=self._lost_why)
            self._put({"tag": f"{OWN}gap", "data": gap}, 0)
        else:
            logger.info("attached to Salt at %s", self._where)
        self._put({"tag": f"{OWN}attached", "data": self._say(bridge=self._id)}, 0)
        self._lost, self._copies = None, False
        self.attached.set()

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost, self._lost_why = stamp(time.time_ns()), why
            logger.warning("%s: %s; it is tried again", self._where, why)

    async def _take_all(self, reader: asyncio.StreamReader) -> None:
        decoder = FrameDecoder()
        while data := await reader.read(RECEIVE_BYTES):
            decoder.feed(data)
            for packed in decoder.events():
                self._put(packed, len(packed))
            while self._waiting_bytes > WAITING_BYTES:
                self._changed.clear()
                await self._changed.wait()

    def _put(self, item: bytes | dict[str, Any], size: int) -> None:
        self._waiting.append(item)
        self._waiting_bytes += size
        self._changed.set()

    # -- Our side ----------------------------------------------------------------------------------------------------

    async def _publish(self, publisher: AsyncPublisher) -> None:
        while True:
            while self._waiting:
                item = self._waiting[0]
                await self._publish_one(publisher, item)
                self._waiting.popleft()
                self._waiting_bytes -= len(item) if isinstance(item, bytes) else 0
                self._changed.set()
                if not self._waiting:
                    await publisher.flush()
            self._changed.clear()
            await self._changed.wait()

    async def _publish_one(self, publisher: AsyncPublisher, item: bytes | dict[str, Any]) -> None:
        if isinstance(item, dict):
            await publisher.publish(item["tag"], item["data"])
            return
        tag = ""
        try:
            tag, packed = split_event(item)
            data = map_with_text_keys(read_wire(packed), logger.warning)
            if tag in self._said and data.get("bridge") == self._id:
                raise InvalidSetting(
                    "sock_dir", self._where, "is the bus that the bridge writes to: it would copy without end"
                )
            await publisher.publish(f"{self._prefix}{tag}", data)
            self.copied += 1
            if not self._copies:
                # Of a bus that is ours this comes back, whether `attached` was said too early for it or not.
                self._copies = True
                await publisher.publish(f"{OWN}copying", self._say(bridge=self._id))
        except InvalidSetting:
            raise
        except (SaltDeserializationError, InvalidInput) as error:
            logger.warning("an event of Salt's is not taken: %s", error)
            shown = repr(tag)[:200]
            await publisher.publish(f"{OWN}refused", self._say(tag=shown, reason=str(error)[:500]))

    def _say(self, **facts: Any) -> dict[str, Any]:
        return {"where": self._where, **facts, "_stamp": stamp(time.time_ns())}
