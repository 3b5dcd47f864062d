"""Traffic through a cluster: somebody publishes on one master, and the log of another is compared with what he was told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from nats.js.errors import APIError

from sylvite.client.sync_client import Client
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.errors import AckUnknown, ClusterError, ConnectionLost, SylviteError
from tests.cluster.servers import settings

TAG = "load/cluster"
ARRIVE_S = 90.0


class Publisher:
    """Publishes at a level, one after the other, and again what it was not told of, from a thread of its own.

    `sent`: so many; `acknowledged`: the numbers that it was told are there.  `slowest_s`: the longest time until it was told.
    """

    def __init__(self, socket: Path, level: str, *, pause_s: float = 0.0) -> None:
        self.sent = 0
        self.acknowledged: set[int] = set()
        self.unknown = 0
        self.slowest_s = 0.0
        self._socket, self._level, self._pause_s = socket, level, pause_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher")

    def __enter__(self) -> Publisher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self._ending.set()
        self._thread.join()

    def wait_for(self, count: int) -> None:
        """Wait until so many are acknowledged."""
        deadline = time.monotonic() + ARRIVE_S
        while len(self.acknowledged) < count:
            assert time.monotonic() < deadline, f"only {len(self.acknowledged)} of {count} are acknowledged"
            self._ending.wait(0.02)

    def _run(self) -> None:
        with Client.connect(self._socket) as client:
            while not self._ending.wait(self._pause_s):
                number, begin_s = self.sent, time.monotonic()
                self.sent += 1
                self._publish(client, number)
                self.slowest_s = max(self.slowest_s, time.monotonic() - begin_s)

    def _publish(self, client: Client, number: int) -> None:
        error: AckUnknown | None = None
        while True:
            try:
                if error is None:
                    client.publish(TAG, {"number": number}, level=self._level)
                else:
                    client.retry(error)
            except AckUnknown as unknown:
                error = unknown
                self.unknown += 1
                if self._ending.is_set():
                    return
            except ConnectionLost:
                if self._ending.wait(0.05):
                    return
            else:
                self.acknowledged.add(number)
                return


class Sent(Protocol):
    sent: int
    acknowledged: set[int]


def compare(socket: Path, publisher: Sent, *, timeout_s: float = ARRIVE_S) -> dict[str, float]:
    """Return what is wrong in a log, once all that was acknowledged has arrived, or does not in time."""
    numbers: list[int] = []
    missing = set(publisher.acknowledged)
    deadline = time.monotonic() + timeout_s
    with Client.connect(socket) as client, client.subscribe(exact=TAG, since="oldest") as events:
        while missing and (event := events.next(max(0.0, deadline - time.monotonic()))) is not None:
            numbers.append(event.data["number"])
            missing.discard(event.data["number"])
        while (event := events.next(1.0)) is not None:
            numbers.append(event.data["number"])
    counts = Counter(numbers)
    return {
        "lost": len(missing),
        "doubled": sum(count - 1 for count in counts.values()),
        "reordered": sum(before > after for before, after in pairwise(numbers)),
        "phantom": sum(number >= publisher.sent for number in counts),
    }


def events_of(socket: Path, name: str) -> list[dict[str, object]]:
    """Return the data of all events of this name that the cluster has published on a bus."""
    with Client.connect(socket) as client:
        found = client.subscribe(exact=f"sylvite/cluster/{name}", since="oldest", until_end=True)
        return [dict(event.data) for event in found]


async def _leader(servers: DevCluster) -> str | None:
    try:
        async with await Connection.open(settings(servers), timeout_s=5.0) as connection:
            info = await connection.jetstream.stream_info("sylvite_log")
    except (SylviteError, APIError, ClusterError, TimeoutError):
        return None
    return info.cluster.leader if info.cluster is not None else None


def leader(servers: DevCluster) -> str:
    """Return the server that leads the stream; any, where that is not known."""
    return asyncio.run(_leader(servers)) or servers.servers[0].name
