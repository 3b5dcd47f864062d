"""`sylvite doctor` and `sylvite status` on machines with a master or a minion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sylvite import Client
from tests.daemons.network import Network, Node
from tests.daemons.nodes import WITHIN_S


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(tmp_path)


def findings(node: Node, state: str) -> str:
    """Return what doctor says, of one state, a line each."""
    said = node("doctor", "--json", code=None)
    assert not said.startswith("{"), said
    found: list[dict[str, str]] = json.loads(said)
    return "\n".join(f"{each['name']}: {each['text']} -> {each['cure']}" for each in found if each["state"] == state)


def test_a_machine_without_a_configuration_has_no_nodes(tmp_path: Path) -> None:
    said = Node(tmp_path / "x")("doctor", "--json", code=None)
    assert '"name":"master"' not in said
    assert '"name":"minion"' not in said


def test_a_master_that_was_never_started(network: Network) -> None:
    failed = findings(network.master, "FAIL")
    assert "master: it does not run, or not for you: no broker at" in failed
    assert "-> start it: `sylvite master`" in failed


def test_what_is_wrong_with_a_configuration(network: Network) -> None:
    network.master.configure("master", ret_port="many", timout=3)
    failed = findings(network.master, "FAIL")
    assert f"master: {network.master.folder}/master:2: ret_port: 'many' must be" in failed
    assert "`sylvite config check --node master`" in failed


def test_keys_that_wait_and_minions_that_are_connected_or_not(network: Network) -> None:
    with network.master.run("master"):
        alpha = network.pinned("alpha", "alpha")
        assert "the master 127.0.0.1" in findings(alpha, "ok")
        assert "minion: it does not run" in findings(alpha, "FAIL")
        with alpha.run("minion"):
            network.sees("salt/auth", "data.act == 'pend'")
            with network.pinned("thief", "alpha").run("minion"):
                network.sees("salt/auth", "data.act == 'denied'")
            warned = findings(network.master, "warn")
            assert "keys: waiting to be let in: alpha -> compare with `sylvite keys finger --minion` there" in warned
            assert "keys: denied: alpha -> two machines have one id" in warned
            assert "keys      1 key to be accepted: alpha" in network.master("status")
            with Client.connect(alpha.folder / "var" / "run" / "sylvite" / "minion" / "bus.sock") as bus:
                bus.publish("fire_master", {"tag": "myco/a", "data": {}})
            assert "for the master on hold" in findings(alpha, "warn")
            assert alpha.ask("status")["minion"]["waiting"] >= 1
            network.master("keys", "accept", "alpha", "--yes")
            network.sees("myco/a")
            network.sees("salt/minion/alpha/start")
            good = findings(network.master, "ok")
            assert "1 minion connected" in good
            assert network.master.ask("status")["master"]["connected"] == ["alpha"]
            assert "minions   1 connected: alpha" in network.master("status")
        network.master("keys", "delete", "alpha", "--state", "denied", "--yes")
        assert "FAIL" not in network.master("doctor", code=None)
    failed = findings(alpha, "warn")
    assert "is not reached: connection refused -> see whether the master runs" in failed


def test_a_folder_that_others_may_write_to(network: Network) -> None:
    with network.master.run("master"):
        data = network.master.folder / "var" / "lib" / "sylvite" / "master"
        data.chmod(0o777)
        assert "others may write to" in findings(network.master, "FAIL")
        data.chmod(0o700)


def test_a_minion_that_knows_no_master(network: Network) -> None:
    alpha = network.minion("alpha", "alpha")
    assert "it knows no master, and trusts none for coming first -> set master_finger" in findings(alpha, "warn")


def test_a_minion_whose_master_has_another_key(network: Network) -> None:
    """It stays and tries again, tells of it here, and there once the key is the right one; or it stops, where that is wanted."""
    wrong = ":".join(["2f"] * 32)
    told = "salt/minion/alpha/wrong_master"
    with network.master.run("master"):
        right = network.master("keys", "finger").strip()
        alpha = network.minion("alpha", "alpha", master_finger=f'"{wrong}"')
        bus_of_alpha = alpha.folder / "var" / "run" / "sylvite" / "minion" / "bus.sock"
        with alpha.run("minion"), Client.connect(bus_of_alpha) as bus:
            event = bus.wait(told, since="oldest", timeout_s=WITHIN_S)
            assert (event.data["found"], event.data["pinned"]) == (right, [wrong])
            failed = findings(alpha, "FAIL")
            assert f"is not to be trusted: the master has the key {right}, and not {wrong}" in failed
            assert "compare with `sylvite keys finger`" in failed
            assert alpha.ask("status")["minion"]["wrong_master"]["found"] == right
            assert "MASTER    127.0.0.1" in alpha("status")
        at = {"id": "alpha", "master": f"127.0.0.1:{network.port}", "acceptance_wait_time": 1}
        alpha.configure("minion", **at, master_finger=f'"{wrong}"', wrong_master_retry=False)
        with alpha.run("minion") as minion:
            assert minion.wait() == 77
            assert f"the master has the key {right}" in minion.log.read_text()
            assert "Traceback" not in minion.log.read_text()
        alpha.configure("minion", **at, master_finger=f'"{right}"')
        with alpha.run("minion"):
            network.sees("salt/auth", "data.act == 'pend'")
            network.master("keys", "accept", "alpha", "--yes")
            assert network.sees(told).data["data"]["found"] == right
            assert alpha.ask("status")["minion"]["wrong_master"] is None
            assert "shows a key that is trusted" in findings(alpha, "ok")
            assert "MASTER" not in alpha("status")
