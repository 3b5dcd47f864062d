"""Destroying, starting, stopping and rebooting; and what has changed since the last look."""

from __future__ import annotations

import pytest

from sylvite.cloud.errors import (
    MachineTimeout,
    NoSuchMachine,
    NotSupported,
    ProviderError,
    ProviderNotReachable,
    ProviderRefused,
)
from sylvite.errors import BrokerNotReachable, InvalidInput
from tests.cloud.openstack import Fault, OpenStack
from tests.cloud.surroundings import Surroundings


@pytest.fixture
def lab(around: Surroundings, openstack: OpenStack) -> Surroundings:
    """A provider `lab` at the OpenStack, with one machine, `web1`."""
    around.provider("lab", **openstack.provider())
    openstack.add("web1", "ACTIVE")
    return around


def test_a_machine_is_destroyed_when_it_is_gone(lab: Surroundings, openstack: OpenStack) -> None:
    with lab.cloud() as cloud:
        cloud.destroy(cloud.find("web1"))
    assert openstack.changes() == [("DELETE", "/compute/v2.1/servers/id-1")]
    assert lab.bus.events == [
        ("salt/cloud/web1/destroying", {"event": "destroying instance", "name": "web1", "instance_id": "id-1"}),
        ("salt/cloud/web1/destroyed", {"event": "destroyed instance", "name": "web1", "instance_id": "id-1"}),
    ]


def test_another_machine_of_the_same_name_is_not_forgotten_with_it(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.add("web1", "ERROR")
    with lab.cloud() as cloud:
        cloud.ledger.begin("lab", "web1", "web", "openstack")
        cloud.ledger.known("lab", "web1", "id-2")
        cloud.destroy(cloud.find("id-1"))
        assert [one.instance_id for one in cloud.ledger.unfinished()] == ["id-2"]
        cloud.destroy(cloud.find("id-2"))
        assert cloud.ledger.unfinished() == []


def test_at_the_dummy_too(around: Surroundings) -> None:
    around.provider("here", driver="dummy")
    with around.cloud() as cloud:
        cloud.destroy(cloud.find("dummy-2"))
        assert [one.name for one in cloud.list().machines] == ["dummy-1"]
    assert around.bus.steps == ["destroying", "destroyed"]


def test_a_machine_is_found_by_name_or_id_in_one_place(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.add("twice", "ACTIVE")
    openstack.add("twice", "SHUTOFF")
    with lab.cloud() as cloud:
        assert cloud.find("id-1").name == "web1"
        with pytest.raises(InvalidInput, match="id-2 at lab, id-3 at lab"):
            cloud.find("twice")
        with pytest.raises(NoSuchMachine, match="there is no machine 'web2'"):
            cloud.find("web2")
        with pytest.raises(InvalidInput, match="there is no provider 'lba'; did you mean 'lab'"):
            cloud.find("web1", ["lba"])


@pytest.mark.parametrize(
    ("fault", "kind", "done"),
    [
        (Fault("DELETE", "/servers/id-1", 401, "{}"), ProviderRefused, False),
        (Fault("DELETE", "/servers/id-1", 404, '{"itemNotFound": {"message": "gone", "code": 404}}'), ProviderError, False),
        (Fault("DELETE", "/servers/id-1", 409, '{"conflictingRequest": {"message": "locked", "code": 409}}'), ProviderError, False),
    ],
)  # fmt: skip
def test_a_refusal_is_told(
    lab: Surroundings, openstack: OpenStack, fault: Fault, kind: type[Exception], done: bool
) -> None:
    with lab.cloud() as cloud:
        machine = cloud.find("web1")
        openstack.faults.append(fault)
        with pytest.raises(kind):
            cloud.destroy(machine)
    assert lab.bus.steps == ["destroying", "destroy_failed"]
    assert lab.bus.data("destroy_failed")["done"] is done


def test_an_answer_that_is_cut_is_no_reason_to_forget(lab: Surroundings, openstack: OpenStack) -> None:
    """The machine is looked for: it is gone, so it is destroyed."""
    with lab.cloud() as cloud:
        machine = cloud.find("web1")
        openstack.faults.append(Fault("DELETE", "/servers/id-1", cut="after"))
        cloud.destroy(machine)
    assert lab.bus.steps == ["destroying", "destroyed"]


def test_an_answer_that_is_cut_before_anything_was_done(lab: Surroundings, openstack: OpenStack) -> None:
    with lab.cloud() as cloud:
        machine = cloud.find("web1")
        openstack.faults.append(Fault("DELETE", "/servers/id-1", cut="before"))
        with pytest.raises(MachineTimeout, match="was not gone within 20 s"):
            cloud.destroy(machine, timeout_s=20)
    assert lab.bus.steps == ["destroying", "destroy_failed"]
    assert (lab.bus.data("destroy_failed")["code"], lab.bus.data("destroy_failed")["done"]) == ("machine_timeout", None)


def test_without_the_bus_nothing_is_destroyed(lab: Surroundings, openstack: OpenStack) -> None:
    lab.bus.broken = dict.fromkeys(("destroying", "destroy_failed"), BrokerNotReachable("x", "gone"))
    with lab.cloud() as cloud, pytest.raises(BrokerNotReachable):
        cloud.destroy(cloud.find("web1"))
    assert openstack.changes() == []


def test_stop_and_start_are_told_when_it_is_so(lab: Surroundings, openstack: OpenStack) -> None:
    with lab.cloud() as cloud:
        cloud.change("stop", cloud.find("web1"))
        assert cloud.find("web1").state == "stopped"
        cloud.change("start", cloud.find("web1"))
        assert cloud.find("web1").state == "running"
        cloud.change("reboot", cloud.find("web1"))
    identity = {"name": "web1", "instance_id": "id-1"}
    assert [(tag.rpartition("/")[2], data) for tag, data in lab.bus.events] == [
        ("stopping", {"event": "stopping instance", **identity}),
        ("stopped", {"event": "stopped instance", **identity}),
        ("starting", {"event": "starting instance", **identity}),
        ("started", {"event": "started instance", **identity}),
        ("rebooting", {"event": "rebooting instance", **identity}),
    ]
    bodies = [one.body for one in openstack.asked if one.path.endswith("/action")]
    assert bodies == [{"os-stop": None}, {"os-start": None}, {"reboot": {"type": "HARD"}}]


def test_a_machine_that_does_not_stop_has_not_stopped(lab: Surroundings, openstack: OpenStack) -> None:
    with lab.cloud() as cloud:
        machine = cloud.find("web1")
        openstack.faults.append(Fault("POST", "/action", 202))
        with pytest.raises(MachineTimeout, match="was not stopped within 10 s"):
            cloud.change("stop", machine, timeout_s=10)
    assert lab.bus.steps == ["stopping", "action_failed"]
    assert lab.bus.data("action_failed")["action"] == "stop"


def test_what_a_driver_cannot_do_is_not_begun(around: Surroundings) -> None:
    around.provider("here", driver="dummy")
    with around.cloud() as cloud, pytest.raises(NotSupported, match="the driver dummy cannot stop a machine"):
        cloud.change("stop", cloud.find("dummy-1"))
    assert around.bus.events == []


# -- Lists, and what has changed -------------------------------------------------------------------------------------


def test_a_provider_that_is_away_does_not_hide_the_others(lab: Surroundings, openstack: OpenStack) -> None:
    lab.provider("away", driver="openstack", user="x", password="y", tenant="z", identity_url="http://127.0.0.1:1")
    with lab.cloud() as cloud:
        listing = cloud.list()
        assert [one.name for one in listing.machines] == ["web1"]
        assert [(name, type(error)) for name, error in listing.failed.items()] == [("away", ProviderNotReachable)]
        assert cloud.find("web1").provider == "lab"
        with pytest.raises(ProviderNotReachable):  # It may well be there.
            cloud.find("web2")
    assert lab.bus.events == []


def test_changes_since_the_last_look_are_told(lab: Surroundings, openstack: OpenStack) -> None:
    lab.write("cloud", {"diff_cache_events": True})
    with lab.cloud() as cloud:
        cloud.list()
        cloud.list()
    assert lab.bus.tags == ["salt/cloud/web1/cache_node_new"]
    before = lab.bus.data("cache_node_new")["new_data"]
    assert (before["id"], before["state"], before["public_ips"]) == ("id-1", "running", ["127.0.0.1"])
    openstack.servers[0].states[:] = ["SHUTOFF"]
    openstack.add("web2", "ACTIVE")
    lab.bus.events.clear()
    with lab.cloud() as cloud:
        cloud.list()
    assert lab.bus.events[0] == (
        "salt/cloud/web1/cache_node_diff",
        {"event": "node data differs", "new_data": {**before, "state": "stopped"}, "cache_data": before},
    )
    assert lab.bus.tags[1:] == ["salt/cloud/web2/cache_node_new"]
    openstack.servers.clear()
    lab.bus.events.clear()
    with lab.cloud() as cloud:
        cloud.list()
    assert lab.bus.events == [
        (f"salt/cloud/{name}/cache_node_missing", {"event": "cached node missing from provider", "missing node": name})
        for name in ("web1", "web2")
    ]


def test_what_we_make_and_destroy_ourselves_is_no_news(lab: Surroundings, openstack: OpenStack) -> None:
    lab.write("cloud", {"diff_cache_events": True})
    lab.profile("web", provider="lab", size="2", image="img-1")
    with lab.cloud() as cloud:
        cloud.list()
        lab.bus.events.clear()
        cloud.create("web2", "web")
        cloud.list()
        cloud.destroy(cloud.find("web2"))
        cloud.list()
    assert not [step for step in lab.bus.steps if step.startswith("cache")]


def test_changes_that_could_not_be_told_are_told_the_next_time(lab: Surroundings) -> None:
    lab.write("cloud", {"diff_cache_events": True})
    lab.bus.broken = {"cache_node_new": BrokerNotReachable("x", "gone")}
    with lab.cloud() as cloud, pytest.raises(BrokerNotReachable):
        cloud.list()
    lab.bus.broken = {}
    with lab.cloud() as cloud:
        cloud.list()
    assert lab.bus.steps == ["cache_node_new"]


def test_a_name_that_is_none_is_told_by_its_id(lab: Surroundings, openstack: OpenStack) -> None:
    """Providers take names that would be another tag here."""
    lab.write("cloud", {"diff_cache_events": True})
    openstack.servers.clear()
    openstack.add("a/../b", "ACTIVE")
    with lab.cloud() as cloud:
        cloud.list()
        cloud.destroy(cloud.find("a/../b"))
    assert lab.bus.tags == [f"salt/cloud/id_2/{step}" for step in ("cache_node_new", "destroying", "destroyed")]
    assert lab.bus.data("destroyed")["name"] == "a/../b"
