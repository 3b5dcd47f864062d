"""`event.fire`, `event.fire_master`, `event.send`: exactly the data that Salt's put together."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from sylvite.errors import ConnectionLost
from sylvite.functions.context import Context
from sylvite.functions.execute import run_job
from sylvite.functions.library import Library
from sylvite.testing.bus import STAMP_NS, Bus
from tests.functions.conftest import GRAINS, MakeLibrary, Write

STAMP = "2026-11-23T22:47:31.012345+00:00"
PUBLICATION: dict[str, Any] = {"fun": "event.send", "pid": 4711, "jid": "20261123224717166173", "tgt": "salt-call"}
PUB = {f"__pub_{name}": value for name, value in PUBLICATION.items()}


def minion(bus: Bus, **options: Any) -> Library:
    """Return a library that has a master."""
    opts: dict[str, Any] = {"file_roots": {}, **options}
    return Library(Context(opts, GRAINS, bus, {"secret": "s", "other": "o"}, PUBLICATION))


def test_fire_takes_data_first_and_adds_the_stamp_at_the_end(library: Library, bus: Bus) -> None:
    """The golden transcript cli_event_fire, and what was on the minion's bus."""
    assert STAMP_NS == 1_795_474_051_012_345_000
    assert run_job(library, "event.fire", ['{"data": "message to be sent in the event"}', "tag"]).value is True
    tag, data = bus.fired[0]
    assert (tag, list(data.items())) == ("tag", [("data", "message to be sent in the event"), ("_stamp", STAMP)])


@pytest.mark.parametrize(
    "packed",
    [
        ["notadict", "tag"],
        ["{a: 1}", ""],
        ["{a: 1, a: 2}", "x"],
        ["{a: 1}", "x\ny"],
        [[1], "tag"],
        [{"a": object()}, "t"],
    ],
)
def test_what_cannot_be_fired_is_false_and_no_failure(library: Library, bus: Bus, packed: list[Any]) -> None:
    """The golden transcript cli_event_fire_bad_data, and the rows of the specification beside it."""
    outcome = run_job(library, "event.fire", packed)
    assert (outcome.value, outcome.retcode, outcome.success) == (False, 0, True)
    assert bus.fired == []


def test_a_bus_that_is_away_is_false(library: Library, bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    bus.error = ConnectionLost("the broker has gone away")
    assert run_job(library, "event.fire", ["{a: 1}", "tag"]).value is False
    assert "the broker has gone away" in caplog.text


def test_without_a_master_send_fires_here(make_library: MakeLibrary, bus: Bus) -> None:
    """With the keys of the publication, as it would go up."""
    library = make_library(publication=PUBLICATION)
    packed = ["myco/mytag/success", '{success: True, message: "It works!"}']
    assert run_job(library, "event.send", packed).value is True
    assert bus.fired == [("myco/mytag/success", {**PUB, "success": True, "message": "It works!", "_stamp": STAMP})]
    assert list(bus.fired[0][1]) == [*PUB, "success", "message", "_stamp"]


def test_without_a_master_fire_master_says_no(library: Library, bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert run_job(library, "event.fire_master", ["{a: 1}", "my/tag"]).value is False
    assert caplog.messages == ["Local mode detected. Event with tag my/tag will NOT be sent."]
    assert (bus.fired, bus.sent) == ([], [])


@pytest.mark.parametrize(
    ("packed", "data"),
    [
        (["t", "foo=Foo", "bar=Bar", "n=5"], {"foo": "Foo", "bar": "Bar", "n": 5, **PUB}),
        (["t", "{a: 1}"], {**PUB, "a": 1}),
        (["t", "{a: 1}", "a=2", "b=3"], {"a": 1, "b": 3, **PUB}),
        (["t", "just text", "b=3"], {"b": 3, **PUB}),
        (["t", "with_grains=['id','os','none']"], {"grains": {"id": "alpha", "os": "Debian"}, **PUB}),
        (["t", "with_grains=True"], {"grains": GRAINS, **PUB}),
        (["t", "with_grains=id"], {"grains": {"id": "alpha"}, **PUB}),
        (["t", "with_pillar=[secret]"], {"pillar": {"secret": "s"}, **PUB}),
        (["t", "with_env=[SYLVITE_TEST, SYLVITE_NONE]"], {"environ": {"SYLVITE_TEST": "x"}, **PUB}),
        (["t", "with_env_opts=True"], {"saltenv": "base", "pillarenv": None, **PUB}),
        (["t", "{grains: mine}", "with_grains=True"], {"grains": "mine", **PUB}),
    ],
)  # fmt: skip
def test_send_puts_its_data_together(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, packed: list[Any], data: dict[str, Any]
) -> None:
    """In this order: environ, grains, pillar, environments, keywords; `data` wins over all."""
    monkeypatch.setenv("SYLVITE_TEST", "x")
    up = Bus()
    assert run_job(minion(up), "event.send", packed).value is True
    assert up.sent == [("t", data, None)]
    assert list(up.sent[0][1]) == list(data)
    assert up.fired == []


def test_all_parts_stand_in_their_order() -> None:
    up = Bus()
    packed = ["t", "{z: 1}", "with_env=[PATH]", "with_grains=True", "with_pillar=True", "with_env_opts=True", "k=v"]
    assert run_job(minion(up, saltenv="dev", pillarenv="prod"), "event.send", packed).value is True
    data = up.sent[0][1]
    assert list(data) == ["environ", "grains", "pillar", "saltenv", "pillarenv", "k", *PUB, "z"]
    assert (data["saltenv"], data["pillarenv"]) == ("dev", "prod")


def test_preload_goes_into_the_envelope_and_not_into_the_data() -> None:
    """The golden transcript cli_event_send_preload."""
    up = Bus()
    assert run_job(minion(up), "event.send", ["myco/preload", "{a: 1}", "preload={extra: 1}"]).value is True
    assert up.sent == [("myco/preload", {**PUB, "a": 1}, {"extra": 1})]


def test_what_a_call_sends_is_sent_directly() -> None:
    """So it has no `pretag` at the master, unlike what the minion sends of its jobs and what a program sends."""
    expected: list[tuple[str, dict[str, Any] | None]] = [("salt-call", {}), ("my_program.py", None)]
    for cli, preload in expected:
        up = Bus()
        assert run_job(minion(up, __cli=cli), "event.send", ["t", "{a: 1}"]).value is True
        assert up.sent == [("t", {**PUB, "a": 1}, preload)]


def test_fire_master_takes_text_as_well_and_no_keys_of_the_publication() -> None:
    up = Bus()
    assert run_job(minion(up), "event.fire_master", ['{"data":"my event data"}', "tag/fire_master"]).value is True
    assert run_job(minion(up), "event.fire_master", ["just text", "tag/text"]).value is True
    assert up.sent == [("tag/fire_master", {"data": "my event data"}, None), ("tag/text", "just text", None)]


@pytest.mark.parametrize(
    ("options", "goes_up"),
    [
        ({}, True),
        ({"file_client": "remote"}, True),
        ({"file_client": "local"}, False),
        ({"local": True}, False),
        ({"file_client": "local", "use_master_when_local": True}, True),
        ({"master_type": "disable"}, False),
        ({"master_type": "str"}, True),
    ],
)
def test_who_has_a_master(options: dict[str, Any], *, goes_up: bool) -> None:
    up = Bus()
    assert run_job(minion(up, **options), "event.send", ["t", "{a: 1}"]).value is True
    assert (len(up.sent), len(up.fired)) == ((1, 0) if goes_up else (0, 1))


def test_a_minion_that_wants_no_master_sends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    up = Bus()
    assert run_job(minion(up, master_type="disable"), "event.fire_master", ["{a: 1}", "t"]).value is False
    assert (up.sent, up.fired) == ([], [])
    assert "will NOT be sent" in caplog.text


def test_what_did_not_get_to_the_outbox_is_false() -> None:
    up = Bus()
    up.error = ConnectionLost("away")
    assert run_job(minion(up), "event.send", ["t", "{a: 1}"]).value is False


def test_another_module_sends_without_keys_of_the_publication(write: Write, tmp_path: Path, bus: Bus) -> None:
    """The example of Salt's documentation, as it stands there."""
    write(
        "modules/my_custom_module.py",
        """
        def do_something():
            '''
            Do something and fire an event to the master when finished

            CLI Example::

                salt '*' my_custom_module:do_something
            '''
            # do something!
            __salt__['event.send']('myco/my_custom_module/finished', {
                'finished': True,
                'message': "The something is finished!",
            })
        """,
    )
    up = Bus()
    library = minion(up, module_dirs=[str(tmp_path / "modules")])
    assert run_job(library, "my_custom_module.do_something", []).success
    data = {"finished": True, "message": "The something is finished!"}
    assert up.sent == [("myco/my_custom_module/finished", data, None)]
