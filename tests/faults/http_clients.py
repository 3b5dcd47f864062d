"""Many clients of the HTTP interface in one process: raw connections, each as slow or as many as a row wants."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import Sequence
from pathlib import Path

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


class Reader:
    """One stream, read line by line.  `events`: the data of each that came, with the time; `retired`: it has ended."""

    def __init__(
        self, port: int, token: str, *, last_id: str = "", path: str = "/v1/events/stream", limit: int = 2**20
    ) -> None:
        self.arrived: list[tuple[float, bytes]] = []
        self.ids: list[str] = []
        self.heartbeats = 0
        self.status = 0
        self._ask = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n"
            + (f"Last-Event-ID: {last_id}\r\n" if last_id else "")
            + "\r\n"
        ).encode()
        self._port, self._limit = port, limit
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=self._limit)
        self._writer.write(self._ask)
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.status = int(head.split()[1])

    async def read(self, until: int) -> None:
        """Read until there were so many events, or the stream has ended."""
        assert self._reader is not None
        with contextlib.suppress(ConnectionError):
            while len(self.arrived) < until and (line := await self._reader.readline()):
                if line.startswith(b"data: "):
                    self.arrived.append((time.monotonic(), line))
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
    assert {reader.status for reader in readers} == {200}


def resident_kib(pid: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0])
