"""Runners, and what the bus is told of them: the golden recordings of `salt-run`."""

from __future__ import annotations

from typing import Any

import pytest

from sylvite.core.event import EVENT_BYTES_MAX
from sylvite.errors import ConnectionLost
from sylvite.functions.arguments import parse_arguments
from sylvite.functions.errors import FunctionFailed, FunctionNotAvailable, InvalidArguments
from sylvite.functions.execute import Outcome
from sylvite.functions.jid_event import Shown
from sylvite.functions.library import Library
from sylvite.functions.task import RUNNER, Task, run_task
from sylvite.testing.bus import Bus
from tests.functions.conftest import Write

JID = "20261123224727940211"
STAMP = "2026-11-23T22:47:31.012345+00:00"


def run(library: Library, name: str, *words: str, watch: Shown | None = None) -> Outcome:
    return run_task(library, Task(RUNNER, name, parse_arguments(words), JID, "root"), watch)


def test_a_run_is_told_before_and_after(library: Library, bus: Bus) -> None:
    """`salt-run test.arg x y=1`: fields, their values, and no `__pub_` keys."""
    outcome = run(library, "test.arg", "x", "y=1")
    assert outcome.value == {"args": ("x",), "kwargs": {"y": 1}}
    about = {"fun": "runner.test.arg", "jid": JID, "user": "root", "fun_args": ["x", {"y": 1}]}
    returned = {"args": ["x"], "kwargs": {"y": 1}}
    assert bus.fired == [
        (f"salt/run/{JID}/new", {**about, "_stamp": STAMP}),
        (f"salt/run/{JID}/ret", {**about, "return": returned, "success": True, "_stamp": STAMP}),
    ]


def test_a_map_that_was_fired_shows_its_stamp_in_the_arguments(library: Library, bus: Bus) -> None:
    """`salt-run event.send golden/runner/tag '{a: 1}'`: the recorded `ret` has it, and `new` has not."""
    assert run(library, "event.send", "golden/runner/tag", "{a: 1}").value is True
    (_, new), (tag, sent), (_, ret) = bus.fired
    assert (tag, sent) == ("golden/runner/tag", {"a": 1, "_stamp": STAMP})
    assert new["fun_args"] == ["golden/runner/tag", {"a": 1}]
    assert ret["fun_args"] == ["golden/runner/tag", {"a": 1, "_stamp": STAMP}]
    assert (ret["return"], ret["success"]) == (True, True)


def test_a_runner_that_is_not_there_has_a_return_and_no_beginning(library: Library, bus: Bus) -> None:
    with pytest.raises(FunctionNotAvailable):
        run(library, "no.such", "x")
    assert [tag for tag, _ in bus.fired] == [f"salt/run/{JID}/ret"]
    ret = bus.fired[0][1]
    assert (ret["fun"], ret["retcode"], ret["success"]) == ("no.such", 254, False)
    assert (ret["return"], ret["fun_args"]) == ("'no.such' is not available.", ["x"])


def test_a_runner_that_raises_says_so_on_the_bus(library: Library, bus: Bus) -> None:
    with pytest.raises(FunctionFailed):
        run(library, "test.exception", "oh no")
    ret = bus.fired[-1][1]
    assert ret["return"].startswith("Exception occurred in runner test.exception: Traceback")
    assert ret["return"].endswith("Exception: oh no\n")
    assert (ret["success"], ret["retcode"]) == (False, 1)


def test_arguments_that_do_not_fit_are_told_with_the_usage(library: Library, bus: Bus) -> None:
    with pytest.raises(InvalidArguments):
        run(library, "event.send")
    ret = bus.fired[-1][1]
    assert ret["return"].startswith("Passed invalid arguments: send() missing 1 required positional argument: 'tag'")
    assert "CLI Example" in ret["return"]
    assert (ret["success"], ret["retcode"]) == (False, 1)


def test_an_interrupted_run_has_an_end(write: Write, library: Library, bus: Bus) -> None:
    """Whoever waits for it must not wait for ever."""
    write("runners/mine.py", "def f(): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        run(library, "mine.f")
    ret = bus.fired[-1][1]
    assert (ret["return"], ret["success"]) == ("Exception occurred in runner mine.f: KeyboardInterrupt", False)


def test_progress_is_fired_and_shown(library: Library, bus: Bus) -> None:
    shown: list[tuple[str, Any]] = []

    def show(tag: str, data: dict[str, Any]) -> None:
        shown.append((tag, data["message"]))

    run(library, "test.stream", "2", watch=show)
    assert shown == [("progress", "Runner is 50% done"), ("progress", "Runner is 100% done")]
    assert [tag for tag, _ in bus.fired[1:-1]] == [f"salt/run/{JID}/progress"] * 2


def test_outside_of_a_run_there_is_nobody_to_tell(library: Library, bus: Bus) -> None:
    assert library.runners["test.stream"](1) is True
    assert bus.fired == []


def test_a_bus_that_is_away_lets_nothing_run(write: Write, library: Library, bus: Bus) -> None:
    write("runners/mine.py", "def f(): __context__['ran'] = True")
    bus.error = ConnectionLost("away")
    with pytest.raises(ConnectionLost):
        run(library, "mine.f")
    assert library.state == {}


def test_a_return_that_cannot_travel_is_told_as_text(write: Write, library: Library, bus: Bus) -> None:
    write("runners/mine.py", "def f(): return {'x': complex(1, 2)}")
    assert run(library, "mine.f").success
    assert bus.fired[-1][1]["return"] == "{'x': (1+2j)}"


def test_a_return_that_is_too_big_is_trimmed(write: Write, library: Library, bus: Bus) -> None:
    """In Salt's word; the run itself has succeeded."""
    write("runners/mine.py", f"def f(): return 'x' * {EVENT_BYTES_MAX}")
    assert len(run(library, "mine.f").value) == EVENT_BYTES_MAX
    ret = bus.fired[-1][1]
    assert (ret["return"], ret["success"]) == ("VALUE_TRIMMED", True)
