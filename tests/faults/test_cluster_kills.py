"""F-01: NATS servers, bridges and the broker are killed and paused; what was acknowledged as replicated is on the other master."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from sylvite.cluster.dev import DevCluster
from tests.cluster.conftest import nats, nats_servers
from tests.cluster.masters import Master
from tests.faults.cluster_traffic import Publisher, compare, leader
from tests.faults.report import control, report

__all__ = ["nats", "nats_servers"]
FAULTS = ("leader", "any", "two", "pause", "all", "bridge up", "bridge down", "broker up", "broker down")
LASTS_S = 1.0
BETWEEN_S = 0.7


def _strike(fault: str, rng: random.Random, servers: DevCluster, up: Master, down: Master) -> None:
    """Do it, let it last for a while, and put it right."""
    names = [server.name for server in servers.servers]
    match fault:
        case "leader":
            servers.kill(leader(servers))
        case "any":
            servers.kill(rng.choice(names))
        case "two":
            for name in rng.sample(names, 2):
                servers.kill(name)
        case "pause":
            servers.pause(leader(servers))
        case "all":
            for name in names:
                servers.kill(name)
        case "bridge up" | "bridge down":
            (up if fault.endswith("up") else down).kill_bridge()
        case _:
            (up if fault.endswith("up") else down).bus.kill()
    _wait(LASTS_S)
    match fault:
        case "bridge up" | "bridge down":
            (up if fault.endswith("up") else down).start_bridge()
        case "broker up" | "broker down":
            (up if fault.endswith("up") else down).bus.start()
        case _:
            servers.restart_all()


def _wait(seconds: float) -> None:
    """Let the processes go on."""
    threading.Event().wait(seconds)


def _play(servers: DevCluster, folder: Path, faults: list[str], seed: int, without: str | None = None) -> None:
    rng = random.Random(seed)
    with (
        Master(folder / "mars", servers, "mars", without=without) as mars,
        Master(folder / "venus", servers, "venus") as venus,
    ):
        with Publisher(mars.socket, "replicated") as publisher:
            publisher.wait_for(3)
            for fault in faults:
                _strike(fault, rng, servers, mars, venus)
                _wait(BETWEEN_S)
            publisher.wait_for(len(publisher.acknowledged) + 3)
        counters = compare(venus.socket, publisher, timeout_s=15.0 if without else 90.0)
        counters |= {"acknowledged": len(publisher.acknowledged), "unknown": publisher.unknown}
    target: dict[str, float] = dict.fromkeys(("lost", "doubled", "reordered", "phantom"), 0.0)
    report("F-01", seed=seed, runs=len(faults), counters=counters, target=target, without=without)


def test_what_is_replicated_survives_kills_and_pauses(nats: DevCluster, tmp_path: Path) -> None:
    _play(nats, tmp_path, ["leader", "bridge up", "two", "bridge down", "broker up", "pause"], seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_what_is_replicated_survives_two_hundred_faults(nats: DevCluster, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    _play(nats, tmp_path, [rng.choice(FAULTS) for _ in range(20)], seed)


@pytest.mark.long
def test_a_bridge_that_waits_for_no_confirmation_is_found_out(nats: DevCluster, tmp_path: Path) -> None:
    """Negative control."""
    with control("F-01", without="confirmations", match='"row": "F-01"'):
        _play(nats, tmp_path, ["all"], seed=1, without="confirmations")
