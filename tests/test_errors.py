"""One tree of errors; each has a code of its own."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import sylvite
from sylvite import errors
from sylvite.cli.exit_codes import EXIT_CODES
from sylvite.errors import InvalidExpression, InvalidPattern, InvalidSetting, InvalidTag, SylviteError, from_wire

for _module in pkgutil.walk_packages(sylvite.__path__, "sylvite."):
    if not _module.name.startswith(("sylvite.testing", "sylvite.__main__")):
        importlib.import_module(_module.name)


def _kinds(root: type[SylviteError] = SylviteError) -> list[type[SylviteError]]:
    found = [root, *(kind for child in root.__subclasses__() for kind in _kinds(child))]
    return [kind for kind in dict.fromkeys(found) if kind.__module__.startswith("sylvite.")]


KINDS = _kinds()
TRAVELS = [kind for kind in KINDS if kind.__module__ == errors.__name__]


def test_every_code_is_of_one_error_only() -> None:
    """A caller that was told the code knows which error it was."""
    codes = [kind.code for kind in KINDS]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("kind", KINDS)
def test_every_code_has_an_exit_code(kind: type[SylviteError]) -> None:
    assert 0 < EXIT_CODES[kind.code] < 256


@pytest.mark.parametrize("kind", TRAVELS)
def test_an_error_that_was_named_on_the_wire_is_of_its_class(kind: type[SylviteError]) -> None:
    """With the message of the other side, whatever the constructor of the class wants."""
    error = from_wire(kind.code, "not today", {})
    assert type(error) is kind
    assert str(error) == "not today"
    assert error.code == kind.code
    with pytest.raises(kind, match="not today"):
        raise error


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (errors.NoSuchOffset(7, 5), {"asked": 7, "end": 5}),
        (errors.OffsetGone(1, 5), {"asked": 1, "oldest": 5}),
        (errors.CursorInUse("billing"), {"name": "billing"}),
        (errors.EventTooBig(2, 1), {"size": 2, "limit": 1}),
        (InvalidTag("x" * 10_000, "no"), {"tag": "x" * errors.FACT_CHARACTERS_MAX, "reason": "no"}),
    ],
)
def test_the_facts_of_an_error_travel(error: SylviteError, facts: dict[str, str | int]) -> None:
    assert errors.facts_of(error) == facts
    told = from_wire(error.code, str(error), facts)
    assert vars(told) == facts


def test_facts_touch_nothing_that_a_class_has() -> None:
    told = from_wire(
        "overloaded", "?", {"code": "x", "args": "x", "__class__": "x", "a b": "x", "add_note": "x", "ok": 1}
    )
    assert vars(told) == {"ok": 1}


@pytest.mark.parametrize("code", ["", "made_up", "__class__"])
def test_a_code_that_is_not_known_is_a_plain_error(code: str) -> None:
    error = from_wire(code, "?", {})
    assert type(error) is SylviteError
    assert str(error) == "?"


def test_timeouts_are_those_of_python_too() -> None:
    assert issubclass(errors.AckTimeout, TimeoutError)
    assert issubclass(errors.WaitTimeout, TimeoutError)
    assert issubclass(errors.InvalidInput, ValueError)


@pytest.mark.parametrize("size", [80, 81, 1_000_000])
def test_a_message_shows_no_more_of_a_value_than_a_line(size: int) -> None:
    for error in (InvalidTag("x" * size, "no"), InvalidPattern("x" * size, "no")):
        assert ("x" * 80 in str(error)) == (size <= 80)
        assert len(str(error)) < 130
    assert len(str(InvalidSetting("name", ["x" * size] * 3, "no"))) < 300


@pytest.mark.parametrize("position", [0, 5, 60, 61, 150, 199])
def test_an_expression_is_shown_with_a_mark_at_the_place(position: int) -> None:
    expression = "".join(chr(0x4E00 + number) for number in range(200))
    reason, shown, mark = str(InvalidExpression(expression, position, "no")).split("\n")
    assert reason == "no"
    assert shown[mark.index("^")] == expression[position]
    assert len(shown) <= 102
