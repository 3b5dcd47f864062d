"""Beacons: when they are called, what their events look like, and what a mistake of one costs the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sylvite.functions.beacon_rounds import EVENTS_MAX, Rounds
from sylvite.functions.context import Context
from sylvite.functions.library import Library
from sylvite.functions.module import Function
from sylvite.testing.bus import Bus


def rounds(beacons: dict[str, list[Any]], folder: Path | None = None, node: str = "web1") -> Rounds:
    opts: dict[str, Any] = {"beacon_dirs": [str(folder)] if folder is not None else []}
    return Rounds(node, beacons, Library(Context(opts, {}, Bus())).beacons)


def only(events: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(events) == 1, events
    return events[0]


def functions(**named: Callable[[Any], Any]) -> Mapping[str, Function]:
    return {f"{name}.beacon": function for name, function in named.items()}


def test_status_is_as_salt_shows_it() -> None:
    # golden/events_minion_bus.jsonl, line 2.
    event = only(rounds({"status": [{"interval": 4}, {"loadavg": ["1-min"]}]}).call(0.0))
    assert re.fullmatch(r"salt/beacon/web1/status/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?", event["tag"])
    assert event["beacon_name"] == "status"
    assert event["data"]["id"] == "web1"
    assert list(event["data"]["data"]) == ["loadavg"]
    assert list(event["data"]["data"]["loadavg"]) == ["1-min"]


def test_status_tells_all_where_nothing_is_named() -> None:
    data = only(rounds({"status": []}).call(0.0))["data"]["data"]
    assert set(data) == {"loadavg", "meminfo", "uptime"}
    assert data["meminfo"]["MemTotal"]["unit"] == "kB"
    assert int(data["meminfo"]["MemTotal"]["value"]) > 0


def test_each_has_its_interval() -> None:
    called: list[str] = []
    found = Rounds(
        "web1",
        {"a": [], "b": [{"interval": 5}]},
        functions(a=lambda _: called.append("a") or [], b=lambda _: called.append("b") or []),
    )
    for now_s in (0.0, 0.5, 1.0, 2.0, 5.0):
        found.call(now_s)
    assert called == ["a", "b", "a", "a", "a", "b"]
    assert found.wait_s(5.25) == pytest.approx(0.75)


def test_nothing_is_due_where_all_is_switched_off() -> None:
    found = rounds({"status": [{"enabled": False}]})
    assert found.call(0.0) == []
    assert found.wait_s(0.0) is None
    assert rounds({"enabled": [{"enabled": False}], "status": []}).call(0.0) == []


def test_two_of_one_module() -> None:
    config = {
        "small": [{"averages": {"1m": [-1, 0.0]}}, {"beacon_module": "load"}, {"onchangeonly": True}],
        "big": [{"averages": {"1m": [-1, 1e9]}}, {"beacon_module": "load"}],
    }
    assert {event["beacon_name"] for event in rounds(config).call(0.0)} <= {"small"}


def test_load_on_change_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("os.getloadavg", lambda: (now[0], 0.0, 0.0))
    found = rounds({"load": [{"averages": {"1m": [0.0, 2.0]}}, {"onchangeonly": True}, {"emitatstartup": False}]})
    told: list[list[float]] = []
    for now_s, value in enumerate((1.0, 3.0, 4.0, 1.0, 1.5)):
        now[0] = value
        told.append([event["data"]["1m"] for event in found.call(float(now_s))])
    assert told == [[], [3.0], [], [1.0], []]


def test_disks_and_memory_and_processes() -> None:
    events = rounds(
        {
            "diskusage": [{"/": "0%"}, {"/nowhere": "1%"}, {"interval": 120}],
            "memusage": [{"percent": "0%"}],
            "ps": [{"processes": {"no-such-program": "stopped", "nor-this": "running"}}],
        }
    ).call(0.0)
    found = {event["beacon_name"]: event["data"] for event in events}
    assert found["diskusage"]["mount"] == "/"
    assert 0 <= found["diskusage"]["diskusage"] <= 100
    assert 0 < found["memusage"]["memusage"] < 100
    assert found["ps"] == {"no-such-program": "Stopped", "id": "web1"}
    assert rounds({"diskusage": [{"/": "100.1%"}], "memusage": [{"percent": 101}]}).call(0.0) == []


@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        ("load", [], "Averages configuration is required"),
        ("load", [{"averages": {"2m": [0, 1]}}], "2m is no average"),
        ("load", [{"averages": {"1m": [0]}}], "1m must be two numbers"),
        ("diskusage", [{"/": "much"}], "must be a share such as 63%"),
        ("diskusage", [], "name at least one mount point"),
        ("memusage", [], "requires percent"),
        ("ps", [{"processes": {"a": "asleep"}}], "a must be running or stopped"),
        ("status", [{"weather": ["all"]}], "weather is not known"),
        ("status", [{"interval": "often"}], "interval must be a number of seconds above 0, not 'often'"),
        ("telegram", [], "there is no module telegram with a function beacon"),
        ("a\nb", [], "tag"),
    ],
)
def test_a_mistake_is_named_and_the_others_go_on(name: str, config: list[Any], reason: str) -> None:
    found = rounds(
        {name: config, "status": [{"uptime": ["all"]}, {"interval": 3}]} if name != "status" else {name: config}
    )
    assert list(found.mistakes) == [name]
    assert reason in found.mistakes[name]
    assert len(found.call(0.0)) == (name != "status")


def test_one_of_your_own(tmp_path: Path) -> None:
    (tmp_path / "door.py").write_text(
        "import logging\n"
        "def validate(config):\n    return isinstance(config, list), 'a list'\n"
        "def beacon(config):\n"
        "    assert config[-1] == {'_beacon_name': 'door'}, config\n"
        "    return [{'tag': 'front', 'open': True}, {'open': __salt__['test.echo'](False)}]\n"
    )
    events = rounds({"door": [{"which": "front"}]}, tmp_path).call(0.0)
    assert events == [
        {"tag": "salt/beacon/web1/door/front", "data": {"open": True, "id": "web1"}, "beacon_name": "door"},
        # Without a tag of its own it ends with a slash, as Salt's does.
        {"tag": "salt/beacon/web1/door/", "data": {"open": False, "id": "web1"}, "beacon_name": "door"},
    ]


@pytest.mark.parametrize(
    "returned",
    [None, {"a": 1}, ["text"], [{"tag": "a\nb"}], [{"what": object()}]],
    ids=["none", "map", "text", "tag", "object"],
)
def test_what_is_no_event_is_an_error_of_that_beacon(returned: object) -> None:
    found = Rounds("web1", {"bad": [], "good": []}, functions(bad=lambda _: returned, good=lambda _: [{"a": 1}]))
    assert [(event["tag"], event["data"]) for event in found.call(0.0)] == [
        ("salt/beacon/web1/bad/", {}),
        ("salt/beacon/web1/good/", {"a": 1, "id": "web1"}),
    ]


def test_one_that_fails_is_said_once_until_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Any] = [ValueError("broken"), ValueError("broken"), [], SystemExit(3)]

    def beacon(config: Any) -> Any:
        del config
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    found = Rounds("web1", {"bad": []}, functions(bad=beacon))
    assert [len(found.call(float(now_s))) for now_s in range(4)] == [1, 1, 0, 1]
    assert [record.getMessage() for record in caplog.records] == [
        "the beacon bad fails: ValueError: broken",
        "the beacon bad fails: SystemExit: 3",
    ]


def test_the_id_of_the_minion_is_not_the_beacon_s_to_choose() -> None:
    found = Rounds("web1", {"liar": []}, functions(liar=lambda _: [{"id": "web2", "a": 1}]))
    assert only(found.call(0.0))["data"] == {"id": "web1", "a": 1}


def test_no_more_than_the_master_takes_at_once() -> None:
    found = Rounds("web1", {"many": []}, functions(many=lambda _: [{"n": n} for n in range(EVENTS_MAX + 5)]))
    assert len(found.call(0.0)) == EVENTS_MAX
