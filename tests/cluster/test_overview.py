"""`sylvite cluster status`: what it says of a cluster that is used, that is new, and of which something is away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sylvite import Client
from sylvite.cli.exit_codes import DONE, NO, NOT_REACHABLE
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import SYSTEM, DevCluster
from sylvite.cluster.leases import Leases, bucket_name
from tests.cli.program import Done, Program
from tests.cluster.masters import Master
from tests.cluster.servers import settings
from tests.daemons.nodes import WITHIN_S

EVENTS = 5


class Status:
    """The program, with what it needs to know of the servers."""

    def __init__(self, folder: Path, servers: DevCluster) -> None:
        self._program = Program(folder / "none.sock", folder)
        ours = ("--credentials", str(servers.credentials("master")), "--system", str(servers.credentials(SYSTEM)))
        self._words = ("cluster", "status", "--servers", ",".join(servers.urls), *ours)

    def __call__(self, *words: str) -> Done:
        return self._program(*self._words, *words)


@pytest.fixture
def status(tmp_path: Path, nats: DevCluster) -> Status:
    return Status(tmp_path, nats)


def while_held(nats: DevCluster, do: Callable[[], Any]) -> Any:
    async def main() -> Any:
        async with await Connection.open(settings(nats)) as connection:
            leases = await Leases(connection).open()
            async with leases.hold("presence") as lease:
                await lease.held()
                return await asyncio.to_thread(do)

    return asyncio.run(main())


def test_a_cluster_that_is_new(nats: DevCluster, status: Status) -> None:
    """Looking at it makes nothing."""
    done = status()
    assert (done.code, done.err) == (DONE, "")
    assert [line.split()[0] for line in done.lines[1:4]] == ["n1", "n2", "n3"]
    assert done.lines[-1] == "no master has made the stream yet"

    async def streams() -> int:
        async with await Connection.open(settings(nats)) as connection:
            return len(await connection.jetstream.streams_info())

    assert asyncio.run(streams()) == 0


def test_a_cluster_that_is_used(nats: DevCluster, status: Status, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Who is here, how far the stream has each log, who holds what; and who is silent."""
    with Master(tmp_path_factory.mktemp("mars"), nats, "mars") as master:
        with Client.connect(master.socket) as client:
            for number in range(EVENTS):
                client.publish("myco/x", {"n": number}, level="replicated", timeout_s=60.0)
        found = json.loads(while_held(nats, lambda: status("--json")).out)
        assert status().code == DONE
    assert [server["name"] for server in found["servers"]] == ["n1", "n2", "n3"]
    assert found["leader"] in ("n1", "n2", "n3")
    (mars,) = found["masters"]
    assert (mars["node"], mars["heard"], mars["until"] >= EVENTS, mars["waiting"]) == ("mars", True, True, 0)
    assert mars["messages"] == found["stream"]["messages"] > 0
    assert sorted(each["name"] for each in found["stream"]["replicas"]) == ["n1", "n2", "n3"]
    assert [each["leads"] for each in found["stream"]["replicas"]] == [True, False, False]
    assert [(each["name"], each["node"]) for each in found["leases"]] == [("presence", "mars")]
    done = status()
    assert done.code == NO
    assert [line.split()[:2] for line in done.lines if line.startswith("mars")] == [["mars", "silent"]]


def test_servers_that_are_away(nats: DevCluster, status: Status) -> None:
    async def make() -> None:
        async with await Connection.open(settings(nats)) as connection:
            await Leases(connection).open()
            assert bucket_name(connection.settings) == "sylvite_leases"

    asyncio.run(make())
    nats.kill("n3")
    asyncio.run(nats.wait_until_led(count=2))
    done = status()
    assert done.code == NO
    assert [line.split()[0] for line in done.lines if line.endswith("  here")] == ["n1", "n2"]
    assert "Connect call failed" in done.out
    for name in ("n1", "n2"):
        nats.kill(name)
    done = status()
    assert (done.code, done.out) == (NOT_REACHABLE, "")


def test_logs_are_sent_again_when_somebody_asks(nats: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """And nobody takes an event twice."""
    folder = tmp_path_factory.mktemp("reseed")
    with Master(folder / "mars", nats, "mars") as mars, Master(folder / "venus", nats, "venus") as venus:
        with Client.connect(mars.socket) as client:
            client.publish("myco/x", {"n": 1}, level="replicated", timeout_s=60.0)
        program = Program(folder / "none.sock", folder)
        with Client.connect(mars.socket) as client, client.subscribe("sylvite/cluster/reseeded") as told:
            until = time.monotonic() + WITHIN_S
            # Its whole log has only just been sent, for the stream is new: for some seconds it is not sent again.
            while True:
                done = program("cluster", "reseed", "mars", "--config", str(venus.file))
                assert (done.code, done.out) == (DONE, "asked: mars\n"), done.err
                if told.next(timeout_s=1.0) is not None:
                    break
                assert time.monotonic() < until
        with Client.connect(mars.socket) as client:
            client.publish("myco/x", {"n": 2}, level="replicated", timeout_s=60.0)
        with Client.connect(venus.socket) as client, client.subscribe("myco/x", since="oldest") as events:
            found = [next(events).data["n"] for _ in range(2)]
            assert events.next(timeout_s=0.5) is None
        assert found == [1, 2]
        done = program("cluster", "reseed", "pluto", "--config", str(venus.file))
        assert done.code == NO
        assert "no such master is here" in done.err
