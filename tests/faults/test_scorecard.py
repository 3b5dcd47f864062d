"""Every row of the scorecard is reported by a test, and has a negative control; without one it would count as not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.page import Result, rows, shortcomings

TESTS = Path(__file__).parents[1]
FOLDERS = ("faults", "fuzz", "simulation")
ROWS = [row.id for row in rows()]


def _calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in names:
            yield node


def _row_of(call: ast.Call) -> str:
    """Return the row that a call of `report` or `control` names; "" where that is no text."""
    what = call.args[0]
    if isinstance(what, ast.JoinedStr):
        what = what.values[0]
    text = what.value if isinstance(what, ast.Constant) else None
    return text.partition(" ")[0] if isinstance(text, str) else ""


def _takes_out(node: ast.AST) -> bool:
    """Say whether a safeguard is taken out here: `without=` that is not only handed on, or a list of such things."""
    if isinstance(node, ast.keyword) and node.arg == "without":
        return (
            not (isinstance(node.value, ast.Name) and node.value.id == "without") and ast.unparse(node.value) != "None"
        )
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.parametrize":
        return "without" in ast.unparse(node.args[0])
    return False


def _found_in(tree: ast.AST) -> tuple[set[str], set[str]]:
    """Return the rows that a module reports, and those of them that it controls."""
    reported = {_row_of(call) for call in _calls(tree, "report")} - {""}
    controlled = {_row_of(call) for call in _calls(tree, "control")} - {""}
    if len(reported) == 1 and any(_takes_out(node) for node in ast.walk(tree)):
        controlled |= reported
    return reported, controlled


def _of_all_tests() -> tuple[set[str], set[str]]:
    reported, controlled = set[str](), set[str]()
    for path in (path for folder in FOLDERS for path in (TESTS / folder).glob("test_*.py")):
        there, taken_out = _found_in(ast.parse(path.read_text(encoding="utf-8")))
        reported |= there
        controlled |= taken_out
    return reported, controlled


REPORTED, CONTROLLED = _of_all_tests()


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_test_that_prints_its_result(row: str) -> None:
    assert row in REPORTED, f"no test calls report({row!r}, ...)"


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_negative_control(row: str) -> None:
    assert row in CONTROLLED, f"no test says control({row!r}, without=...): such a row counts as not run"


def test_no_row_is_reported_that_the_scorecard_does_not_name() -> None:
    assert set(ROWS) >= REPORTED | CONTROLLED


def test_a_module_without_controls_is_seen() -> None:
    alone = "def f():\n report('X-01', seed=0, runs=1, counters={}, without=without)"
    assert _found_in(ast.parse(alone)) == ({"X-01"}, set())
    assert _found_in(ast.parse(alone + "\n_f(without='care')")) == ({"X-01"}, {"X-01"})
    two = alone + "\nreport('X-02', seed=0)\nwith control('X-02', without='care'):\n pass"
    assert _found_in(ast.parse(two)) == ({"X-01", "X-02"}, {"X-02"})


# -- The results -----------------------------------------------------------------------------------------------------


def _whole() -> list[Result]:
    ran = [Result(row=f"{row} of it", day="2026-11-29", commit="abc", runs=1, counters={"lost": 0}) for row in ROWS]
    return ran + [Result(row=row, day="2026-11-29", commit="abc", without="care", caught=True) for row in ROWS]


def test_results_of_all_rows_and_controls_fall_short_of_nothing() -> None:
    assert shortcomings(_whole()) == []


def test_it_is_said_which_rows_fall_short() -> None:
    results = _whole()
    failed = Result(row="A-01", day="2026-11-29", commit="abc", runs=1, counters={"lost": 1}, passed=False)
    missed = Result(row="A-02", day="2026-11-29", commit="abc", without="syncs", caught=False)
    short = [each for each in results if each.id != "A-03" and not (each.id == "A-04" and each.without)]
    assert shortcomings([*short, failed, missed]) == [
        "A-01 has failed",
        "A-02 does not see that syncs is taken out",
        "A-03 was not run",
        "A-04 counts as not run: it has no control",
    ]
