"""Many clients of the HTTP interface in one process: raw connections, each as slow or as many as a row wants."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from sylvite.api.scopes import parse_scope
from sylvite.api.tokens import TokenStore
from sylvite.daemons.options.rest import RestCherrypy

DESCRIPTORS = 20_000
OF_ONE_TOKEN = RestCherrypy().streams_per_token


def raise_descriptors() -> int:
    """Let this process have as many open files as it may; return how many that are."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(DESCRIPTORS, most) if most != resource.RLIM_INFINITY else DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return wanted


def tokens_for(folder: Path, streams: int) -> list[str]:
    """Make tokens for so many streams: each may have some."""
    with TokenStore(folder) as store:
        return [
            store.make(f"reader-{number}", [parse_scope("events:read:**")], time.time_ns())[1].reveal()
            for number in range(-(-streams // OF_ONE_TOKEN))
        ]


def _ask(path: str, token: str, last_id: str = "") -> bytes:
    resumed = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n"
    return f"{head}{resumed}\r\n".encode()


class Listener(asyncio.Protocol):
    """One stream of thousands: it keeps what comes, and notes when each event was there; what it was is looked at afterwards."""

    MARK = b"\nevent: event\n"

    def __init__(self, ask: bytes, heard: Callable[[], None]) -> None:
        self.arrived: list[float] = []
        self.pieces: list[bytes] = []
        self.is_open = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self._ask, self._heard, self._rest = ask, heard, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._ask)

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        if not self.is_open.is_set() and b"\nretry: " in data:
            self.is_open.set()
        data = self._rest + data
        for _ in range(data.count(self.MARK)):
            self.arrived.append(time.monotonic())
            self._heard()
        self._rest = data[1 - len(self.MARK) :]  # Of a mark that was cut.

    def lines(self) -> list[bytes]:
        """Return the data of its events."""
        return [line for line in b"".join(self.pieces).split(b"\n") if line.startswith(b"data: ")]


class Listeners:
    """Thousands of streams, as light as can be: what is measured is the interface."""

    def __init__(self, port: int, tokens: Sequence[str]) -> None:
        self._port, self._count, self._changed = port, 0, asyncio.Event()
        self.all = [Listener(_ask("/v1/events/stream", token), self._hear) for token in tokens]

    def _hear(self) -> None:
        self._count += 1
        if self._count % len(self.all) == 0:
            self._changed.set()

    async def open(self, at_once: int = 200) -> None:
        loop = asyncio.get_running_loop()

        async def one(listener: Listener) -> None:
            await loop.create_connection(lambda: listener, "127.0.0.1", self._port)
            await listener.is_open.wait()

        for first in range(0, len(self.all), at_once):
            await asyncio.gather(*(one(listener) for listener in self.all[first : first + at_once]))

    async def have(self, events: int, within_s: float) -> None:
        """Wait until all together have so many for each.  Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while self._count < events * len(self.all):
                self._changed.clear()
                await self._changed.wait()

    def close(self) -> None:
        for listener in self.all:
            if listener.transport is not None:
                listener.transport.abort()


class Reader:
    """One stream, read line by line.  `arrived`: the data of each event that came, with the time; `ids`: of all."""

    def __init__(
        self, port: int, token: str, *, last_id: str = "", path: str = "/v1/events/stream", limit: int = 2**20
    ) -> None:
        self.arrived: list[tuple[float, bytes]] = []
        self.ids: list[str] = []
        self.heartbeats = 0
        self._ask = _ask(path, token, last_id)
        self._port, self._limit = port, limit
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Raises AssertionError: it is not let in."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=self._limit)
        self._writer.write(self._ask)
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == b"200", head

    async def read(self, until: int) -> None:
        """Read until there were so many events, or the connection has ended.  Raises AssertionError: the server has said goodbye."""
        assert self._reader is not None
        with contextlib.suppress(ConnectionError):
            while len(self.arrived) < until and (line := await self._reader.readline()):
                if line.startswith(b"data: "):
                    self.arrived.append((time.monotonic(), line))
                elif line == b"event: bye\n":
                    raise AssertionError(f"the stream has ended: {await self._reader.readline()!r}")
                elif line.startswith(b"id: "):
                    self.ids.append(line[4:].decode().strip())
                elif line.startswith(b": "):
                    self.heartbeats += 1

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


async def opened(readers: Sequence[Reader], at_once: int = 200) -> None:
    """Open them, so many at a time."""
    for first in range(0, len(readers), at_once):
        await asyncio.gather(*(reader.open() for reader in readers[first : first + at_once]))


def resident_kib(pid: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0])
