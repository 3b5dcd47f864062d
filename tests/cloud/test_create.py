"""Creating a machine: at libcloud's dummy, and at OpenStack over HTTP, and what is refused."""

from __future__ import annotations

import json

import pytest

from sylvite.cloud import create
from sylvite.cloud.errors import (
    MachineExists,
    NotSupported,
    ProviderBusy,
    ProviderRefused,
)
from sylvite.errors import InvalidInput, InvalidSetting
from tests.cloud.openstack import TOKEN, Asked, Fault, OpenStack
from tests.cloud.surroundings import Surroundings, failed, nothing_remembered

POST = ("POST", "/compute/v2.1/servers")


@pytest.fixture
def dummy(around: Surroundings) -> Surroundings:
    around.provider("here", driver="dummy")
    around.profile("small", provider="here", size="Small", image="Ubuntu 9.04")
    return around


# -- Good days -------------------------------------------------------------------------------------------------------


def test_each_step_is_an_event_in_salts_order_and_shape(dummy: Surroundings) -> None:
    with dummy.cloud() as cloud:
        machine = cloud.create("web1", "small")
    identity = {"name": "web1", "profile": "small", "provider": "here", "driver": "dummy"}
    assert dummy.bus.events == [
        ("salt/cloud/web1/creating", {"event": "starting create", **identity}),
        (
            "salt/cloud/web1/requesting",
            {
                "event": "requesting instance",
                "kwargs": {"name": "web1", "size": "Small", "image": "Ubuntu 9.04"},
                "location": None,
            },
        ),
        ("salt/cloud/web1/querying", {"event": "querying instance", "instance_id": machine.id}),
        ("salt/cloud/web1/created", {"event": "created instance", **identity, "instance_id": machine.id}),
    ]
    assert machine.state == "running"
    assert nothing_remembered(dummy)


def test_openstack_is_asked_for_what_the_profile_says(lab: Surroundings, openstack: OpenStack) -> None:
    lab.profile(
        "full", provider="lab", size=2, image="img-2", networks=["private"], tag={"role": "web", "tier": 2},
        reactor=True, ssh_key_name="ops", userdata="#!/bin/sh\necho my-own-secret\n",
    )  # fmt: skip
    with lab.cloud() as cloud:
        machine = cloud.create("web1", "full")
    changing = [one for one in openstack.asked if one.method != "GET" and one.path != "/v3/auth/tokens"]
    created, tagged = changing
    assert created == Asked(
        "POST", "/compute/v2.1/servers",
        {
            "server": {
                "name": "web1", "imageRef": "img-2", "flavorRef": "2", "networks": [{"uuid": "net-1"}], "metadata": {},
                "key_name": "ops", "user_data": created.body["server"]["user_data"],
            }
        },
        TOKEN,
    )  # fmt: skip
    assert tagged == Asked(
        "PUT", f"/compute/v2.1/servers/{machine.id}/metadata", {"metadata": {"role": "web", "tier": "2"}}, TOKEN
    )
    assert lab.bus.steps == ["creating", "requesting", "querying", "query_reactor", "tagging", "created"]
    assert lab.bus.data("tagging") == {"event": "setting tags", "tags": {"role": "web", "tier": 2}}
    assert lab.bus.data("requesting")["kwargs"] == {
        "name": "web1", "size": "m1.small", "image": "debian-13", "networks": ["private"], "ex_keyname": "ops",
        "ex_userdata": "***",
    }  # fmt: skip
    assert machine.public_ips == ("127.0.0.1",)


def test_a_machine_is_waited_for_until_it_runs(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.states = ["BUILD"] * 5 + ["ACTIVE"]
    with lab.cloud() as cloud:
        assert cloud.create("web1", "web").state == "running"
    assert lab.clock.slept == [5.0] * 5


def test_filter_events_chooses_what_is_told(lab: Surroundings) -> None:
    lab.write(
        "cloud",
        {
            "filter_events": {
                "creating": {"keys": ["image", "ssh_username", "nothing"]},
                "created": {"keys": ["size"], "use_defaults": False},
                "requesting": {"keys": ["image", "nothing"], "use_defaults": False},
            }
        },
    )
    lab.profile("web", provider="lab", size="m1.small", image="debian-12", ssh_username="debian")
    with lab.cloud() as cloud:
        cloud.create("web1", "web")
    assert lab.bus.data("creating") == {
        "event": "starting create", "name": "web1", "profile": "web", "provider": "lab", "driver": "openstack",
        "image": "debian-12", "ssh_username": "debian",
    }  # fmt: skip
    assert lab.bus.data("requesting")["kwargs"] == {"image": "debian-12"}
    assert lab.bus.data("created") == {"event": "created instance", "size": "m1.small"}


def test_a_secret_that_filter_events_asks_for_is_not_told(lab: Surroundings) -> None:
    lab.write("cloud", {"filter_events": {"creating": {"keys": ["password", "userdata"]}}})
    lab.profile(
        "web", provider="lab", size="m1.small", image="debian-12", password="sesame-open", userdata="sesame-open"
    )
    with lab.cloud() as cloud, pytest.raises(InvalidSetting, match=r"password.*nothing that the driver"):
        cloud.create("web1", "web")
    assert lab.bus.data("creating")["password"] == "***"
    assert "sesame" not in str(lab.bus.events)


# -- What is refused -------------------------------------------------------------------------------------------------


def test_wrong_credentials(lab: Surroundings, openstack: OpenStack) -> None:
    lab.provider("lab", **{**openstack.provider(), "password": "not-the-password"})
    with lab.cloud() as cloud, pytest.raises(ProviderRefused) as refused:
        cloud.create("web1", "web")
    assert failed(lab)["code"] == "provider_refused"
    assert failed(lab)["left"] is False
    assert "not-the-password" not in str(refused.value) + str(lab.bus.events)
    assert openstack.changes() == []
    assert nothing_remembered(lab)


def test_a_token_that_is_not_taken_any_more(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.faults.append(Fault("POST", "/servers", 401, json.dumps({"error": {"message": "expired", "code": 401}})))
    with lab.cloud() as cloud, pytest.raises(ProviderRefused, match="401"):
        cloud.create("web1", "web")
    assert failed(lab)["step"] == "requesting"
    assert openstack.servers == []
    assert nothing_remembered(lab)


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [("image", "debian12", "debian-12"), ("size", "m1.smal", "m1.small"), ("networks", ["privat"], "private")],
)
def test_what_the_provider_does_not_know_is_named(lab: Surroundings, key: str, value: object, hint: str) -> None:
    lab.profile("web", **{"provider": "lab", "size": "m1.small", "image": "debian-12", key: value})
    with lab.cloud() as cloud, pytest.raises(InvalidSetting, match=f"web.{key}.*did you mean '{hint}'"):
        cloud.create("web1", "web")
    assert lab.bus.steps == ["creating", "failed"]
    assert failed(lab)["code"] == "invalid_setting"
    assert nothing_remembered(lab)


def test_an_argument_that_the_driver_does_not_take(lab: Surroundings, openstack: OpenStack) -> None:
    lab.profile("web", provider="lab", size="m1.small", image="debian-12", ex_security_group=["web"])
    with lab.cloud() as cloud, pytest.raises(InvalidSetting, match="did you mean 'ex_security_groups'"):
        cloud.create("web1", "web")
    assert openstack.changes() == []


def test_tags_where_the_driver_has_none(dummy: Surroundings) -> None:
    dummy.profile("small", provider="here", size="Small", image="Ubuntu 9.04", tag={"role": "web"})
    with dummy.cloud() as cloud, pytest.raises(NotSupported, match="has no tags"):
        cloud.create("web1", "small")
    assert dummy.bus.steps == ["creating", "failed"]


def test_a_name_that_is_there_already(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.add("web1", "ACTIVE")
    with lab.cloud() as cloud, pytest.raises(MachineExists, match="id-1"):
        cloud.create("web1", "web")
    assert lab.bus.steps == ["failed"]
    assert openstack.changes() == []
    assert nothing_remembered(lab)


@pytest.mark.parametrize("name", ["", "a/b", "-x", "a b", "../x", "x" * 129, "é", "web1\n", "web1."])
def test_a_name_that_is_none(dummy: Surroundings, name: str) -> None:
    with dummy.cloud() as cloud, pytest.raises(InvalidInput, match="cannot be the name"):
        cloud.create(name, "small")
    assert dummy.bus.events == []


def test_a_quota_that_is_used_up(lab: Surroundings, openstack: OpenStack) -> None:
    body = json.dumps({"forbidden": {"message": "Quota exceeded for instances: 10 of 10", "code": 403}})
    openstack.faults.append(Fault("POST", "/servers", 403, body, (("Content-Type", "application/json"),)))
    with lab.cloud() as cloud, pytest.raises(ProviderRefused, match="Quota exceeded"):
        cloud.create("web1", "web")
    assert failed(lab)["left"] is False


# -- What is busy ----------------------------------------------------------------------------------------------------


def test_a_busy_provider_is_asked_again_after_the_time_that_it_names(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.faults += [Fault("POST", "/servers", 429, "{}", (("Retry-After", "7"),))]
    with lab.cloud() as cloud:
        cloud.create("web1", "web")
    assert openstack.changes() == [POST, POST]
    assert 7.0 in lab.clock.slept
    assert [server.name for server in openstack.servers] == ["web1"]


def test_a_provider_that_stays_busy(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.faults += [Fault("POST", "/servers", 429, "{}")] * 9
    with lab.cloud() as cloud, pytest.raises(ProviderBusy):
        cloud.create("web1", "web")
    assert openstack.changes() == [POST] * create.REQUEST_TRIES
    assert failed(lab)["left"] is False
    assert nothing_remembered(lab)


def test_a_provider_that_wants_much_time_is_not_waited_for(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.faults += [Fault("POST", "/servers", 429, "{}", (("Retry-After", "3600"),))]
    with lab.cloud() as cloud, pytest.raises(ProviderBusy) as busy:
        cloud.create("web1", "web")
    assert busy.value.retry_after_s == 3600.0
    assert openstack.changes() == [POST]


def test_a_provider_that_is_busy_when_the_machine_is_there_makes_no_second_one(
    lab: Surroundings, openstack: OpenStack
) -> None:
    """The driver asks for the machine, then for what became of it: the second is refused."""
    openstack.faults += [Fault("GET", "/servers/id-1", 429, "{}", (("Retry-After", "1"),))]
    with lab.cloud() as cloud, pytest.raises(ProviderBusy):
        cloud.create("web1", "web")
    assert openstack.changes() == [POST]
    assert (failed(lab)["left"], failed(lab)["instance_id"]) == (True, "id-1")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_errors_while_waiting_are_no_end(lab: Surroundings, openstack: OpenStack, status: int) -> None:
    openstack.states = ["BUILD", "BUILD", "ACTIVE"]
    with lab.cloud() as cloud:
        driver = cloud.driver(cloud.provider("lab"))
        ask = driver.create

        def asked_and_then_away(*given: object) -> object:
            machine = ask(*given)  # type: ignore[arg-type]
            openstack.faults += [Fault("GET", "/servers/detail", status, "oops")] * 2
            return machine

        driver.create = asked_and_then_away  # type: ignore[method-assign,assignment]
        assert cloud.create("web1", "web").state == "running"
    assert openstack.faults == []
