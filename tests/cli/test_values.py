"""Values are read as Salt reads them, without its YAML parser where none is needed."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from sylvite.cli.values import parse_assignment, parse_data, parse_line, parse_value
from sylvite.core.event import pack_data
from sylvite.errors import InvalidData


def salts_yamlify(text: str) -> Any:
    """Salt's rule (`salt.utils.args.yamlify_arg`, and the job ids of `condition_input`), by its own words in PyYAML."""
    if not text.strip():
        return text
    if "_" in text and all(character in "0123456789_" for character in text.strip()):
        return text
    if any(character in text for character in "\t\r\n"):
        return text
    if text == "None":
        return None
    try:
        value: Any = yaml.safe_load(text)
    except Exception:  # noqa: BLE001 - as Salt does
        return text
    if "#" in text and (isinstance(value, str) or value is None):
        return text
    opening = {"dict": "{", "list": "["}.get(value.__class__.__name__)
    if opening is not None:
        return value if text.startswith(opening) else text
    if value is not None and not isinstance(value, (int, float, str)):
        return text
    if (value == "" and text in ("|", "!")) or (value is None and text == "!"):
        return text
    if isinstance(value, int) and not isinstance(value, bool) and len(str(value)) == 20 and value > 0:
        return str(value)
    return value


SCALARS = st.text(alphabet="0123456789+-._eExXbBaAfF:TtrueFalsNnoyYsSuIi~", min_size=1, max_size=8)
WORDS = st.sampled_from(
    ["yes", "No", "on", "OFF", "true", "True", "null", "~", "None", ".inf", "-.INF", ".nan", "0x1f", "017", "0b11", "12:30:45",
     "1_000", "1.5e+3", "1e5", "12345e7", "1.4.2", "1.10", "=", "<<", "-", "--", "?", "22:47", "0o17", "08", "+5", "1.", ".5",
     "2026-11-23", "a b c", "web1", "/var/log", "x=y", "a,b", "https://example.org/x", "50%", "*", "@home", "`id`", "a: b", "a:",
     "- a", "-a", "5 # five", "a # b", "#", "#5", "|", "> x", "!", "&a", "'x'", '"x"', "20261123224730771814"]
)  # fmt: skip


@given(text=SCALARS | WORDS)
@example("20261123224730771814")
@example("0x")
@example("1:2")
def test_plain_values_mean_what_they_mean_to_salt(text: str) -> None:
    """Numbers, yes and no, nothing, and all that merely looks like one of them."""
    value, expected = parse_value(text), salts_yamlify(text)
    if "#" in text and not isinstance(expected, (str, type(None))):
        expected = text  # Here we keep the promise that `#` never begins a comment; Salt drops what stands behind it.
    if isinstance(expected, float) and math.isnan(expected):
        assert isinstance(value, float)
        assert math.isnan(value)
    else:
        assert (type(value), value) == (type(expected), expected)


JSON_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5)
JSON_CONTAINERS: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        st.lists(JSON_SCALARS | JSON_CONTAINERS, max_size=3)
        | st.dictionaries(st.text(max_size=5), JSON_SCALARS | JSON_CONTAINERS, max_size=3)
    )
)


@given(value=JSON_CONTAINERS)
def test_json_comes_back_as_it_is(value: Any) -> None:
    text = msgspec.json.encode(value).decode()
    assert parse_value(text) == value


@given(text=st.text(max_size=30))
def test_no_value_is_refused(text: str) -> None:
    """Whatever it is: there is always a value, at worst the text itself."""
    value = parse_value(text)
    assert isinstance(value, (str, int, float, list, dict, type(None)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[web1, web2]", ["web1", "web2"]),
        ("{success: True, message: 'It works!'}", {"success": True, "message": "It works!"}),
        ("{a: [1, {b: null}]}", {"a": [1, {"b": None}]}),
        ("{when: 2026-11-23}", {"when": "2026-11-23"}),
        ("[web1, web2", "[web1, web2"),
        ("'5'", "5"),
        ('"a # b"', "a # b"),
        ("two\nlines", "two\nlines"),
        ("a\tb", "a\tb"),
        ("1_000", "1_000"),
        ("# no comment", "# no comment"),
        ("20261123224730771814", "20261123224730771814"),
        ("{jid: 20261123224730771814}", {"jid": "20261123224730771814"}),
        ('{"jid": 20261123224730771814}', {"jid": "20261123224730771814"}),
        ("99999999999999999999999", "99999999999999999999999"),
    ],
)
def test_values_of_the_documentation(text: str, value: Any) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=1", ("a", 1)),
        ("a.b-c=x=y", ("a.b-c", "x=y")),
        ("ok=True", ("ok", True)),
        ("empty=", ("empty", "")),
        ("a==b", None),
        ("1a=2", None),
        ("{a: b=c}", None),
        ("a b=c", None),
    ],
)
def test_assignments_are_told_from_data(text: str, found: tuple[str, Any] | None) -> None:
    assert parse_assignment(text) == found


@pytest.mark.parametrize("text", ['{"a": 1}', "{a: 1}", "a: 1"])
def test_data_is_json_or_yaml(text: str) -> None:
    assert parse_data(text, "DATA") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5", "is a number"),
        ("[1]", "is a list"),
        ("text", "is text"),
        ("", "is nothing"),
        ("{a: ", "neither JSON nor YAML"),
        ("!!python/object:os.system {}", "neither JSON nor YAML"),
        (b"\xff\xfe\x00", "neither JSON nor YAML"),
        ("[" * 100_000, "neither JSON nor YAML"),
    ],
)
def test_data_that_is_no_map_is_refused_with_its_reason(text: str | bytes, reason: str) -> None:
    """In one line, which says what there is instead."""
    with pytest.raises(InvalidData, match=reason) as raised:
        parse_data(text, "DATA")
    assert "\n" not in str(raised.value)


def test_dates_stay_text_so_that_every_reader_can_take_them() -> None:
    assert pack_data(parse_data("{at: 2026-11-23 22:00:00}", "DATA")) == pack_data({"at": "2026-11-23 22:00:00"})


def test_lines_name_their_tag_or_take_the_one_given() -> None:
    assert parse_line(b'{"tag": "a/b", "data": {"n": 1}}\n', None) == ("a/b", {"n": 1})
    assert parse_line(b'{"tag": "a/b"}', None) == ("a/b", {})
    assert parse_line(b'a/b\t{"n": 1}', None) == ("a/b", {"n": 1})
    assert parse_line(b'{"n": 1}', "t") == ("t", {"n": 1})
    assert parse_line("zwölf\n".encode(), "t") == ("t", {"line": "zwölf\n"})
    assert parse_line(b"{not json}", "t") == ("t", {"line": "{not json}"})


@pytest.mark.parametrize(
    "line",
    [b"just text", b"{}", b'{"tag": 5}', b'{"tag": "a", "data": [1]}', b"a\t[1]", b"a\t", b"\xff\t{}", b"a\t{} {}"],
)
def test_lines_without_tag_and_map_are_refused(line: bytes) -> None:
    with pytest.raises(InvalidData):
        parse_line(line, None)
