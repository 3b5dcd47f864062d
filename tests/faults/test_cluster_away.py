"""F-06: all NATS servers are away for a while: the bus does not notice, the backlog arrives in order, memory stays as it was."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from sylvite.client.sync_client import Client
from sylvite.cluster.dev import DevCluster
from tests.cluster.conftest import nats, nats_servers
from tests.cluster.masters import Master
from tests.faults import proc
from tests.faults.cluster_traffic import TAG, compare
from tests.faults.report import control, report

__all__ = ["nats", "nats_servers"]
GROWTH_MIB = 32.0
PAD = "x" * 1000
SLOW_S = 5.0
"""One that is synced on a busy machine may take a while; with servers that are waited for, it would take for ever."""


class _Sent:
    def __init__(self, count: int) -> None:
        self.sent, self.acknowledged = count, set(range(count))


def _play(servers: DevCluster, folder: Path, away_s: float, backlog: int, without: str | None = None) -> None:
    """`backlog`: so many events of 1 KB are published at once, and after them some each second, while nobody is there."""
    with (
        Master(folder / "mars", servers, "mars", without=without) as mars,
        Master(folder / "venus", servers, "venus") as venus,
        Client.connect(mars.socket) as client,
    ):
        client.publish(TAG, {"number": 0}, level="replicated", timeout_s=60.0)
        count, slowest_s = 1, 0.0
        assert mars.bridge is not None
        memory = proc.memory_bytes(mars.bridge.pid)
        for server in servers.servers:
            servers.kill(server.name)
        until_s = time.monotonic() + away_s
        client.publish_many(((TAG, {"number": number, "pad": PAD}) for number in range(count, backlog)), timeout_s=60.0)
        count = backlog
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            client.publish(TAG, {"number": count})
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            count += 1
            threading.Event().wait(0.2)
        servers.restart_all()
        wrong = compare(venus.socket, _Sent(count), timeout_s=15.0 if without else 180.0)
        growth = (proc.memory_bytes(mars.bridge.pid, "VmHWM") - memory) / 2**20
    counters = {**wrong, "growth_mib": round(growth, 1), "slowest_s": round(slowest_s, 2), "backlog": count}
    target = {**dict.fromkeys(wrong, 0.0), "growth_mib": GROWTH_MIB, "slowest_s": SLOW_S}
    report("F-06", seed=0, runs=1, counters=counters, target=target, without=without)


def test_servers_that_are_away_cost_nothing_but_time(nats: DevCluster, tmp_path: Path) -> None:
    _play(nats, tmp_path, 1.0, 4_000)


@pytest.mark.long
def test_servers_that_are_away_for_ten_minutes_cost_nothing_but_time(nats: DevCluster, tmp_path: Path) -> None:
    _play(nats, tmp_path, 600.0, 200_000)


@pytest.mark.long
def test_a_bridge_that_keeps_all_that_waits_is_found_out(nats: DevCluster, tmp_path: Path) -> None:
    """Negative control."""
    with control("F-06", without="the window", match='"row": "F-06".*"growth_mib"'):
        _play(nats, tmp_path, 4.0, 80_000, without="the window")
