"""Arguments mean what they mean to Salt (the table in docs/functions.md)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sylvite.cli import values
from sylvite.functions.arguments import DEPTH_MAX, Arguments, parse_arguments, parse_value, unpack_arguments


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("   ", "   "),
        ("---", "---"),
        ("...", "..."),
        ("1_000", "1_000"),
        ("_", "_"),
        ("1000", 1000),
        ("a\tb", "a\tb"),
        ("5\n", "5\n"),
        ("5\r", "5\r"),
        ("#", "#"),
        ("a # b", "a # b"),
        ("# 5", "# 5"),
        ("5 # five", 5),
        ("[1] # one", [1]),
        ("None", None),
        ("null", None),
        ("~", None),
        ("a: b", "a: b"),
        ("{a: b}", {"a": "b"}),
        (" {a: b}", " {a: b}"),
        ("- a", "- a"),
        ("[a]", ["a"]),
        ("true", True),
        ("yes", True),
        ("Off", False),
        ("5", 5),
        ("-5", -5),
        ("1.5", 1.5),
        ("'5'", "5"),
        ("|", "|"),
        ("!", "!"),
        ("2024-01-01", "2024-01-01"),
        ("{at: 2024-01-01}", {"at": "2024-01-01"}),
        ("{a: 1, a: 2}", "{a: 1, a: 2}"),
        ('{"a": {"b": 1, "b": 2}}', '{"a": {"b": 1, "b": 2}}'),
        ("{a: 1", "{a: 1"),
        ("0x_", "0x_"),
        ("{[a]: 1}", "{[a]: 1}"),
        ("{1: a}", {1: "a"}),
        ("!!python/object:os.system {}", "!!python/object:os.system {}"),
        ("[&a [x], *a]", "[&a [x], *a]"),
        ("20261123224730771814", "20261123224730771814"),
        ('{success: True, message: "It works!"}', {"success": True, "message": "It works!"}),
        ('{"data": "message to be sent in the event"}', {"data": "message to be sent in the event"}),
        ("['id','os_family']", ["id", "os_family"]),
        ("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1), "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1)),
        ("[" * 50_000, "[" * 50_000),
    ],
)  # fmt: skip
def test_one_text(text: str, value: Any) -> None:
    found = parse_value(text)
    assert (type(found), found) == (type(value), value)


@given(text=st.text(max_size=40))
@example("\x00")
@example("{a: .nan}")
@example("1" * 5000)
def test_there_is_always_a_value(text: str) -> None:
    """Whatever was typed: at worst it is the text."""
    parse_value(text)


@given(text=st.text(alphabet="0123456789+-._eExXaAfFtrueTnol~", max_size=8))
def test_scalars_mean_the_same_in_publish_and_in_call(text: str) -> None:
    """`sylvite publish` reads values without a YAML parser; both come to the same."""
    found, other = parse_value(text), values.parse_value(text)
    both_nan = isinstance(found, float) and isinstance(other, float) and math.isnan(found) and math.isnan(other)
    if text.strip() not in ("...", "---") and not text.startswith("---"):
        assert both_nan or (type(found), found) == (type(other), other)


@pytest.mark.parametrize(
    ("words", "positional", "named"),
    [
        (["myco/mytag/success", '{success: True, message: "It works!"}'],
         ["myco/mytag/success", {"success": True, "message": "It works!"}], {}),
        (["myco/mytag", "foo=Foo", "bar=Bar", "n=5"], ["myco/mytag"], {"foo": "Foo", "bar": "Bar", "n": 5}),
        (["x", "y=1"], ["x"], {"y": 1}),
        (["a==b", "1=x"], ["a==b", "1=x"], {}),
        (["a.b-c=1", "é=2", "_x=3"], [], {"a.b-c": 1, "é": 2, "_x": 3}),
        (["a="], [], {"a": ""}),
        (["a=b=c"], [], {"a": "b=c"}),
        (["a=1\n2"], ["a=1\n2"], {}),
        (["a=1", "a=2"], [], {"a": 2}),
    ],
)  # fmt: skip
def test_words_of_a_command_line(words: list[str], positional: list[Any], named: dict[str, Any]) -> None:
    """The first ones are those of the golden transcripts."""
    assert parse_arguments(words) == Arguments(positional, named)


def test_keywords_that_are_not_to_be_parsed_stay_text() -> None:
    assert parse_arguments(["a=1", "b=1"], no_parse=["b"]).named == {"a": 1, "b": "1"}


def test_keywords_travel_as_one_map_at_the_end() -> None:
    """As the recorded events of `salt '*' test.arg a b=c` have it."""
    packed = parse_arguments(["a", "b=c"]).packed()
    assert packed == ["a", {"__kwarg__": True, "b": "c"}]
    assert unpack_arguments(packed) == Arguments(["a"], {"b": "c"})
    assert parse_arguments(["a"]).packed() == ["a"]


def test_a_map_without_the_mark_is_an_argument() -> None:
    """Also where it only nearly has the mark."""
    for item in ({"a": 1}, {"__kwarg__": "yes", "a": 1}, {"__kwarg__": 1}):
        assert unpack_arguments([item]) == Arguments([item], {})


def test_texts_of_a_job_are_read_where_they_arrive() -> None:
    """Values that are no texts are what they are, and so are those of marked keywords."""
    packed = ["5", 5, "x=[1]", {"__kwarg__": True, "y": "5", "2": "b"}]
    assert unpack_arguments(packed) == Arguments([5, 5], {"x": [1], "y": "5", "2": "b"})
    assert packed[3] == {"__kwarg__": True, "y": "5", "2": "b"}


def test_events_of_runners_show_keywords_unmarked() -> None:
    assert parse_arguments(["x", "y=1"]).shown() == ["x", {"y": 1}]
    assert parse_arguments(["count=1", "pretty=True"]).shown() == [{"count": 1, "pretty": True}]
