"""Runners of `cloud`: machines at an OpenStack over HTTP, with the events of salt-cloud on the bus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sylvite.cloud.errors import NoSuchMachine, ProviderError
from sylvite.errors import InvalidInput, InvalidSetting
from sylvite.functions.arguments import Arguments
from sylvite.functions.errors import FunctionFailed
from sylvite.functions.library import Library
from sylvite.functions.task import RUNNER, Task, run_task
from sylvite.testing.bus import Bus
from tests.cloud.openstack import OpenStack
from tests.cloud.surroundings import Surroundings
from tests.functions.conftest import MakeLibrary


@pytest.fixture
def openstack() -> Iterator[OpenStack]:
    with OpenStack() as server:
        yield server


@pytest.fixture
def around(tmp_path: Path, openstack: OpenStack, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    around = Surroundings(tmp_path)
    monkeypatch.setenv("SYLVITE_CLOUD_STATE", str(around.state))
    around.provider("lab", **openstack.provider())
    around.profile("web", provider="lab", size="m1.small", image="debian-12", wait_for_ip_interval=0.1)
    return around


@pytest.fixture
def library(make_library: MakeLibrary, around: Surroundings) -> Library:
    return make_library(config_dir=str(around.folder))


def run(library: Library, name: str, *positional: Any, **named: Any) -> Any:
    return run_task(
        library, Task(RUNNER, name, Arguments(list(positional), named), "20261123224727940211", "root")
    ).value


def steps(bus: Bus) -> list[str]:
    return [tag.removeprefix("salt/cloud/") for tag, _ in bus.fired if tag.startswith("salt/cloud/")]


def test_machines_from_a_profile_to_their_end(library: Library, bus: Bus) -> None:
    made = run(library, "cloud.profile", "web", "web1, web2")
    assert {name: (facts["provider"], facts["state"]) for name, facts in made.items()} == {
        "web1": ("lab", "running"), "web2": ("lab", "running"),
    }  # fmt: skip
    assert steps(bus)[:4] == ["web1/creating", "web1/requesting", "web1/querying", "web1/created"]
    found = run(library, "cloud.query")
    assert list(found["lab"]["openstack"]) == ["web1", "web2"]
    assert run(library, "cloud.full_query") == found
    assert found["lab"]["openstack"]["web1"]["id"] == made["web1"]["id"]
    assert run(library, "cloud.action", "stop", instance="web1") == {"lab": {"openstack": {"web1": True}}}
    assert steps(bus)[-2:] == ["web1/stopping", "web1/stopped"]
    assert run(library, "cloud.destroy", ["web1", "web2"]) == {"lab": {"openstack": {"web1": True, "web2": True}}}
    assert steps(bus)[-4:] == ["web1/destroying", "web1/destroyed", "web2/destroying", "web2/destroyed"]
    assert run(library, "cloud.query") == {}


def test_a_machine_without_a_profile(library: Library, bus: Bus) -> None:
    made = run(library, "cloud.create", "lab", "db1", size="m1.tiny", image="debian-12")
    assert made["db1"]["state"] == "running"
    assert steps(bus) == ["db1/creating", "db1/requesting", "db1/querying", "db1/created"]


def test_the_machines_of_a_map(library: Library, bus: Bus, tmp_path: Path) -> None:
    """Those that are not there yet."""
    run(library, "cloud.profile", "web", "web1")
    path = tmp_path / "web.map"
    path.write_text("web: [web1, {web2: {size: m1.tiny}}]\n")
    path.chmod(0o600)
    made = run(library, "cloud.map_run", str(path))
    assert list(made) == ["web2"]
    assert made["web2"]["state"] == "running"
    assert steps(bus)[4:] == ["web2/creating", "web2/requesting", "web2/querying", "web2/created"]
    assert run(library, "cloud.map_run", str(path)) == {}


def test_what_a_provider_offers(library: Library) -> None:
    sizes = run(library, "cloud.list_sizes")["lab"]["openstack"]
    assert sizes["m1.small"]["id"] == "2"
    assert all(isinstance(value, str | int | float) for value in sizes["m1.small"].values())
    assert "debian-12" in run(library, "cloud.list_images", "lab")["lab"]["openstack"]
    assert set(run(library, "cloud.list_locations", "lab")) == {"lab"}


@pytest.mark.parametrize(
    ("name", "positional", "named", "kind"),
    [
        ("cloud.profile", ["nothing", "web1"], {}, InvalidInput),
        ("cloud.map_run", [], {}, InvalidInput),
        ("cloud.profile", [], {}, InvalidInput),
        ("cloud.profile", ["web", ""], {}, InvalidInput),
        ("cloud.profile", ["web", "-x"], {}, InvalidInput),
        ("cloud.create", ["nowhere", "web1"], {}, InvalidSetting),
        ("cloud.destroy", ["nobody"], {}, NoSuchMachine),
        ("cloud.action", ["explode", "web1"], {}, InvalidInput),
        ("cloud.list_sizes", ["nowhere"], {}, InvalidInput),
    ],
)
def test_what_cannot_be_done(
    library: Library, bus: Bus, name: str, positional: list[Any], named: dict[str, Any], kind: type[Exception]
) -> None:
    """Nothing is begun, and the reason is what the run returns."""
    with pytest.raises(FunctionFailed) as raised:
        run(library, name, *positional, **named)
    assert isinstance(raised.value.__cause__, kind), raised.value.__cause__
    assert steps(bus) == []


def test_a_provider_that_is_away(library: Library, openstack: OpenStack, around: Surroundings) -> None:
    around.provider("lab", **{**openstack.provider(), "password": "wrong"})
    with pytest.raises(FunctionFailed) as raised:
        run(library, "cloud.query")
    assert isinstance(raised.value.__cause__, ProviderError)
