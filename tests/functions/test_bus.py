"""The bus of functions: one suite for the real one and its double."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sylvite.client.sync_client import Client
from sylvite.errors import BrokerNotReachable, EventTooBig, InvalidData, InvalidTag
from sylvite.functions import bus as real
from sylvite.functions.bus import LocalBus
from sylvite.testing import bus as double
from sylvite.testing.broker import BrokerProcess


@pytest.fixture(params=["real", "double"])
def any_bus(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "double":
        yield double.Bus()
        return
    process: BrokerProcess = request.getfixturevalue("sylvite_broker")
    with LocalBus(str(process.socket)) as bus:
        yield bus


def test_firing_stamps_the_callers_own_map(any_bus: Any) -> None:
    """As Salt's does; whoever sees the map later sees the stamp."""
    data: dict[str, Any] = {"a": (1, 2**64)}
    any_bus.fire("myco/a", data)
    assert list(data) == ["a", "_stamp"]
    assert data["a"] == (1, 2**64)
    before = data["_stamp"]
    assert before.endswith("+00:00")
    data["_stamp"] = "mine"
    any_bus.fire("myco/a", data)
    assert data["_stamp"] != "mine"


@pytest.mark.parametrize(
    ("tag", "data", "error"),
    [
        ("", {}, InvalidTag),
        ("a\nb", {}, InvalidTag),
        ("a", {"x": object()}, InvalidData),
        ("a", {"x": "x" * 1_100_000}, EventTooBig),
        ("a", {1: 2}, InvalidData),
    ],
)
def test_what_cannot_be_fired_is_refused(any_bus: Any, tag: str, data: dict[Any, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        any_bus.fire(tag, data)


def test_what_goes_up_needs_a_tag(any_bus: Any) -> None:
    """Here, and not when the master looks at it."""
    with pytest.raises(InvalidTag):
        any_bus.fire_master("a\nb", {}, None)


def test_what_goes_up_is_an_event_of_the_minion(sylvite_broker: BrokerProcess) -> None:
    """As recorded on the bus of a minion: what it sends itself has a `pretag`, and what is sent directly has none."""
    with LocalBus(str(sylvite_broker.socket)) as bus:
        bus.fire_master("myco/a", {"n": 1}, None)
        bus.fire_master("myco/b", "text", {"extra": 1})
    with Client.connect(sylvite_broker.socket) as client:
        found = [event.data for event in client.subscribe("fire_master", since="oldest", until_end=True)]
    for data in found:
        del data["_stamp"]
    assert found == [
        {"tag": "myco/a", "data": {"n": 1}, "events": None, "pretag": None},
        {"tag": "myco/b", "data": "text", "extra": 1},
    ]


def test_what_was_fired_is_in_the_log(sylvite_broker: BrokerProcess) -> None:
    with LocalBus(str(sylvite_broker.socket)) as bus:
        bus.fire("myco/a", {"n": (1,)})
        bus.fire("myco/b", {})
    with Client.connect(sylvite_broker.socket) as client:
        found = [(event.tag, event.data) for event in client.subscribe("myco/", since="oldest", until_end=True)]
    assert [(tag, set(data)) for tag, data in found] == [
        ("myco/a", {"n", "_stamp"}),
        ("myco/b", {"_stamp"}),
    ]
    assert found[0][1]["n"] == [1]


@pytest.mark.parametrize("tagmatch", ["myco/*", r"myco/\w+", "*", "myco/(a|b)", "["])
def test_watching_gives_at_least_what_fits(sylvite_broker: BrokerProcess, tagmatch: str) -> None:
    """Also where the broker takes the pattern for no regular expression."""
    with LocalBus(str(sylvite_broker.socket)) as bus, bus.watch(tagmatch, node="master", sock_dir=None) as events:
        bus.fire("myco/a", {})
        bus.fire("[", {})
        seen = next(events)
        assert seen.tag in ("myco/a", "[")


def test_nobody_is_connected_to_before_it_is_wanted(tmp_path: Path) -> None:
    """`sylvite call test.ping` needs no broker."""
    with LocalBus(str(tmp_path / "none.sock")) as bus:
        with pytest.raises(BrokerNotReachable):
            bus.fire("a", {})
        with pytest.raises(BrokerNotReachable), bus.watch("*", node="master", sock_dir=None):
            pass


def test_which_socket_is_watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one of the call, then the one that we were told, then that of the node."""
    there = [tmp_path / name for name in ("master", "minion")]
    for path in there:
        path.touch()
    monkeypatch.setattr(real, "SYSTEM_SOCKETS", tuple(map(str, there)))
    monkeypatch.delenv("SYLVITE_SOCKET", raising=False)
    told: Any = LocalBus("/told")
    of_minion: Any = LocalBus("/told", node="minion")
    free: Any = LocalBus()
    assert told._place_of("master", "/dir") == "/dir/bus.sock"
    assert told._place_of("master", None) == "/told"
    assert of_minion._place_of("minion", None) == "/told"
    assert of_minion._place_of("master", None) == str(there[0])
    assert free._place_of("master", None) == str(there[0])
    assert free._place_of("minion", None) == str(there[1])
    there[1].unlink()
    assert free._place_of("minion", None) is None
    monkeypatch.setenv("SYLVITE_SOCKET", "/elsewhere")
    assert free._place_of("master", None) is None
