"""The behaviours that were recorded of real Salt (golden/py_behaviours.jsonl), one after the other, of ours."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sylvite.compat.event import MasterEvent, SaltEvent, get_event
from sylvite.compat.matching import TAGS, tagify
from sylvite.compat.packing import TAGEND
from sylvite.testing.broker import BrokerProcess
from tests.compat.places import GOLDEN


@cache
def golden() -> dict[str, Any]:
    lines = (GOLDEN / "py_behaviours.jsonl").read_text().splitlines()
    return {key: value for line in lines for key, value in json.loads(line).items()}


def without_stamp(event: dict[str, Any] | None) -> dict[str, Any] | None:
    if event is None:
        return None
    data: dict[str, Any] = event["data"]
    return {**event, "data": {key: value for key, value in data.items() if key != "_stamp"}}


@pytest.fixture
def event(broker: BrokerProcess) -> Iterator[MasterEvent]:
    with MasterEvent(str(broker.folder)) as listening:
        yield listening


MATCHING = [key for key in golden() if key.startswith("match_type")]


@pytest.mark.parametrize("question", MATCHING)
def test_match_types(event: MasterEvent, question: str) -> None:
    found = re.match(r"match_type (\w+) pattern '(.*)' over (.*)", question)
    assert found is not None
    match_type, pattern, tags = found.groups()
    for tag in tags.split():
        assert event.fire_event({}, tag) is True
    assert event.fire_event({}, "the/end")
    got: list[str] = []
    while (one := event.get_event(tag=pattern, match_type=match_type, full=True, wait=1)) is not None:
        got.append(one["tag"])
    assert got == golden()[question]


def test_what_was_not_asked_for_is_dropped(event: MasterEvent) -> None:
    event.fire_event({"x": "g/one"}, "g/one")
    event.fire_event({"x": "g/two"}, "g/two")
    assert without_stamp(event.get_event(tag="g/two", full=True)) == golden()["get_event(tag=g/two)"]
    assert event.get_event(tag="g/one", wait=0.2) == golden()["then get_event(tag=g/one) (was discarded)"]


def test_what_was_subscribed_to_is_kept(event: MasterEvent) -> None:
    event.subscribe("g/one")
    event.fire_event({"x": "g/one"}, "g/one")
    event.fire_event({"x": "g/two"}, "g/two")
    assert without_stamp(event.get_event(tag="g/two", full=True)) == golden()["subscribe(g/one); get_event(tag=g/two)"]
    assert without_stamp(event.get_event(tag="g/one", full=True)) == golden()["then get_event(tag=g/one) (kept)"]
    event.fire_event({"x": "g/one"}, "g/one")
    event.fire_event({"x": "g/two"}, "g/two")
    assert event.get_event(tag="g/two") is not None
    assert len(event.pending_events) == 1
    event.unsubscribe("g/one")
    event.unsubscribe("g/one")
    assert event.pending_events == []
    with pytest.raises(ValueError, match="no match_type"):
        event.subscribe("g/", "nonsense")


def test_looking_without_waiting(event: MasterEvent) -> None:
    began = time.monotonic()
    assert event.get_event(no_block=True) is None
    assert time.monotonic() - began < 5
    assert event.get_event_noblock() is None
    event.fire_event({"x": "g/nb"}, "g/nb")
    assert (
        without_stamp(event.get_event(no_block=True, full=True))
        == golden()["get_event(no_block=True) with one waiting"]
    )
    event.fire_event({"x": "g/nb"}, "g/nb")
    assert without_stamp(event.get_event_noblock()) == golden()["get_event_noblock() with one waiting"]
    event.fire_event({"x": "g/bl"}, "g/bl")
    assert without_stamp(event.get_event_block()) == golden()["get_event_block()"]
    event.fire_event({}, "g/other")
    event.fire_event({}, "g/wanted")
    assert event.get_event(tag="g/wanted", no_block=True) is None, "it looks at one event, whatever its tag"
    assert event.get_event(tag="g/wanted", no_block=True) is not None


TYPES: dict[str, Any] = {
    "int": 1, "big": 2**63, "neg": -5, "float": 1.5, "none": None, "true": True, "str": "hé中😀", "bytes": b"\x00\xff",
    "list": [1, "a", b"b"], "tuple": (1, 2), "dict": {"k": {"n": 1}}, "intkey": {1: "a"},
}  # fmt: skip


def test_types_round_trip(event: MasterEvent) -> None:
    event.fire_event(dict(TYPES), "g/types")
    assert repr(without_stamp(event.get_event(full=True))) == golden()["types round trip (repr)"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("set", {1}), ("datetime", datetime(2026, 1, 2, 3, 4, 5)), ("hugeint", 2**70)],  # noqa: DTZ001 - as it was recorded
)
def test_odd_types(event: MasterEvent, name: str, value: Any) -> None:
    question = next(key for key in golden() if key.replace(" ", "") == f"fire{name}")
    fired = event.fire_event({"v": value}, f"g/odd/{name}")
    assert [fired, repr(without_stamp(event.get_event(full=True)))] == golden()[question]


def test_what_cannot_be_packed(event: MasterEvent) -> None:
    for value in (object(), frozenset({1}), {1, 2}.__iter__()):
        with pytest.raises(TypeError, match="can not serialize"):
            event.fire_event({"v": value}, "g/odd/object")
    with pytest.raises(TypeError) as raised:
        event.fire_event({"v": object()}, "g/odd/object")
    assert [type(raised.value).__name__, str(raised.value)] == golden()["fire object"]
    with pytest.raises(UnicodeEncodeError):
        event.fire_event({"v": "\ud800"}, "g/odd/surrogate")


def test_the_dict_of_the_caller_is_stamped(event: MasterEvent) -> None:
    data: dict[str, Any] = {"a": 1}
    event.fire_event(data, "g/stamp")
    assert sorted(data) == golden()["caller's dict after fire_event has keys"]
    given: dict[str, Any] = {"_stamp": "mine"}
    event.fire_event(given, "g/stamp")
    got = [event.get_event(), event.get_event()]
    assert got == [data, given]
    assert given["_stamp"] != "mine", golden()["_stamp given by the caller is"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00", given["_stamp"])


@pytest.mark.parametrize("tag", ["short", "a" * 20, "with space", "uni/é", "/lead", "trail/"])
def test_tags(event: MasterEvent, tag: str) -> None:
    fired = event.fire_event({}, tag)
    got = event.get_event(full=True)
    assert got is not None
    assert [fired, got["tag"]] == golden()[f"tag {tag!r}".replace("é", "\u00e9")]


@pytest.mark.parametrize("tag", ["a" * 300, "nl\nin", "nlnl\n\nin"])
def test_tags_that_no_bus_of_ours_takes(event: MasterEvent, tag: str) -> None:
    """Where we differ (docs/salt.md): what could deceive a reader, or is very long, is refused and not taken."""
    with pytest.raises(ValueError, match="tag"):
        event.fire_event({}, tag)
    assert event.get_event(no_block=True) is None


def test_what_is_no_tag_or_no_data(event: MasterEvent) -> None:
    with pytest.raises(TypeError) as raised:
        event.fire_event({}, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - that is what is tried
    assert [type(raised.value).__name__, str(raised.value)] == golden()["tag 5"]
    assert event.get_event(no_block=True) is None


SIZES = [key for key in golden() if key.startswith("payload with")]


@pytest.mark.parametrize("question", SIZES)
def test_large_values_are_trimmed(event: MasterEvent, question: str) -> None:
    size = int(question.split()[3])
    event.fire_event({"big": "x" * size, "small": "y"}, "g/size")
    got = event.get_event()
    assert got is not None
    big = got["big"] if got["big"] == "VALUE_TRIMMED" else f"{len(got['big'])} chars"
    assert {"big": big, "small": got["small"]} == golden()[question]


@pytest.mark.parametrize("question", [key for key in golden() if key.startswith("tagify")])
def test_tagify(question: str) -> None:
    assert eval(question, {"tagify": tagify}) == golden()[question]  # the question is the call


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (tagify(), "salt"),
        (tagify("new", "20150101"), "salt/20150101/new"),
        (tagify(["a/b", ""]), "salt/a/b"),
        (tagify([1, 2], "run"), "salt/run/1/2"),
        (tagify(b"bb", "key"), "salt/key/98/98"),
        (tagify("ret", base="salt/run/2026"), "salt/run/2026/ret"),
    ],
)
def test_tagify_as_the_specification_has_it(made: str, expected: str) -> None:
    assert made == expected


def test_constants_and_packing() -> None:
    assert golden()["TAGS"] == TAGS
    assert golden()["TAGEND"] == TAGEND
    packed = bytes.fromhex(golden()["SaltEvent.pack hex"])
    assert SaltEvent.pack("my/tag", {"a": 1, "b": b"x", "c": "y"}) == packed
    assert repr(SaltEvent.unpack(packed)) == golden()["unpack"]


def test_without_a_bus(tmp_path: Path) -> None:
    """Nothing is raised: it is answered after the time that was given."""
    nobody = get_event("master", sock_dir=str(tmp_path), opts={})
    assert nobody.cpub is False
    began = time.monotonic()
    assert nobody.fire_event({}, "g/nobody") is golden()["fire_event with no bus"][0]
    assert time.monotonic() - began >= 1
    assert nobody.get_event(wait=1) is golden()["get_event(wait=1) with no bus"][0]
    assert time.monotonic() - began >= 2
