"""Files of steps: how they are read, in which order they run, and what comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.errors import InvalidSetting
from sylvite.functions.arguments import Arguments
from sylvite.functions.errors import FunctionFailed
from sylvite.functions.library import Library
from sylvite.functions.orchestration import InvalidOrchestration, Step, holds, in_order, read_steps
from sylvite.functions.task import RUNNER, Task, run_task
from sylvite.testing.bus import Bus
from tests.functions.conftest import MakeLibrary, Write

JID = "20261123224727940211"
STAMP = "2026-11-23T22:47:31.012345+00:00"
COMMAND = """
# orch/command.sls

run_a_command:
  salt.function:
    - name: cmd.run
    - tgt: my_minion
    - arg:
      - exit {{ pillar['exit_code'] }}

send_success_event:
  salt.runner:
    - name: event.send
    - tag: my_event/success
    - data:
        foo: bar
    - require:
      - salt: run_a_command

send_failure_event:
  salt.runner:
    - name: event.send
    - tag: my_event/failure
    - data:
        baz: qux
    - onfail:
      - salt: run_a_command
"""
"""The example in the help of Salt's `event.send` (golden/cli_run_event_help.txt)."""


def test_the_example_of_the_documentation_is_read() -> None:
    steps = read_steps(COMMAND.encode(), "f", {"exit_code": 1})
    assert steps[0] == Step("run_a_command", "function", "cmd.run", {"tgt": "my_minion", "arg": ["exit 1"]}, (), ())
    sent: dict[str, Any] = {"tag": "my_event/success", "data": {"foo": "bar"}}
    assert steps[1] == Step("send_success_event", "runner", "event.send", sent, ("run_a_command",), ())
    assert (steps[2].onfail, steps[2].key) == (("run_a_command",), "salt_|-send_failure_event_|-event.send_|-runner")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "must be a map of steps"),
        ("- a\n", "must be a map of steps"),
        ("a: b\n", "a: must have one function, such as salt.runner"),
        ("a: {salt.runner: [], salt.wheel: []}\n", "must have one function"),
        ("a: {salt.state: [{tgt: x}]}\n", "there is no salt.state here; there are salt.function, salt.runner, salt.wheel"),
        ("a: {cmd.run: []}\n", "there is no cmd.run here"),
        ("a: {salt.function: [{name: test.ping}]}\n", "has no tgt"),
        ("a: {salt.runner: [name]}\n", "each item must be a map with one key"),
        ("a: {salt.runner: [{name: x}, {name: y}]}\n", "name stands there twice"),
        ("a: {salt.runner: [{require: [{salt: b}]}]}\n", "there is no step 'b'"),
        ("a: {salt.runner: [{require: [5]}]}\n", "require must be a list such as"),
        ("a: {salt.runner: [{require: [a]}]}\n", "these wait for each other: a"),
        ("a: {salt.runner: [{x: '{{ pillar[\"y\"] }}'}]}\n", "needs pillar['y']"),
        ("a: {salt.runner: [{x: '{{ grains.y }}'}]}\n", "holds a template"),
        ("{% if x %}\n", "holds a template"),
    ],
)  # fmt: skip
def test_what_cannot_be_used(content: str, said: str) -> None:
    with pytest.raises(InvalidOrchestration) as raised:
        read_steps(content.encode(), "orch/x.sls", {})
    assert said in str(raised.value)
    assert str(raised.value).startswith("orch/x.sls: ")


@pytest.mark.parametrize("content", [b"a: [1\n", b"a: &x 1\nb: *x\n", b"a: 1\na: 2\n"])
def test_what_is_no_yaml(content: bytes) -> None:
    with pytest.raises(InvalidSetting):
        read_steps(content, "orch/x.sls", {})


@given(st.permutations(range(6)), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8))
def test_nobody_runs_before_what_it_waits_for(order: list[int], pairs: list[tuple[int, int]]) -> None:
    """In whatever order they stand there; those that wait for nothing keep theirs."""
    waits = {number: {str(low) for low, high in pairs if low < high == number} for number in order}
    steps = [Step(str(number), "runner", "x", {}, tuple(sorted(waits[number])), ()) for number in order]
    ordered = [step.id for step in in_order(steps, "f")]
    assert sorted(ordered) == sorted(step.id for step in steps)
    for step in steps:
        assert all(ordered.index(other) < ordered.index(step.id) for other in step.require)
    if not any(waits.values()):
        assert ordered == [step.id for step in steps]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"m": {"a": {"result": True}}}, True),
        ({"m": {"a": {"result": True}, "b": {"result": False}}}, False),
        ({"m": {"a": {"result": None}}}, True),
        ({"m": {}}, True),
        ({}, False),
        ("text", False),
        (None, False),
    ],
)
def test_steps_that_failed_are_found(data: Any, *, expected: bool) -> None:
    assert holds(data) is expected


# -- The runner -------------------------------------------------------------------------------------------------------


@pytest.fixture
def library(make_library: MakeLibrary, tmp_path: Path) -> Library:
    return make_library(file_roots={"base": [str(tmp_path / "srv")]}, id="mars", data_dir=str(tmp_path / "data"))


def run(library: Library, name: str, *positional: Any, **named: Any) -> dict[str, Any]:
    return run_task(library, Task(RUNNER, name, Arguments(list(positional), named), JID, "root")).value


def test_runners_one_after_the_other(library: Library, bus: Bus, write: Write) -> None:
    """Each step is told before it begins; what fails is told by the steps that wait for it."""
    write(
        "srv/deploy.sls",
        """
        cleanup: {salt.runner: [{name: event.send}, {tag: myco/cleanup}, {onfail: [{salt: first}]}]}
        second: {salt.runner: [{name: event.send}, {tag: myco/second}, {require: [{salt: first}]}]}
        first: {salt.runner: [{name: test.exception}, {message: oh no}]}
        other: {salt.runner: [{name: event.send}, {tag: myco/other}, {data: {n: 1}}]}
        """,
    )
    found = run(library, "state.orchestrate", "deploy")
    assert (found["outputter"], found["retcode"], list(found["data"])) == ("highstate", 1, ["mars"])
    steps = {step["__id__"]: step for step in found["data"]["mars"].values()}
    assert {id_: step["result"] for id_, step in steps.items()} == {
        "first": False, "cleanup": True, "second": False, "other": True,
    }  # fmt: skip
    assert steps["second"]["comment"] == "One or more requisite failed: first"
    assert steps["first"]["comment"] == "Error running 'test.exception': oh no"
    assert steps["other"]["changes"] == {"return": True}
    assert [tag for tag, _ in bus.fired if tag.startswith("myco/")] == ["myco/cleanup", "myco/other"]
    told = [data for tag, data in bus.fired if tag == f"salt/run/{JID}/args"]
    assert told[0] == {"type": "runner", "name": "first", "args": {"message": "oh no"}, "_stamp": STAMP}
    assert [data["name"] for data in told] == ["first", "cleanup", "other"]
    last = bus.fired[-1][1]
    assert (last["fun"], last["success"], last["return"]["retcode"]) == ("runner.state.orchestrate", False, 1)
    inner = [data["fun"] for tag, data in bus.fired if tag.endswith("/new")]
    assert inner == ["runner.state.orchestrate", "runner.test.exception", "runner.event.send", "runner.event.send"]


def test_the_steps_of_a_file_are_shown_and_not_run(library: Library, write: Write, bus: Bus) -> None:
    write("srv/deploy.sls", "first: {salt.runner: [{name: event.send}, {tag: myco/first}]}\n")
    found = run(library, "state.orchestrate_show_sls", "deploy")
    assert found == {
        "mars_master": {
            "first": {"salt": ["runner", {"name": "event.send"}, {"tag": "myco/first"}], "__sls__": "deploy"}
        }
    }
    assert [tag for tag, _ in bus.fired if tag.startswith("myco/")] == []
    (said,) = run(library, "state.orchestrate_show_sls", "*")["mars_master"]
    assert "there is no such file" in said


def test_a_step_that_is_not_needed_has_succeeded(library: Library, write: Write) -> None:
    write("srv/orch/init.sls", "a: {salt.runner: [{name: test.arg}]}\nb: {salt.runner: [{name: x}, {onfail: [a]}]}\n")
    found = run(library, "state.orch", "orch")
    assert found["retcode"] == 0
    assert [step["result"] for step in found["data"]["mars"].values()] == [True, True]


@pytest.mark.parametrize(
    ("mods", "named", "said"),
    [
        ("none", {}, "there is no such file in "),
        ("a/b", {}, "is not the name of a file"),
        ("..x", {}, "is not the name of a file"),
        ("none", {"saltenv": "dev"}, "there is no 'dev'"),
    ],
)
def test_files_that_are_not_there(library: Library, mods: str, named: dict[str, Any], said: str) -> None:
    with pytest.raises(FunctionFailed, match=said):
        run(library, "state.orchestrate", mods, **named)


def test_a_file_that_others_may_write_is_not_used(library: Library, write: Write) -> None:
    write("srv/a.sls", "a: {salt.runner: [{name: test.arg}]}\n").chmod(0o666)
    with pytest.raises(FunctionFailed, match="others may write to"):
        run(library, "state.orchestrate", "a")
