"""Every kind of event that Salt's documentation names, on the bus of a real master, because the thing itself has happened.

One walk: a master, its minions, their keys, jobs, runners, wheel functions and machines, as an operator would do it. Then each kind
in the order of spec/salt-events.md, 3.1 to 3.5, is looked for among all that was on the bus, and compared with the
recording of a real Salt (tests/golden); where that has none, with the fields that the specification names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from sylvite import Client, Event
from sylvite.compat.bus import received
from tests.daemons.network import Network
from tests.system.golden import Shape, differences, pattern_of, recorded, told
from tests.system.walk import Walk


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    made = Walk(tmp_path_factory.mktemp("walk"))
    made.run()
    return made


class Kind(NamedTuple):
    """A kind of event.  `where`: values that tell it from others with such a tag."""

    name: str
    tag: str
    shape: Callable[[], Shape]
    where: Mapping[str, Any] = MappingProxyType({})


def auth(act: str, sample: str | None = None) -> Kind:
    def shape() -> Shape:
        if sample is None:
            return told(result=bool, act=str, id=str, pub=str)
        return recorded("salt/auth", act=sample)

    return Kind(f"salt/auth: {act}", "salt/auth", shape, {"act": act, "result": act in ("pend", "accept")})


def key(act: str, sample: str | None = None) -> Kind:
    def shape() -> Shape:
        if sample is None:
            return told(result=bool, act=str, id=str, pub=str)
        return recorded("salt/key", act=sample)

    return Kind(f"salt/key: {act}", "salt/key", shape, {"act": act, "result": True})


def envelope(**more: type) -> Shape:
    return told(id=str, cmd=str, pretag_=type(None), tag=str, data=(str, dict), ts=int, **more)


def cloud(step: str, text: str, **fields: type | tuple[type, ...]) -> Kind:
    name = "dummy-1" if step.startswith("destroy") else "web1"
    return Kind(f"cloud: {step}", f"salt/cloud/{name}/{step}", lambda: told(event=str, **fields), {"event": text})


PUBLISHED = {"fun": str, "arg": list, "tgt": str, "jid": str, "ret": str, "tgt_type": str, "user": str}
RUN = {"fun": str, "fun_args": list, "jid": str, "user": str}
KINDS = (
    # 3.1
    auth("pend", "pend"),
    auth("accept", "accept"),
    auth("reject", "reject"),
    auth("denied"),
    auth("full"),
    auth("error"),
    key("pending"),
    key("accepted", "accepted"),
    key("rejected", "rejected"),
    key("denied"),
    key("delete", "delete"),
    # 3.2
    Kind("minion_start", "minion_start", lambda: envelope(grains=dict)),
    Kind("start", "salt/minion/ID/start", lambda: envelope(grains=dict)),
    Kind("minion_ping", "minion_ping", envelope, {"data": "ping"}),
    Kind("refresh", "minion/refresh/ID", lambda: recorded("minion/refresh/ID")),
    Kind("present", "salt/presence/present", lambda: recorded("salt/presence/present")),
    Kind("change", "salt/presence/change", lambda: recorded("salt/presence/change")),
    Kind("_salt_error", "_salt_error", envelope),
    # 3.3
    Kind("job new", "salt/job/JID/new", lambda: recorded("salt/job/JID/new"), {"tgt_type": "glob"}),
    Kind("job new: of a list", "salt/job/JID/new", lambda: recorded("salt/job/JID/new")._replace(constant={}), {"tgt_type": "list", "missing": ["nobody"]}),
    Kind("job publish", "salt/job/JID/publish", lambda: recorded("salt/job/JID/publish"), {"tgt_type": "glob", "fun": "test.ping"}),
    Kind("job publish: with more", "salt/job/JID/publish", lambda: told(**PUBLISHED, start_event=bool), {"fun": "test.arg"}),
    Kind("job start", "salt/job/JID/start/ID", envelope),
    Kind("job return", "salt/job/JID/ret/ID", lambda: recorded("salt/job/JID/ret/ID", lacks="tgt"), {"fun": "test.ping"}),
    Kind("job return: of a call", "salt/job/JID/ret/ID", lambda: recorded("salt/job/JID/ret/ID", has="tgt"), {"tgt": "alpha"}),
    Kind("job error", "salt/job/JID/error", lambda: told(**PUBLISHED, error=dict), {"error": {"name": "AuthorizationError", "message": "Authorization error occurred."}}),
    Kind("job progress", "salt/job/JID/prog/ID/<n>", lambda: envelope(jid=str)),
    Kind("event of a job", "myco/from/job", lambda: recorded("myco/from/minion")),
    Kind("event of a call", "myco/mytag", lambda: recorded("myco/mytag")),
    Kind("event of a call: preload", "myco/preload", lambda: recorded("myco/preload")),
    Kind("event of a call: grains", "myco/grains", lambda: recorded("myco/grains")),
    Kind("event of a call: fire_master", "tag/fire_master", lambda: recorded("tag/fire_master")),
    # 3.4
    Kind("run new", "salt/run/JID/new", lambda: recorded("salt/run/JID/new")),
    Kind("run progress", "salt/run/JID/progress", lambda: told(message=str)),
    Kind("run args: function", "salt/run/JID/args", lambda: told(type=str, name=str, tgt=str, args=dict), {"type": "function"}),
    Kind("run args: runner", "salt/run/JID/args", lambda: told(type=str, name=str, args=dict), {"type": "runner"}),
    Kind("run args: wheel", "salt/run/JID/args", lambda: told(type=str, name=str, args=dict), {"type": "wheel"}),
    Kind("run ret", "salt/run/JID/ret", lambda: recorded("salt/run/JID/ret"), {"fun": "runner.test.arg", "success": True}),
    Kind("run ret: it fails", "salt/run/JID/ret", lambda: told(**RUN, **{"return": str}, success=bool, retcode=int), {"fun": "runner.walk.fails", "success": False, "retcode": 1}),
    Kind("run ret: there is none", "salt/run/JID/ret", lambda: told(fun=str, fun_args=list, jid=str, **{"return": str}, success=bool, retcode=int, user_=str), {"fun": "no.such", "success": False, "retcode": 254}),
    Kind("wheel new", "salt/wheel/JID/new", lambda: recorded("salt/wheel/JID/new")),
    Kind("wheel ret", "salt/wheel/JID/ret", lambda: recorded("salt/wheel/JID/ret")),
    Kind("event of a runner", "golden/runner/tag", lambda: recorded("golden/runner/tag")),
    # 3.5
    cloud("creating", "starting create", name=str, profile=str, provider=str, driver=str),
    cloud("requesting", "requesting instance", kwargs=dict, location_=(str, dict, type(None))),
    cloud("querying", "querying instance", instance_id=str),
    cloud("created", "created instance", name=str, profile=str, provider=str, driver=str, instance_id=str),
    cloud("destroying", "destroying instance", name=str, instance_id_=str),
    cloud("destroyed", "destroyed instance", name=str, instance_id_=str),
    # 3.7
    Kind("beacon", "salt/beacon/ID/status/STAMP", lambda: recorded("salt/beacon/ID/status/STAMP")),
)  # fmt: skip


def fits(event: Event, kind: Kind) -> bool:
    return bool(pattern_of(kind.tag, "alpha").fullmatch(event.tag)) and all(
        event.data.get(name) == value for name, value in kind.where.items()
    )


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_a_kind_of_event_is_as_salt_has_it(walk: Walk, kind: Kind) -> None:
    found = [event for event in walk.events if fits(event, kind)]
    assert found, f"there is no such event; the tags are {sorted({event.tag for event in walk.events})}"
    wrong = {difference for event in found for difference in differences(received(event).data, kind.shape())}
    assert not wrong, f"{found[0].tag}: {'; '.join(sorted(wrong))}: {found[0].data}"


NOT_HERE = {
    "salt/auth/creds": "it tells a minion's bus the keys of its session; those of TLS are nobody's",
    "key": "there is no key of all minions that would be changed",
    "resource/refresh/ID": "there are no resources",
    "minion/ID/resource_refresh": "there are no resources",
    "syndic_start": "there are no syndics",
    "salt/syndic/ID/start": "there are no syndics",
    "salt/state_result/JID/ID/": "there are no states",
    "salt/job/JID/sub/ID/error/": "there are no states",
}
"""What the specification names too, and why it does not happen here."""


def test_what_is_not_here_does_not_happen(walk: Walk) -> None:
    for tag in NOT_HERE:
        assert not [event.tag for event in walk.events if pattern_of(tag, "alpha").match(event.tag + "$")]


def test_the_events_of_a_job_come_in_its_order(walk: Walk) -> None:
    """`new`, `publish`, `start` where that was asked for, `prog`, `ret`."""
    for fun, expected in (
        ("test.ping", ["new", "publish", "ret"]),
        ("test.arg", ["new", "publish", "start", "ret"]),
        ("walk.steps", ["new", "publish", "prog", "prog", "ret"]),
    ):
        jid = next(
            event.data["jid"] for event in walk.events if event.tag.endswith("/publish") and event.data["fun"] == fun
        )
        assert [
            event.tag.split("/")[3] for event in walk.events if event.tag.startswith(f"salt/job/{jid}/")
        ] == expected


def test_the_items_of_a_generator_are_counted(walk: Walk) -> None:
    found = [(event.tag[-1], event.data["data"]) for event in walk.events if "/prog/alpha/" in event.tag]
    assert found == [("0", {"return": 1}), ("1", {"return": 2})]


def test_the_events_of_a_machine_come_in_its_order(walk: Walk) -> None:
    steps = [event.tag.rpartition("/")[2] for event in walk.events if event.tag.startswith("salt/cloud/")]
    assert steps == ["creating", "requesting", "querying", "created", "destroying", "destroyed"]


def test_who_comes_and_goes_is_told_before_who_is_here(walk: Walk) -> None:
    told = [event for event in walk.events if event.tag.startswith("salt/presence/")]
    for index, event in enumerate(told):
        if event.tag.endswith("/change"):
            here = told[index + 1]
            assert here.tag.endswith("/present")
            assert set(event.data["new"]) <= set(here.data["present"])
            assert not set(event.data["lost"]) & set(here.data["present"])
    changes = [(event.data["new"], event.data["lost"]) for event in told if event.tag.endswith("/change")]
    assert changes == [(["alpha"], []), ([], ["alpha"])]


def test_who_has_sent_an_event_is_told_by_the_broker(walk: Walk) -> None:
    """Whatever an event says of its id: those of a minion bear it as their sender."""
    for event in walk.events:
        if event.data.get("cmd") in ("_minion_event", "_return"):
            assert (event.sender, event.data["id"]) == ("minion:alpha", "alpha"), event.tag


def test_options_switch_off_what_they_switch_off_in_salt(tmp_path: Path) -> None:
    """And what has no option, or is not asked for, is as it is without them."""
    network = Network(tmp_path)
    network.master.configure(
        "master", id="mars", interface="127.0.0.1", ret_port=network.port, auth_events=False, loop_interval=1,
        minion_data_cache_events=False,
    )  # fmt: skip
    with network.master.run("master"):
        token = tmp_path / "token"
        token.write_text(network.master.ask("keys", "token", "alpha")["token"])
        token.chmod(0o600)
        alpha = network.minion("alpha", "alpha", enable_legacy_startup_events=False)
        with alpha.run("minion", "--token", str(token)):
            network.sees("salt/minion/alpha/start")
            network.master("jobs", "run", "alpha", "test.ping")
            with Client.connect(network.bus) as bus:
                tags = {event.tag for event in bus.subscribe(since="oldest", until_end=True)}
    of_the_job = {tag for tag in tags if tag.startswith("salt/job/")}
    assert {tag.split("/")[3] for tag in of_the_job} == {"new", "publish", "ret"}
    assert tags - of_the_job == {"salt/key", "salt/minion/alpha/start"}
