"""Creating a machine on bad days: nobody knows what became of it, it does not become one, or we are ended meanwhile."""

from __future__ import annotations

import pytest

from sylvite.cloud.errors import (
    AnswerUnknown,
    MachineExists,
    MachineFailed,
    MachineTimeout,
    MachineUnfinished,
    ProviderError,
    ProviderNotReachable,
)
from sylvite.errors import BrokerNotReachable
from tests.cloud.openstack import PASSWORD, Fault, OpenStack
from tests.cloud.surroundings import Surroundings, failed, nothing_remembered

POST = ("POST", "/compute/v2.1/servers")


# -- What is not known -----------------------------------------------------------------------------------------------


def test_a_connection_that_is_cut_after_the_machine_was_made(lab: Surroundings, openstack: OpenStack) -> None:
    """It is found by its name, told, and remembered until somebody destroys it."""
    openstack.faults += [Fault("POST", "/servers", cut="after")]
    with lab.cloud() as cloud:
        with pytest.raises(AnswerUnknown, match="nobody knows") as unknown:
            cloud.create("web1", "web")
        assert "it was made all the same: id-1" in str(unknown.value.__notes__)
        (left,) = cloud.ledger.unfinished()
        assert (left.name, left.instance_id, left.step, left.left, left.told) == (
            "web1",
            "id-1",
            "requesting",
            True,
            True,
        )
    assert (failed(lab)["left"], failed(lab)["instance_id"]) == (True, "id-1")
    with lab.cloud() as cloud, pytest.raises(MachineExists):
        cloud.create("web1", "web")
    assert openstack.changes() == [POST]
    with lab.cloud() as cloud:
        cloud.destroy(cloud.find("web1"))
    assert nothing_remembered(lab)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", "/servers", cut="before"),
        Fault("POST", "/servers", 500, "oops"),
        Fault("POST", "/servers", 502, ""),
    ],
)
def test_a_request_of_which_nobody_knows(lab: Surroundings, openstack: OpenStack, fault: Fault) -> None:
    """No machine shows up, and one might still: that is said, remembered, and nothing is asked again."""
    openstack.faults.append(fault)
    with lab.cloud() as cloud:
        with pytest.raises(AnswerUnknown):
            cloud.create("web1", "web")
        (left,) = cloud.ledger.unfinished()
        assert (left.instance_id, left.left) == (None, None)
    assert failed(lab)["left"] is None
    assert "instance_id" not in failed(lab)
    assert openstack.changes() == [POST]
    with lab.cloud() as cloud, pytest.raises(MachineUnfinished, match="sylvite cloud destroy web1"):
        cloud.create("web1", "web")


def test_an_answer_that_does_not_come_in_time(lab: Surroundings, openstack: OpenStack) -> None:
    lab.provider("lab", **openstack.provider(timeout=1))
    openstack.faults.append(Fault("POST", "/servers", hang="after"))
    with lab.cloud() as cloud, pytest.raises(AnswerUnknown, match="timed out"):
        cloud.create("web1", "web")
    assert (failed(lab)["left"], failed(lab)["instance_id"]) == (True, "id-1")


def test_a_provider_that_is_not_there(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.__exit__(None, None, None)
    with lab.cloud() as cloud, pytest.raises(ProviderNotReachable):
        cloud.create("web1", "web")
    assert failed(lab)["left"] is False


def test_an_answer_that_is_no_json(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.faults.append(
        Fault("POST", "/servers", 202, "<html>hello</html>", (("Content-Type", "application/json"),))
    )
    with lab.cloud() as cloud, pytest.raises(AnswerUnknown):
        cloud.create("web1", "web")
    assert failed(lab)["left"] is None


def test_what_a_provider_quotes_back_loses_its_secrets(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.faults.append(Fault("POST", "/servers", 400, f"bad request: password {PASSWORD}"))
    with lab.cloud() as cloud, pytest.raises(ProviderError) as error:
        cloud.create("web1", "web")
    assert "password ***" in str(error.value)
    assert PASSWORD not in str(lab.bus.events)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


# -- Machines that do not become one ---------------------------------------------------------------------------------


def test_a_machine_that_goes_into_error(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.states = ["BUILD", "BUILD", "ERROR"]
    with lab.cloud() as cloud:
        with pytest.raises(MachineFailed, match="went into the state error"):
            cloud.create("web1", "web")
        (left,) = cloud.ledger.unfinished()
    assert (left.step, left.instance_id, left.left) == ("querying", "id-1", True)
    assert lab.bus.steps == ["creating", "requesting", "querying", "failed"]


def test_a_machine_that_disappears(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.states = ["BUILD", "BUILD", "GONE"]
    with lab.cloud() as cloud, pytest.raises(MachineFailed, match="disappeared"):
        cloud.create("web1", "web")
    assert failed(lab)["left"] is True


def test_a_machine_that_never_runs(lab: Surroundings, openstack: OpenStack) -> None:
    openstack.states = ["BUILD"]
    lab.profile("web", provider="lab", size="m1.small", image="debian-12", wait_for_ip_timeout="1m")
    with lab.cloud() as cloud, pytest.raises(MachineTimeout, match="did not run within 60 s"):
        cloud.create("web1", "web")
    assert lab.clock.now == 1060.0


# -- The end of us ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["creating", "requesting", "querying"])
def test_an_interruption_at_any_step_is_told(lab: Surroundings, openstack: OpenStack, step: str) -> None:
    lab.bus.broken[step] = KeyboardInterrupt()
    with lab.cloud() as cloud, pytest.raises(KeyboardInterrupt):
        cloud.create("web1", "web")
    assert (failed(lab)["code"], failed(lab)["step"]) == ("machine_interrupted", step)
    # What is being requested may have been carried out; here it was not sent yet, and that is not known in general.
    assert failed(lab)["left"] is {"creating": False, "requesting": None, "querying": True}[step]


@pytest.mark.parametrize("step", ["creating", "querying"])
def test_a_bus_that_is_away_stops_the_creation_and_is_told_later(
    lab: Surroundings, openstack: OpenStack, step: str
) -> None:
    lab.bus.broken = dict.fromkeys((step, "failed"), BrokerNotReachable("x", "gone"))
    with lab.cloud() as cloud, pytest.raises(BrokerNotReachable) as error:
        cloud.create("web1", "web")
    assert "the next `sylvite cloud` says it" in str(error.value.__notes__)
    lab.bus.broken = {}
    with lab.cloud() as cloud:
        assert [one.name for one in cloud.tell_abandoned()] == ["web1"]
        assert cloud.tell_abandoned() == []
    assert failed(lab)["left"] is (step == "querying")
    assert nothing_remembered(lab) is (step == "creating")


def test_a_finished_machine_whose_event_could_not_be_published_is_told_as_finished(lab: Surroundings) -> None:
    lab.bus.broken = {"created": BrokerNotReachable("x", "gone")}
    with lab.cloud() as cloud, pytest.raises(BrokerNotReachable):
        cloud.create("web1", "web")
    lab.bus.broken = {}
    with lab.cloud() as cloud:
        cloud.tell_abandoned()
    assert lab.bus.steps == ["creating", "requesting", "querying", "created"]
    assert lab.bus.data("created")["instance_id"] == "id-1"
    assert nothing_remembered(lab)
