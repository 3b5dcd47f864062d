"""The functions that come with Sylvite, called as a job calls them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from sylvite.functions import execution, program
from sylvite.functions.execute import run_job
from sylvite.functions.library import Library
from sylvite.testing.bus import Bus
from sylvite.version import __version__
from tests.functions.conftest import GRAINS, MakeLibrary, Write


def value(library: Library, name: str, *packed: Any) -> Any:
    outcome = run_job(library, name, list(packed))
    assert outcome.success, outcome.value
    return outcome.value


@pytest.mark.parametrize("kind", ["execution", "runners", "wheel"])
def test_every_function_says_what_it_does_and_shows_a_call(make_library: MakeLibrary, kind: str) -> None:
    """Its first line is a sentence; the call names it."""
    loader = getattr(make_library(enable_modules=("cmd",)), kind)
    assert len(loader) > 5
    assert loader.not_loaded == {}
    for name, function in loader.items():
        doc = function.__doc__ or ""
        assert re.match(r"\n    [A-Z].*\.", doc), name
        program = {"execution": "call", "runners": "run", "wheel": "wheel"}[kind]
        assert f"        sylvite {program} " in doc.partition("\n    CLI Example:\n\n")[2], name
        assert name in doc, name


# -- test --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "packed", "expected"),
    [
        ("test.ping", [], True),
        ("test.true", [], True),
        ("test.false", [], False),
        ("test.echo", ["foo bar"], "foo bar"),
        ("test.arg", ["1", "x=[2]"], {"args": (1,), "kwargs": {"x": [2]}}),
        ("test.kwarg", ["a=1", "b=two"], {"a": 1, "b": "two"}),
        ("test.arg_repr", ["1", "x=y"], {"args": "(1,)", "kwargs": "{'x': 'y'}"}),
        ("test.arg_type", ["1", "x=y"], {"args": ["<class 'int'>"], "kwargs": {"x": "<class 'str'>"}}),
        ("test.sleep", ["0"], True),
        ("test.rand_sleep", ["0"], True),
        ("test.version", [], __version__),
        ("test.outputter", ["{a: [1]}"], {"a": [1]}),
        ("test.stream", ["3"], [0, 1, 2]),
        ("test.cross_test", ["test.echo", "[hello]"], "hello"),
        ("test.try", ["module=test.exception", "return_try_exception=True"], "Test Exception"),
        ("test.try", ["module=test.exception"], None),
        ("test.try", ["module=test.ping"], True),
        ("test.assertion", ["True"], None),
        ("test.conf_test", [], None),
    ],
)
def test_functions_to_try_out(library: Library, name: str, packed: list[Any], expected: Any) -> None:
    assert value(library, name, *packed) == expected


def test_numbers_take_their_time(library: Library) -> None:
    number, seconds = value(library, "test.fib", "10")
    assert (number, seconds >= 0) == (55, True)
    steps, seconds = value(library, "test.collatz", "6")
    assert (steps, seconds >= 0) == ([6, 3, 10, 5, 16, 8, 4, 2, 1], True)


def test_failures_to_try_out(library: Library) -> None:
    assert run_job(library, "test.exception", ["oh no"]).value == "Error running 'test.exception': oh no"
    assert not run_job(library, "test.assertion", ["False"]).success
    assert run_job(library, "test.retcode", []).retcode == 42


def test_arguments_without_the_publication(make_library: MakeLibrary) -> None:
    library = make_library(publication={"jid": "1"})
    assert value(library, "test.arg_clean", "1", "x=y") == {"args": (1,), "kwargs": {"x": "y"}}


def test_what_there_is(write: Write, library: Library) -> None:
    path = write("modules/mine.py", "def f(): pass")
    shipped = Path(execution.__file__).parent
    assert value(library, "test.providers")["mine"] == str(path)
    assert value(library, "test.provider", "event") == str(shipped / "event.py")
    assert value(library, "test.provider", "none") is None
    assert value(library, "test.module_report")["grains"] == len(GRAINS)
    assert set(value(library, "test.not_loaded")) == {"cmd"}
    assert value(library, "test.get_opts")["file_client"] == "local"


# -- sys ---------------------------------------------------------------------------------------------------------


def test_names_and_docstrings(library: Library) -> None:
    """By name, by module, by pattern, and all."""
    assert value(library, "sys.list_functions", "event") == ["event.fire", "event.fire_master", "event.send"]
    assert value(library, "sys.list_functions", "event.fire*", "test.ping") == [
        "event.fire", "event.fire_master", "test.ping",
    ]  # fmt: skip
    assert set(value(library, "sys.list_functions")) == set(library.execution)
    assert value(library, "sys.list_modules", "s*") == ["saltutil", "state", "sys"]
    assert list(value(library, "sys.doc", "test.ping")) == ["test.ping"]
    assert "Say that functions run here." in value(library, "sys.doc", "test.ping")["test.ping"]
    assert value(library, "sys.doc", "none") == {}
    assert value(library, "sys.list_runners") == [
        "cloud",
        "event",
        "jobs",
        "manage",
        "salt",
        "saltutil",
        "state",
        "test",
    ]
    assert value(library, "sys.list_runner_functions", "event") == ["event.send"]
    assert list(value(library, "sys.runner_doc", "event")) == ["event.send"]


def test_what_functions_take(library: Library) -> None:
    """As Salt writes it."""
    assert value(library, "sys.argspec", "event.send", "test.arg") == {
        "event.send": {
            "args": ["tag", "data", "preload", "with_env", "with_grains", "with_pillar", "with_env_opts"],
            "defaults": [None, None, False, False, False, False],
            "varargs": None,
            "kwargs": True,
        },
        "test.arg": {"args": [], "defaults": None, "varargs": True, "kwargs": True},
    }


# -- grains and config -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "packed", "expected"),
    [
        ("grains.items", [], GRAINS),
        ("grains.items", ["sanitize=True"], {**GRAINS, "id": "MINION"}),
        ("grains.item", ["id", "none"], {"id": "alpha", "none": ""}),
        ("grains.item", ["none", "default=x"], {"none": "x"}),
        ("grains.get", ["ip4_interfaces:lo"], ["127.0.0.1"]),
        ("grains.get", ["ip4_interfaces:lo:0"], "127.0.0.1"),
        ("grains.get", ["ip4_interfaces:lo:7"], ""),
        ("grains.get", ["os:none", "default=x"], "x"),
        ("grains.get", ["ip4_interfaces.lo", "delimiter=."], ["127.0.0.1"]),
        ("grains.keys", [], ["id", "ip4_interfaces", "os"]),
        ("grains.ls", [], ["id", "ip4_interfaces", "os"]),
        ("grains.has_value", ["os"], True),
        ("grains.has_value", ["none"], False),
    ],
)
def test_grains(library: Library, name: str, packed: list[Any], expected: Any) -> None:
    assert value(library, name, *packed) == expected


@pytest.mark.parametrize(
    ("name", "packed", "expected"),
    [
        ("config.get", ["nested:key"], "opts"),
        ("config.get", ["os"], "Debian"),
        ("config.get", ["deep:er"], "pillar"),
        ("config.get", ["none", "x"], "x"),
        ("config.get", ["none"], ""),
        ("config.option", ["file_client"], "local"),
        ("config.option", ["deep"], {"er": "pillar"}),
        ("config.option", ["os"], ""),
    ],
)
def test_configuration(make_library: MakeLibrary, name: str, packed: list[Any], expected: Any) -> None:
    """The configuration first, then grains, then the pillar."""
    library = make_library(nested={"key": "opts"}, pillar={"deep": {"er": "pillar"}, "nested": 1})
    assert value(library, name, *packed) == expected


# -- saltutil ----------------------------------------------------------------------------------------------------


def test_modules_are_looked_for_again(write: Write, library: Library, bus: Bus) -> None:
    assert value(library, "saltutil.sync_modules") == []
    write("modules/mine.py", "def f(): return 1")
    assert value(library, "saltutil.sync_modules") == ["modules.mine"]
    assert value(library, "saltutil.sync_all") == {"modules": ["modules.mine"]}
    assert value(library, "saltutil.refresh_modules") is True
    assert value(library, "saltutil.refresh_grains") is True
    # The minion is told of what was new, twice, and because it was asked for.
    assert [tag for tag, _ in bus.fired] == ["module_refresh"] * 3 + ["grains_refresh"]


# -- cmd ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_cmd(make_library: MakeLibrary) -> Library:
    return make_library(enable_modules=("cmd",))


def test_programs_are_off_unless_the_configuration_allows_them(library: Library) -> None:
    outcome = run_job(library, "cmd.run", ["true"])
    assert (outcome.value, outcome.success) == (
        "'cmd' __virtual__ returned False: running programs is off; `enable_modules: [cmd]` in the configuration allows it",
        False,
    )
    assert not [name for name in library.execution if name.startswith("cmd.")]


BOTH = "sh -c 'echo out; echo err >&2; exit 3'"


def test_ways_to_run_a_program(with_cmd: Library) -> None:
    assert run_job(with_cmd, "cmd.run", [BOTH]).value == "out\nerr"
    assert run_job(with_cmd, "cmd.run_stdout", [BOTH]).value == "out"
    assert run_job(with_cmd, "cmd.run_stderr", [BOTH]).value == "err"
    assert run_job(with_cmd, "cmd.retcode", [BOTH]).value == 3
    done = run_job(with_cmd, "cmd.run_all", [BOTH]).value
    assert done.pop("pid") > 1
    assert done == {"retcode": 3, "stdout": "out", "stderr": "err"}


@pytest.mark.parametrize(
    ("more", "retcode"),
    [([], 3), (["ignore_retcode=True"], 0), (["success_retcodes=[3]"], 0), (["success_retcodes=[4]"], 3)],
)
def test_a_return_code_is_that_of_the_call(with_cmd: Library, more: list[Any], retcode: int) -> None:
    assert run_job(with_cmd, "cmd.run", [BOTH, *more]).retcode == retcode


def test_no_shell_unless_it_is_asked_for(with_cmd: Library) -> None:
    """What looks like one is an argument."""
    assert value(with_cmd, "cmd.run", "echo $HOME | wc; echo `id`") == "$HOME | wc; echo `id`"
    assert value(with_cmd, "cmd.run", ["echo", "a b; c"]) == "a b; c"
    assert value(with_cmd, "cmd.run", "echo a | tr a b", "python_shell=True") == "b"
    assert value(with_cmd, "cmd.shell", "echo a | tr a b") == "b"


def test_surroundings_of_a_program(with_cmd: Library, tmp_path: Path) -> None:
    assert value(with_cmd, "cmd.run", "pwd", f"cwd={tmp_path}") == str(tmp_path)
    assert value(with_cmd, "cmd.run", "pwd") == os.path.realpath(os.path.expanduser("~"))
    assert value(with_cmd, "cmd.run", "cat", "stdin=hello") == "hello"
    assert value(with_cmd, "cmd.run", "cat") == ""
    assert value(with_cmd, "cmd.run", "/usr/bin/env", "env={A: 1}", "clean_env=True") == "A=1"
    assert "\nPATH=" not in "\n" + value(with_cmd, "cmd.run", "/usr/bin/env", "env={PATH: null}")


def test_a_lot_of_input_and_output_at_once(with_cmd: Library) -> None:
    """Neither side waits for the other for ever."""
    text = "x" * 1_000_000
    assert value(with_cmd, "cmd.run", "cat", {"__kwarg__": True, "stdin": text}) == text
    assert value(with_cmd, "cmd.run", "sh -c true", {"__kwarg__": True, "stdin": text}) == ""


def test_a_program_that_takes_too_long_is_killed_with_all_it_started(with_cmd: Library) -> None:
    outcome = run_job(with_cmd, "cmd.run", ["sh -c 'sleep 600 & echo $!; sleep 600'", "timeout=0.2"])
    assert outcome.value == "Error running 'cmd.run': Timed out after 0.2 seconds, and was killed"


def test_a_program_that_closes_its_output_is_waited_for_no_longer(with_cmd: Library) -> None:
    outcome = run_job(with_cmd, "cmd.run", ["sh -c 'exec >&- 2>&-; sleep 600'", "timeout=0.2"])
    assert "Timed out after 0.2 seconds" in outcome.value


def test_a_program_that_writes_too_much_is_killed(with_cmd: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "OUTPUT_BYTES_MAX", 100_000)
    assert len(value(with_cmd, "cmd.run", "head -c 100000 /dev/zero")) == 100_000
    for line in ("head -c 100001 /dev/zero", "sh -c yes"):
        assert "wrote more than 100000 bytes" in run_job(with_cmd, "cmd.run", [line]).value


@pytest.mark.parametrize("line", ["no-such-program-anywhere", "'", " "])
def test_what_is_no_program_is_a_failure(with_cmd: Library, line: str) -> None:
    outcome = run_job(with_cmd, "cmd.run", [{"__kwarg__": True, "cmd": line}])
    assert (outcome.retcode, outcome.success) == (1, False)
    assert outcome.value.startswith("Error running 'cmd.run': ")


def test_output_that_is_no_text_is_shown_all_the_same(with_cmd: Library) -> None:
    assert value(with_cmd, "cmd.run", r"printf \\377x") == "\ufffdx"


def test_functions_of_ones_own_on_a_master_are_named(write: Write, library: Library) -> None:
    for folder in ("modules", "runners", "wheel"):
        write(f"{folder}/mine_{folder}.py", "def f(): return 1\n")
    assert library.runners["saltutil.sync_all"]() == {
        "modules": ["modules.mine_modules"], "runners": ["runners.mine_runners"], "wheel": ["wheel.mine_wheel"],
    }  # fmt: skip
    write("runners/other.py", "def f(): return 1\n")
    assert library.runners["saltutil.sync_runners"]() == ["runners.mine_runners", "runners.other"]
    assert library.runners["salt.cmd"]("mine_modules.f") == 1
