"""Three NATS servers for tests: the same ones for all of a file, whole and empty before each test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import nats.errors
import nats.js.errors
from nats.js.api import StreamConfig

from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import START_S, DevCluster
from sylvite.cluster.settings import ClusterSettings

Stored = TypeVar("Stored")


def settings(servers: DevCluster, /, *, node: str = "mars", **changes: Any) -> ClusterSettings:
    """Return how a master reaches the servers."""
    given = ClusterSettings(servers=tuple(servers.urls), node=node, credentials=str(servers.credentials("master")))
    return msgspec.structs.replace(given, **changes)


@contextmanager
def running(folder: Path) -> Generator[DevCluster]:
    with DevCluster(folder) as servers:
        yield servers


def make_whole(servers: DevCluster) -> None:
    """Start what a test has killed, let go on what it has paused, and forget what it has left in JetStream."""
    servers.restart_all()
    asyncio.run(_forget(servers))


async def _forget(servers: DevCluster) -> None:
    await servers.wait_until_led()
    async with asyncio.timeout(START_S), await Connection.open(settings(servers), name="tests") as connection:
        for stream in await connection.jetstream.streams_info():
            assert stream.config.name is not None
            await connection.jetstream.delete_stream(stream.config.name)
        await _wait_until_placed(connection)


async def _wait_until_placed(connection: Connection) -> None:
    """Wait until a stream can be put on all three: whoever leads may take one for away for a while after it is back."""
    while True:
        try:
            await connection.jetstream.add_stream(StreamConfig(name="probe", subjects=["probe"], num_replicas=3))  # type: ignore[reportUnknownMemberType]
            await connection.jetstream.delete_stream("probe")
        except (nats.js.errors.APIError, nats.errors.TimeoutError):
            await asyncio.sleep(0.1)
        else:
            return


async def once_led(store: Callable[[], Awaitable[Stored]]) -> Stored:
    """Store something in a stream that has just been made: nobody may lead it yet, and then nothing was stored."""
    async with asyncio.timeout(START_S):
        while True:
            try:
                return await store()
            except nats.js.errors.NoStreamResponseError:
                await asyncio.sleep(0.05)


def is_paused(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
