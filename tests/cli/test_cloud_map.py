"""`sylvite cloud map`: the real program, a real broker, libcloud's dummy and OpenStack over HTTP."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.testing.broker import BrokerProcess
from tests.cli.program import Program
from tests.cli.test_cloud import WITHIN_S, Lab
from tests.cloud.openstack import OpenStack
from tests.cloud.surroundings import Surroundings

MAP = "web:\n  - web1\n  - web2\n  - web3: {minion: {grains: {role: db}}}\n"


@pytest.fixture
def openstack() -> Iterator[OpenStack]:
    with OpenStack() as server:
        yield server


@pytest.fixture
def lab(sylvite_broker: BrokerProcess, tmp_path: Path, openstack: OpenStack) -> Lab:
    return Lab(Program(sylvite_broker.socket, tmp_path), Surroundings(tmp_path), openstack, sylvite_broker.socket)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "web.map"
    path.write_text(MAP)
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize("parallel", [(), ("-P", "2")])
def test_those_that_are_not_there_are_created(lab: Lab, file: str, parallel: tuple[str, ...]) -> None:
    lab.openstack.add("web2", "ACTIVE")
    planned = lab("map", file, "--dry-run")
    assert planned.lines == [
        "web2 is there: id-1 at lab, 127.0.0.1", "web1 would be created: web", "web3 would be created: web",
    ]  # fmt: skip
    assert lab.openstack.changes() == []
    done = lab("map", file, *parallel)
    assert (done.code, done.lines[0]) == (0, "web2 is there: id-1 at lab, 127.0.0.1")
    assert [line.partition(":")[0] for line in done.lines[1:]] == ["web1 is created", "web3 is created"]
    assert sorted(done.err.splitlines()) == sorted(
        f"{name}: {text}" for name in ("web1", "web3")
        for text in ("starting create", "requesting instance", "querying instance", "created instance")
    )  # fmt: skip
    created = [data for tag, data in lab.events() if tag.endswith("/created")]
    assert {(data["name"], data["profile"]) for data in created} == {("web1", "web"), ("web3", "web")}
    again = json.loads(lab("map", file, "--json").out)
    assert [(one["name"], one["is_there"]) for one in again] == [("web1", True), ("web2", True), ("web3", True)]


@pytest.mark.parametrize("parallel", [(), ("-P", "3")])
def test_one_that_fails_keeps_none_of_the_others(lab: Lab, file: str, parallel: tuple[str, ...]) -> None:
    lab.around.profile("odd", provider="lab", size="none-such", image="debian-12", wait_for_ip_interval=0.1)
    Path(file).write_text("web: [web1]\nodd: [web2]\n")
    done = lab("map", file, *parallel, "--json")
    first, second = json.loads(done.out)
    assert done.code == 78
    assert (first["name"], second["name"], second["error"]["code"]) == ("web1", "web2", "invalid_setting")
    assert "sylvite: web2: " in done.err
    assert lab("list", "--provider", "lab").lines[1].startswith("web1 ")


def test_names_that_are_meant(lab: Lab, file: str) -> None:
    assert lab("map", file, "web3", "--dry-run").lines == ["web3 would be created: web"]
    done = lab("map", file, "web9")
    assert (done.code, "web9 is not in" in done.err) == (2, True)


def test_libcloud_s_dummy(lab: Lab, file: str) -> None:
    Path(file).write_text("small: [dummy-1, mine]\n")
    done = lab("map", file)
    assert (done.code, done.lines[0]) == (0, "dummy-1 is there: 1 at here, 127.0.0.1")
    assert done.lines[1].startswith("mine is created: ")


def test_what_is_wrong_with_a_map_is_said_before_anything_is_asked(lab: Lab, file: str) -> None:
    Path(file).write_text("wob: [web1]\n")
    done = lab("map", file)
    assert (done.code, "did you mean 'web'" in done.err) == (2, True)
    Path(file).write_text("web: [{web1: 5}]\n")
    assert lab("map", file).code == 78
    Path(file).chmod(0o666)
    assert lab("map", file).code == 78
    assert lab.openstack.asked == []
    assert lab.events() == []


def test_sigterm_while_several_are_created_tells_what_became_of_each(lab: Lab, file: str) -> None:
    lab.openstack.states = ["BUILD"]
    process = lab.run.start("cloud", "map", file, "-P", "3")
    for name in ("web1", "web2", "web3"):
        lab.wait_for(f"{name}/querying")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130
    failed = {data["name"]: data["left"] for tag, data in lab.events() if tag.endswith("/failed")}
    assert failed == {"web1": True, "web2": True, "web3": True}
