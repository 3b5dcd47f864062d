"""Calling a function, and what is said where that does not work."""

from __future__ import annotations

from typing import Any

import pytest

from sylvite.functions.arguments import Arguments
from sylvite.functions.errors import FunctionFailed, InvalidArguments
from sylvite.functions.execute import Outcome, call, run_job
from sylvite.functions.library import Library
from tests.functions.conftest import MakeLibrary, Write

PUBLICATION = {"fun": "test.arg", "arg": ["a"], "tgt": "*", "jid": "20261123224725998685", "user": "root"}


def test_a_job_returns_what_its_function_returns(library: Library) -> None:
    assert run_job(library, "test.echo", ["[1, 2]"]) == Outcome([1, 2], 0, success=True)
    assert run_job(library, "test.ping", []) == Outcome(True, 0, success=True)


def test_a_function_with_keywords_gets_the_publication_behind_them(make_library: MakeLibrary) -> None:
    """As Salt's recorded returns of `test.arg a b=c` have it, in that order."""
    library = make_library(publication=PUBLICATION)
    value = run_job(library, "test.arg", ["a", {"__kwarg__": True, "b": "c"}]).value
    assert value["args"] == ("a",)
    assert list(value["kwargs"]) == ["b", *(f"__pub_{name}" for name in PUBLICATION)]
    assert value["kwargs"]["__pub_jid"] == PUBLICATION["jid"]


def test_a_function_without_keywords_does_not(make_library: MakeLibrary) -> None:
    assert run_job(make_library(publication=PUBLICATION), "test.echo", ["x"]).value == "x"


@pytest.mark.parametrize(
    ("name", "packed", "reason"),
    [
        ("event.send", [], "send() missing 1 required positional argument: 'tag'"),
        ("test.ping", ["x"], "ping() takes 0 positional arguments but 1 was given"),
        ("test.echo", ["x", "text=y"], "echo() got multiple values for argument 'text'"),
        ("test.ping", ["a=1", "b=x"], "The following keyword arguments are not valid: a=1, b=x"),
    ],
)
def test_arguments_that_do_not_fit(library: Library, name: str, packed: list[Any], reason: str) -> None:
    """Python's words, and the docstring: Salt's form for a job."""
    outcome = run_job(library, name, packed)
    doc = library.execution[name].__doc__
    assert outcome == Outcome(f"Passed invalid arguments to {name}: {reason}\n{doc}", 1, success=False)


def test_a_type_error_inside_is_a_failure_and_no_matter_of_arguments(write: Write, library: Library) -> None:
    write("modules/mine.py", "def f(): return len(5)\ndef g(): return f(1)")
    for name in ("mine.f", "mine.g"):
        with pytest.raises(FunctionFailed):
            call(library, name, Arguments([], {}))


def test_a_function_that_is_not_there_is_a_return(library: Library) -> None:
    """As the recorded return of `salt '*' no.such_function`."""
    assert run_job(library, "no.such_function", []) == Outcome("'no.such_function' is not available.", 1, success=False)


@pytest.mark.parametrize("raised", ["RuntimeError('oh no')", "SystemExit('oh no')", "KeyError('oh no')"])
def test_whatever_a_function_raises_is_a_return(write: Write, library: Library, raised: str) -> None:
    """In one line, without a traceback."""
    write("modules/mine.py", f"def f(): raise {raised}")
    outcome = run_job(library, "mine.f", [])
    assert (outcome.retcode, outcome.success) == (1, False)
    assert outcome.value.startswith("Error running 'mine.f': ")
    assert "oh no" in outcome.value
    assert "Traceback" not in outcome.value


def test_an_error_without_words_is_named(write: Write, library: Library) -> None:
    write("modules/mine.py", "def f(): raise ValueError")
    assert run_job(library, "mine.f", []).value == "Error running 'mine.f': ValueError"


def test_a_return_code_is_of_one_call(library: Library) -> None:
    """What the one before left does not count."""
    assert run_job(library, "test.retcode", ["7"]) == Outcome(True, 7, success=False)
    assert run_job(library, "test.ping", []) == Outcome(True, 0, success=True)


def test_ctrl_c_is_no_failure_of_the_function(write: Write, library: Library) -> None:
    write("modules/mine.py", "def f(): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        run_job(library, "mine.f", [])


@pytest.mark.parametrize(
    ("yielded", "value"),
    [("[]", {}), ("[1, 2]", [1, 2]), ("[{'a': 1}, {'b': 2}]", {"a": 1, "b": 2}), ("[{'a': 1}, 2]", [{"a": 1}, 2])],
)
def test_what_is_yielded_is_told_one_by_one(write: Write, library: Library, yielded: str, value: Any) -> None:
    write("modules/mine.py", f"def f():\n    yield from {yielded}")
    told: list[tuple[int, Any]] = []
    outcome = run_job(library, "mine.f", [], progress=lambda number, item: told.append((number, item)))
    assert outcome.value == value
    assert [number for number, _ in told] == list(range(len(told)))
    assert len(told) == len(eval(yielded))


def test_a_failure_in_the_middle_of_yielding_is_a_failure(write: Write, library: Library) -> None:
    write("modules/mine.py", "def f():\n    yield 1\n    raise ValueError('late')")
    assert run_job(library, "mine.f", []) == Outcome("Error running 'mine.f': late", 1, success=False)


def test_keywords_are_not_changed_by_the_publication(make_library: MakeLibrary) -> None:
    arguments = Arguments([], {"a": 1})
    call(make_library(publication=PUBLICATION), "test.arg", arguments)
    assert arguments.named == {"a": 1}


def test_no_parse_reaches_the_arguments(library: Library) -> None:
    assert run_job(library, "test.kwarg", ["a=1", "b=1"], no_parse=["a"]).value == {"a": "1", "b": 1}


def test_usage_is_the_docstring(library: Library) -> None:
    with pytest.raises(InvalidArguments) as raised:
        call(library, "event.send", Arguments([], {}))
    assert raised.value.usage == library.execution["event.send"].__doc__
