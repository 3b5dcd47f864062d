"""Three NATS servers for tests: the same ones for all of a session, whole and empty before each test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.settings import ClusterSettings


def settings(servers: DevCluster, *, node: str = "mars", **changes: Any) -> ClusterSettings:
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
    async with await Connection.open(settings(servers), name="tests") as connection:
        for stream in await connection.jetstream.streams_info():
            assert stream.config.name is not None
            await connection.jetstream.delete_stream(stream.config.name)


def is_paused(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
