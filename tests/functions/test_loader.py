"""The loader: which functions there are, and what each module finds around it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sylvite.functions.errors import FunctionNotAvailable
from sylvite.functions.library import Library
from tests.functions.conftest import MakeLibrary, Write


def reason_of(library: Library, name: str) -> str:
    with pytest.raises(FunctionNotAvailable) as raised:
        library.execution.find(name)
    return str(raised.value)


def test_a_module_of_the_operator_is_found_by_its_file(write: Write, library: Library) -> None:
    write("modules/mine.py", "def hello(): return 'hello'")
    assert library.execution.find("mine.hello")() == "hello"


def test_a_function_that_is_not_there_is_named(library: Library) -> None:
    assert reason_of(library, "nosuch.fun") == "'nosuch.fun' is not available."
    assert reason_of(library, "test.nosuch") == "'test.nosuch' is not available."
    assert reason_of(library, "nodot") == "'nodot' is not available."
    with pytest.raises(KeyError):
        library.execution["nosuch.fun"]
    assert "nosuch.fun" not in library.execution
    assert library.execution.get("nosuch.fun") is None


def test_modules_find_their_surroundings(write: Write, make_library: MakeLibrary) -> None:
    write(
        "modules/mine.py",
        """
        def look():
            __context__["seen"] = True
            return [__salt__["test.echo"]("x"), __opts__["custom"], __grains__["id"], __pillar__, __context__]
        """,
    )
    library = make_library(custom="value", pillar={"p": 1})
    assert library.execution.find("mine.look")() == ["x", "value", "alpha", {"p": 1}, {"seen": True}]
    assert library.state == {"seen": True}


def test_only_what_is_wanted_is_run(write: Write, library: Library) -> None:
    write("modules/one.py", "def f(): return 1")
    write("modules/never_wanted.py", "def f(): return 1")
    assert library.execution.find("one.f")() == 1
    assert "sylvite.loaded.module.never_wanted" not in sys.modules
    assert "never_wanted.f" in library.execution
    assert "sylvite.loaded.module.never_wanted" in sys.modules


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("False", "'mine' __virtual__ returned False"),
        ("(False, 'no such program')", "'mine' __virtual__ returned False: no such program"),
        ("None", "'mine' __virtual__ returned False"),
        ("()", "'mine' __virtual__ returned False"),
        ("1 / 0", "line 2 is broken: ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_may_not_want_to_be_there(write: Write, library: Library, answer: str, reason: str) -> None:
    write("modules/mine.py", f"def __virtual__():\n    return {answer}\n\ndef f(): pass\n")
    assert reason_of(library, "mine.f").endswith(reason)


@pytest.mark.parametrize(
    "content",
    [
        "def __virtual__(): return 'other'\ndef f(): return 1",
        "__virtualname__ = 'other'\ndef __virtual__(): return True\ndef f(): return 1",
        "__virtualname__ = 'other'\ndef f(): return 1",
    ],
)
def test_a_module_may_take_another_name(write: Write, library: Library, content: str) -> None:
    write("modules/mine.py", content)
    assert library.execution.find("other.f")() == 1
    assert "mine.f" not in library.execution


def test_names_of_functions(write: Write, library: Library) -> None:
    """Aliases hold, what is private or imported is not there."""
    write(
        "modules/mine.py",
        """
        from os.path import join
        from dataclasses import dataclass

        __func_alias__ = {"list_": "list"}

        @dataclass
        class Thing:
            x: int

        def list_(): return Thing(1).x
        def _private(): pass
        lambda_ = lambda: 2
        """,
    )
    library.execution.refresh()
    assert [name for name in library.execution if name.startswith("mine.")] == ["mine.lambda_", "mine.list"]
    assert library.execution["mine.list"]() == 1


def test_a_module_may_list_what_it_offers(write: Write, library: Library) -> None:
    write("modules/mine.py", "from os.path import join\n__load__ = ['join']\ndef f(): pass")
    library.execution.refresh()
    assert [name for name in library.execution if name.startswith("mine.")] == ["mine.join"]


def test_a_module_is_initialised_with_the_configuration(write: Write, library: Library) -> None:
    write("modules/mine.py", "found = []\ndef __init__(opts): found.append(opts['file_client'])\ndef f(): return found")
    assert library.execution.find("mine.f")() == ["local"]


def test_a_module_of_the_operator_stands_before_ours(write: Write, library: Library) -> None:
    """And what it has not is still ours."""
    write("modules/test.py", "def ping(): return 'mine'")
    assert library.execution.find("test.ping")() == "mine"
    assert library.execution.find("test.echo")("x") == "x"


def test_a_file_of_the_name_stands_before_one_that_takes_it(write: Write, library: Library) -> None:
    """Whatever was loaded first."""
    write("modules/a.py", "def __virtual__(): return 'mine'\ndef f(): return 'a'\ndef g(): return 'a'")
    write("modules/mine.py", "def f(): return 'mine'")
    assert library.execution.find("mine.f")() == "mine"
    assert len(library.execution) > 0
    assert library.execution.find("mine.f")() == "mine"
    assert library.execution.find("mine.g")() == "a"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("def f(:", "line 1 is broken: SyntaxError"),
        ("\nimport no_such_module", "line 2 is broken: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "line 1 is broken: SystemExit: 3"),
        ("x = 1\ny = \x00", "is broken"),
    ],
)
def test_a_broken_module_costs_itself_only(write: Write, library: Library, content: str, reason: str) -> None:
    """Lists go on working, and it says why it is not there."""
    path = write("modules/broken.py", content)
    write("modules/good.py", "def f(): return 1")
    said = reason_of(library, "broken.f")
    assert reason in said
    assert str(path) in said
    assert {"good.f", "test.ping"} <= set(library.execution)
    assert library.execution["sys.doc"]("good.f") == {"good.f": ""}
    assert library.execution["sys.not_loaded"]("broken") == {"broken": said}


def test_files_are_looked_at_again(write: Write, library: Library) -> None:
    """Changed, new and gone ones, without being told."""
    path = write("modules/mine.py", "def f(): return 1")
    assert library.execution.find("mine.f")() == 1
    path.write_text("def f(): return 22")
    assert library.execution.find("mine.f")() == 22
    write("modules/more.py", "def g(): return 3")
    assert library.execution.find("more.g")() == 3
    path.unlink()
    assert "is not available" in reason_of(library, "mine.f")


def test_reload_says_what_is_new(write: Write, library: Library) -> None:
    write("modules/mine.py", "def f(): return 1")
    assert library.execution.refresh() == ["mine"]
    assert library.execution.refresh() == []
    write("modules/other.py", "def f(): return 1")
    assert library.execution.refresh() == ["other"]


def test_a_module_may_be_left_out(write: Write, make_library: MakeLibrary) -> None:
    """Ours and the operator's; it is not even run."""
    write("modules/mine.py", "raise RuntimeError")
    library = make_library(disable_modules=("mine", "test"))
    for name in ("mine.f", "test.ping"):
        assert "is off: `disable_modules`" in reason_of(library, name)


def test_modules_below_the_roots_are_found(write: Write, make_library: MakeLibrary, tmp_path: Path) -> None:
    write("srv/_modules/mine.py", "def f(): return 1")
    write("srv/_runners/mine.py", "def f(): return 2")
    library = make_library(file_roots={"base": (str(tmp_path / "srv"),)})
    assert library.execution.find("mine.f")() == 1
    assert library.runners.find("mine.f")() == 2


def test_runners_call_runners(write: Write, library: Library) -> None:
    write("runners/mine.py", "def f(): return __salt__['test.arg'](1)")
    assert library.runners.find("mine.f")() == {"args": (1,), "kwargs": {}}


def test_a_folder_that_cannot_be_listed_is_a_reason(
    write: Write, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("modules/mine.py", "def f(): return 1")
    folder = str(tmp_path / "modules")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path) == folder:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert library.execution.find("test.ping")() is True
    assert library.execution.not_loaded[folder] == f"{folder} cannot be listed: Permission denied"
