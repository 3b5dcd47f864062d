"""F-03: the stream is deleted, cut off, damaged or rolled back; the logs of the masters put back what it has lost."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from sylvite.client.sync_client import Client
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from tests.cluster.conftest import nats, nats_servers
from tests.cluster.masters import Master
from tests.cluster.servers import settings
from tests.faults.cluster_traffic import ARRIVE_S, compare, events_of
from tests.faults.report import control, report

__all__ = ["nats", "nats_servers"]
NOTICED_S = 30.0
EVENTS = 20
ALARMS = ("reseeded", "stream_lost", "rolled_back")
LOOK_S = 0.25


def _delete(servers: DevCluster) -> None:
    async def delete() -> None:
        async with await Connection.open(settings(servers), name="tests") as connection:
            await connection.jetstream.delete_stream("sylvite_log")

    asyncio.run(delete())


def _stores(servers: DevCluster) -> list[Path]:
    return [servers.folder / server.name / "jetstream" for server in servers.servers]


def _blocks(store: Path) -> list[Path]:
    return sorted(store.glob("**/sylvite_log/msgs/*.blk"))


def _agreed(store: Path) -> list[Path]:
    """The log by which the servers agree on what is in a stream: from it they repair the stream by themselves."""
    return sorted(store.glob("**/S-R3F-*/msgs/*.blk"))


def _stop(servers: DevCluster) -> None:
    for server in servers.servers:
        servers.kill(server.name)


def _start(servers: DevCluster) -> None:
    servers.restart_all()
    asyncio.run(servers.wait_until_led())


def _copy(servers: DevCluster, folder: Path) -> None:
    """Copy what the servers have, while they stand still: as it would be found if they were killed."""
    for server in servers.servers:
        servers.pause(server.name)
    for number, store in enumerate(_stores(servers)):
        shutil.copytree(store, folder / f"copy{number}")
    servers.restart_all()


def _publish(master: Master, count: int, first: int = 0) -> None:
    with Client.connect(master.socket) as client:
        for number in range(first, first + count):
            client.publish("load/cluster", {"number": number}, level="replicated", timeout_s=30.0)


class _Sent:
    """What `compare` needs to know of a publisher."""

    def __init__(self, count: int) -> None:
        self.sent, self.acknowledged = count, set(range(count))


def _happen(fate: str, servers: DevCluster, folder: Path, mars: Master, first: int) -> int:
    """Let it happen; return how many events were acknowledged by then, `first` of them before."""
    _publish(mars, EVENTS, first)
    count = first + EVENTS
    if fate == "deleted":
        _delete(servers)
        return count
    if fate == "rolled back":
        _copy(servers, folder)
        _publish(mars, EVENTS, count)
        _stop(servers)
        for number, store in enumerate(_stores(servers)):
            shutil.rmtree(store)
            shutil.copytree(folder / f"copy{number}", store)
        _start(servers)
        return count + EVENTS
    _stop(servers)
    for store in _stores(servers)[: 1 if fate.startswith("one") else None]:
        for path in _blocks(store) + (_agreed(store) if fate == "truncated" else []):
            content = bytearray(path.read_bytes())
            if fate == "truncated":
                path.write_bytes(content[: len(content) // 2])
            else:
                content[len(content) // 2] ^= 0xFF
                path.write_bytes(content)
    _start(servers)
    return count


def _alarms(master: Master) -> int:
    return sum(len(events_of(master.socket, name)) for name in ALARMS)


def _noticed_s(master: Master, before: int) -> float:
    """Return how long it took until a master said what has happened; NOTICED_S and more where none does.

    `before`: so many alarms there were.
    """
    began_s, pause = time.monotonic(), threading.Event()
    while (passed_s := time.monotonic() - began_s) <= NOTICED_S and _alarms(master) <= before:
        pause.wait(LOOK_S)
    return passed_s


def _play(servers: DevCluster, folder: Path, *fates: str, without: str | None = None) -> None:
    """Let one happen after the other; then look whether everything is there."""
    with ExitStack() as stack:
        mars = stack.enter_context(Master(folder / "mars", servers, "mars", without=without))
        venus = stack.enter_context(Master(folder / "venus", servers, "venus", without=without))
        count, noticed_s = 0, 0.0
        for fate in fates:
            before = _alarms(mars)
            count = _happen(fate, servers, folder, mars, count)
            # Where one replica is damaged, the others have it all; and nobody waits for those who do not look.
            if not fate.startswith("one") and not without:
                noticed_s = max(noticed_s, _noticed_s(mars, before))
        counters = {"noticed_late": noticed_s > NOTICED_S, "noticed_s": round(noticed_s, 1)}
        arrive_s = 5.0 if without else ARRIVE_S
        with Client.connect(mars.socket) as client:
            client.publish("load/cluster", {"number": count})  # Life goes on.
        count += 1
        for name, found in (
            ("old", compare(venus.socket, _Sent(count), timeout_s=arrive_s)),
            ("new", _of_a_new_one(servers, folder, count, arrive_s)),
        ):
            counters |= {f"{what}_{name}": many for what, many in found.items()}
    target = {name: 0.0 for name in counters if name != "noticed_s"}
    report("F-03", seed=0, runs=len(fates), counters=counters, target=target, without=without)


def _of_a_new_one(servers: DevCluster, folder: Path, count: int, arrive_s: float) -> dict[str, float]:
    """Let one more master join: it has what the stream has."""
    with Master(folder / "pluto", servers, "pluto") as pluto:
        return compare(pluto.socket, _Sent(count), timeout_s=arrive_s)


def test_a_stream_that_has_lost_something_gets_it_back(nats: DevCluster, tmp_path: Path) -> None:
    _play(nats, tmp_path, "deleted", "rolled back")


@pytest.mark.long
@pytest.mark.parametrize("fate", ["deleted", "rolled back", "truncated", "one replica damaged"])
def test_a_stream_gets_back_what_it_has_lost(nats: DevCluster, tmp_path: Path, fate: str) -> None:
    _play(nats, tmp_path, fate)


@pytest.mark.long
def test_bridges_that_do_not_look_are_found_out(nats: DevCluster, tmp_path: Path) -> None:
    """Negative control."""
    with control("F-03", without="the audit", match='"row": "F-03"'):
        _play(nats, tmp_path, "rolled back", without="the audit")
