"""Data of functions, as an event carries it."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, date, datetime
from typing import Any

import pytest

from sylvite.core.event import pack_data, unpack_data
from sylvite.errors import InvalidData
from sylvite.functions.data import DEPTH_MAX, plain, stamp


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, 2), "b": {3}, "c": frozenset((4,))}, {"a": [1, 2], "b": [3], "c": [4]}),
        (OrderedDict[str, Any](a=OrderedDict[str, Any](b=1)), {"a": {"b": 1}}),
        ({"big": 2**64, "small": -(2**63) - 1, "fits": 2**64 - 1}, {"big": str(2**64), "small": str(-(2**63) - 1), "fits": 2**64 - 1}),
        ({"at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "on": date(2026, 1, 2)}, {"at": "2026-01-02T03:04:05+00:00", "on": "2026-01-02"}),
        ({"b": b"\xff", "n": None, "t": True, "f": 1.5, "s": "é"}, {"b": b"\xff", "n": None, "t": True, "f": 1.5, "s": "é"}),
        ({"inner": {1: "a"}}, {"inner": {1: "a"}}),
    ],
)  # fmt: skip
def test_values_come_through_the_bus(value: dict[str, Any], expected: dict[str, Any]) -> None:
    assert unpack_data(pack_data(plain(value))) == expected


@pytest.mark.parametrize("value", [object(), {"a": object()}, {"a": {(1, 2): 3}}, {"a": {True: 1}}, [complex(1, 2)]])
def test_what_has_no_form_is_refused(value: Any) -> None:
    with pytest.raises(InvalidData, match="can not serialize"):
        plain(value)


def test_depth_has_a_limit() -> None:
    """Also where data holds itself."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidData, match=f"deeper than {DEPTH_MAX}"):
        plain(endless)


def test_stamps_are_written_as_salt_writes_them() -> None:
    """Without the fraction where it is nothing, as `isoformat` does it."""
    assert stamp(1_795_474_051_012_345_678) == "2026-11-23T22:47:31.012345+00:00"
    assert stamp(1_795_474_051_000_000_999) == "2026-11-23T22:47:31+00:00"
