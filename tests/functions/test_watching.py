"""`state.event`: which events, and exactly which lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from sylvite.core.event import Event, Offset, Origin
from sylvite.functions.execute import run_job
from sylvite.functions.library import Library
from sylvite.functions.watching import as_json, fits
from sylvite.testing.bus import STAMP_NS, Bus

STAMP = "2026-11-23T22:47:31.012345+00:00"


def event(data: dict[str, Any]) -> Event:
    return Event("t", data, Offset(0), Origin(1, STAMP_NS, "uid:0", 1))


@pytest.mark.parametrize(
    ("tagmatch", "tag", "expected"),
    [
        ("*", "anything/at all", True),
        ("golden/*", "golden/a/b", True),
        ("golden/*", "other", False),
        ("golden/[0-9]+$", "golden/12", True),
        ("golden/[0-9]+", "golden/12x", False),
        ("golden/[0-9]+", "xgolden/12", False),
        ("a|b", "a", True),
        ("a|b", "ax", True),  # No grouping: the first alternative has only its beginning.
        ("a|b", "xb", False),
        ("[", "[", True),
        ("(", "x", False),
        ("", "", True),
        ("", "x", False),
    ],
)
def test_a_tag_fits_as_shell_pattern_or_as_whole_expression(tagmatch: str, tag: str, *, expected: bool) -> None:
    assert fits(tag, tagmatch) == expected


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"data": "message", "n": 1, "_stamp": "S"}, '{"data": "message", "n": 1, "_stamp": "S"}'),
        ({"z": 1, "a": {"é": [1, 2.5, None, True]}, "_stamp": "S"},
         '{"z": 1, "a": {"é": [1, 2.5, null, true]}, "_stamp": "S"}'),
        ({"a": 1}, f'{{"a": 1, "_stamp": "{STAMP}"}}'),
        ({"b": b"text", "_stamp": "S"}, '{"b": "text", "_stamp": "S"}'),
        ({"b": [b"\xff\xfe"], "_stamp": "S"}, '{"b": ["//4="], "_stamp": "S"}'),
        ({"t": datetime(2026, 1, 2), "_stamp": "S"}, '{"t": "2026-01-02T00:00:00", "_stamp": "S"}'),  # noqa: DTZ001
        ({"x": float("nan"), "y": float("inf"), "_stamp": "S"}, '{"x": NaN, "y": Infinity, "_stamp": "S"}'),
    ],
)  # fmt: skip
def test_data_on_one_line(data: dict[str, Any], line: str) -> None:
    """The two lines of the golden transcript cli_state_event_plain_count2, and the odd values."""
    before = dict(data)
    assert as_json(event(data), pretty=False) == line
    assert data == before


def test_pretty_data_is_sorted_and_indented() -> None:
    """The golden transcript cli_state_event_tagmatch_pretty_count1."""
    data = {"data": "message", "n": 1, "_stamp": "S"}
    assert as_json(event(data), pretty=True) == '{\n    "_stamp": "S",\n    "data": "message",\n    "n": 1\n}'


def test_what_has_no_json_ends_the_watching() -> None:
    with pytest.raises(TypeError):
        as_json(event({"x": object()}), pretty=False)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["a/*", "count=2"], ["a/1", "a/2"]),
        (["a/*", "count=0"], ["a/1"]),
        (["a/*"], ["a/1", "a/2", "a/3"]),
        (["a/*", "count=1", "quiet=True"], []),
        (["count=2"], ["a/1", "b"]),
    ],
)
def test_how_many(
    library: Library, bus: Bus, words: Sequence[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It returns nothing, which `sylvite call` shows as None."""
    for tag in ("a/1", "b", "a/2", "a/3"):
        bus.fire(tag, {})
    assert run_job(library, "state.event", words).value is None
    assert capsys.readouterr().out.splitlines() == [f'{tag}\t{{"_stamp": "{STAMP}"}}' for tag in lines]


def test_the_runner_is_the_same_for_the_bus_of_a_master(library: Library) -> None:
    """Arguments, in their order, and their defaults."""
    argspec = library.execution["sys.argspec"]("state.event")["state.event"]
    runner = library.execution["sys.runner_argspec"]("state.event")["state.event"]
    assert argspec["args"] == runner["args"] == ["tagmatch", "count", "quiet", "sock_dir", "pretty", "node"]
    assert argspec["defaults"] == runner["defaults"] == ["*", -1, False, None, False, None]
    assert library.execution["state.event"].__code__ == library.runners["state.event"].__code__
