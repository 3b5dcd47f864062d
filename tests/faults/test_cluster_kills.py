"""F-01: NATS servers, bridges and the broker are killed and paused, and the network between them is parted; what was
acknowledged as replicated is on the other master."""

from __future__ import annotations

import random
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.cluster.masters import Master
from tests.cluster.servers import make_whole
from tests.faults.cluster_traffic import Publisher, compare, leader
from tests.faults.parted_cluster import PartedCluster
from tests.faults.report import control, report

KILLS = ("leader", "any", "two", "pause", "all", "bridge up", "bridge down", "broker up", "broker down")
PARTITIONS = ("leader alone", "one master alone", "halves", "halves, stalled", "leader alone, stalled", "slow")
FAULTS = KILLS + PARTITIONS
LASTS_S = 0.8
PARTED_S = (2.0, 8.0)
"""So long at least and at most: servers that hear nothing of their leader elect another one after 4 s or more."""
BETWEEN_S = 0.5


@pytest.fixture(scope="module")
def all_parted(tmp_path_factory: pytest.TempPathFactory) -> Generator[PartedCluster]:
    with PartedCluster(tmp_path_factory.mktemp("parted")) as servers:
        yield servers


@pytest.fixture
def parted(all_parted: PartedCluster) -> Generator[PartedCluster]:
    yield all_parted
    all_parted.heal()
    make_whole(all_parted)


def _master(folder: Path, servers: PartedCluster, node: str, without: str | None = None) -> Master:
    return Master(folder / node, servers, node, without=without, servers=servers.urls_of(node))


def _strike(fault: str, rng: random.Random, servers: PartedCluster, up: Master, down: Master) -> None:
    """Do it, let it last for a while, and put it right."""
    if fault in PARTITIONS:
        _part(fault, rng, servers)
        return
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


def _part(fault: str, rng: random.Random, servers: PartedCluster) -> None:
    first, before = leader(servers), servers.happened
    match fault.partition(",")[0]:
        case "slow":
            servers.delay()
        case "leader alone":
            servers.part({first}, stalled="stalled" in fault)
        case "one master alone":
            servers.part({rng.choice(("mars", "venus"))})
        case _:
            # Who publishes is with the server that led, and that cannot lead any more; or with the other two.
            servers.part({first, rng.choice(("mars", "venus"))}, stalled="stalled" in fault)
    _wait(rng.uniform(*PARTED_S))
    servers.heal()
    assert servers.happened > before, f"{fault}: the network has done nothing to anybody"


def _wait(seconds: float) -> None:
    """Let the processes go on."""
    threading.Event().wait(seconds)


def _play(servers: PartedCluster, folder: Path, faults: list[str], seed: int, without: str | None = None) -> None:
    rng = random.Random(seed)
    with (
        _master(folder, servers, "mars", without) as mars,
        _master(folder, servers, "venus") as venus,
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


def test_what_is_replicated_survives_kills_pauses_and_partitions(parted: PartedCluster, tmp_path: Path) -> None:
    _play(parted, tmp_path, ["bridge up", "two", "halves", "broker up", "pause"], seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_what_is_replicated_survives_two_hundred_faults(parted: PartedCluster, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    _play(parted, tmp_path, [rng.choice(FAULTS) for _ in range(20)], seed)


@pytest.mark.long
def test_who_is_alone_with_the_server_that_led_is_told_nothing_that_is_not_true(
    parted: PartedCluster, tmp_path: Path
) -> None:
    """And the other master goes on, with the two servers that can decide."""
    with _master(tmp_path, parted, "mars") as mars, _master(tmp_path, parted, "venus") as venus:
        with Publisher(mars.socket, "replicated") as there:
            there.wait_for(3)
        parted.part({leader(parted), "mars"}, stalled=True)
        with Publisher(mars.socket, "replicated") as alone, Publisher(venus.socket, "replicated") as others:
            others.wait_for(3)
            assert not alone.acknowledged
            parted.heal()
            alone.wait_for(3)


@pytest.mark.long
def test_a_bridge_that_waits_for_no_confirmation_is_found_out(parted: PartedCluster, tmp_path: Path) -> None:
    """Negative control."""
    with control("F-01", without="confirmations", match='"row": "F-01"'):
        _play(parted, tmp_path, ["all"], seed=1, without="confirmations")
