"""Outputters: exactly what Salt prints, from the golden transcripts."""

from __future__ import annotations

from collections import OrderedDict
from datetime import date
from typing import Any

import pytest

from sylvite.cli.outputters import OUTPUTTERS, show

RUNNER = "args:\n    - x\nkwargs:\n    ----------\n    y:\n        1"
STATE = """\
pid:
    26817
retcode:
    1
stderr:
stdout:"""
CHANGES = """\
data:
    ----------
    answer:
        42
tag:
    golden/state/event"""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"local": True}, "local:\n    True"),
        ({"local": None}, "local:\n    None"),
        ({"local": 1.5}, "local:\n    1.5"),
        ({"local": "two\nlines"}, "local:\n    two\n    lines"),
        ({"local": []}, "local:"),
        ({"local": {}}, "local:\n    ----------"),
        ({"args": ("x",), "kwargs": {"y": 1}}, RUNNER),
        ({"args": (), "kwargs": {}}, "args:\nkwargs:\n    ----------"),
        ({"pid": 26817, "retcode": 1, "stdout": "", "stderr": ""}, STATE),
        ({"tag": "golden/state/event", "data": {"answer": 42}}, CHANGES),
        (True, "True"),
        (None, "None"),
        ("", ""),
        ({"b": 1, "a": 2}, "a:\n    2\nb:\n    1"),
        (OrderedDict((("b", 1), ("a", 2))), "b:\n    1\na:\n    2"),
        ([["a", "b"], {"k": "v"}, "c"], "|_\n  - a\n  - b\n|_\n  ----------\n  k:\n      v\n- c"),
        (["two\nlines"], "- two\n  lines"),
        ({2: "a", "b": 1, 1: "c"}, "b:\n    1\n1:\n    c\n2:\n    a"),
        (b"bytes", "bytes"),
        (date(2026, 1, 2), "2026-01-02"),
    ],
)  # fmt: skip
def test_nested(value: Any, shown: str) -> None:
    """Keys sorted, but for those that have an order; nothing at all for an empty text or list."""
    assert show(value) == shown


def test_nested_in_colour() -> None:
    """Each line in one colour, the indentation before it."""
    assert show({"local": [True, "x"]}, color=True) == (
        "\x1b[0;36mlocal:\x1b[0;0m\n    \x1b[0;1;33m- True\x1b[0;0m\n    \x1b[0;32m- x\x1b[0;0m"
    )


@pytest.mark.parametrize(
    ("outputter", "value", "shown"),
    [
        ("json", {"local": True}, '{\n    "local": true\n}'),
        ("json", {"é": (1, object)}, '{\n    "é": [\n        1,\n        "<class \'object\'>"\n    ]\n}'),
        ("yaml", {"local": {"b": [1, "x"], "a": None}}, "local:\n  a: null\n  b:\n  - 1\n  - x"),
        ("yaml", {"é": (1, {2})}, "é:\n- 1\n- - 2"),
        ("raw", {"local": True}, "{'local': True}"),
        ("raw", "text", "text"),
        ("pprint", {"local": True}, "{'local': True}"),
        ("txt", {"local": "two\nlines", "other": 5}, "local: two\nlocal: lines\nother: 5"),
        ("txt", "text", "text"),
        ("txt", [1, 2], "[1, 2]"),
        ("quiet", {"local": True}, None),
    ],
)
def test_the_others(outputter: str, value: Any, shown: str | None) -> None:
    assert show(value, outputter) == shown
    assert outputter in OUTPUTTERS


def test_json_is_indented_as_told() -> None:
    assert show({"a": 1}, "json", indent=2) == '{\n  "a": 1\n}'
    assert show({"a": [1]}, "json", indent=-1) == '{"a": [1]}'


@pytest.mark.parametrize("outputter", OUTPUTTERS)
def test_whatever_a_function_returns_is_shown(outputter: str) -> None:
    """Also what no format has."""
    show({"a": object(), ("b",): {1, 2}, None: [b"\xff", 2**80, date(2026, 1, 2), complex(1, 2)]}, outputter)
