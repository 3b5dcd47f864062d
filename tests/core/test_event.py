"""Events, and how data becomes bytes and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.core.event import (
    CONTAINERS_MAX,
    EVENT_BYTES_MAX,
    Event,
    Gap,
    Offset,
    Origin,
    Position,
    format_stamp,
    is_costly,
    pack_data,
    unpack_data,
)
from sylvite.errors import EventTooBig, InvalidData

ORIGIN = Origin(0xABC, 1_700_000_000_123_456_789, "uid:1000", 0xDEF)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)


def test_an_event_knows_where_it_comes_from() -> None:
    event = Event("a/b", {"n": 1}, Offset(5), ORIGIN, 7)
    assert (event.epoch, event.stamp_ns, event.sender) == (0xABC, ORIGIN.stamp_ns, "uid:1000")
    assert event.position == Position(0xABC, 5)
    assert str(event.position) == "@5"
    assert event.stamp == "2023-11-14T22:13:20.123456Z"


def test_an_envelope_is_flat_and_fits_into_json() -> None:
    shown = Event("a/b", {"n": 1}, Offset(5), ORIGIN, 7).envelope()
    assert json.loads(json.dumps(shown)) == {
        "offset": 5,
        "epoch": "0000000000000abc",
        "stamp": "2023-11-14T22:13:20.123456Z",
        "tag": "a/b",
        "sender": "uid:1000",
        "source": "0000000000000def/7",
        "data": {"n": 1},
    }
    effect = Event("a/b", {}, Offset(5), ORIGIN, 7, 0, 2).envelope()
    assert (effect["cause"], effect["hop"]) == (0, 2)


@pytest.mark.parametrize(
    ("gap", "text"),
    [
        (Gap(3, 5, "retention", 2), "gap: 2 events (@3..@4) are missing, retention"),
        (Gap(3, 5, "damage", None, "why"), "gap: an unknown number of events (@3..@4) are missing, damage: why"),
        (Gap(3, 4, "damage", 1), "gap: 1 event (@3) is missing, damage"),
        (Gap(9, 5, "reset", None), "gap: an unknown number of events (before @5) are missing, reset"),
    ],
)
def test_a_gap_says_what_is_missing(gap: Gap, text: str) -> None:
    assert str(gap) == text


@pytest.mark.parametrize(
    ("stamp_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (999, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775Z"),
        (-(2**63), "1677-09-21T00:12:43.145224Z"),
    ],
)
def test_every_stamp_that_a_header_can_hold_has_a_text(stamp_ns: int, text: str) -> None:
    assert format_stamp(stamp_ns) == text


@given(st.dictionaries(st.text(), VALUES, max_size=5))
@settings(deadline=None, max_examples=50)
def test_data_comes_back_as_it_was(data: dict[str, Any]) -> None:
    assert unpack_data(pack_data(data)) == data


def test_moments_and_values_that_are_no_numbers_come_back() -> None:
    moment = datetime(2026, 11, 23, 12, tzinfo=UTC)
    found = unpack_data(pack_data({"at": moment, "nan": float("nan"), "inf": float("-inf"), "minus": -0.0}))
    assert found["at"] == moment
    assert str(found["nan"]) == "nan"
    assert found["inf"] == float("-inf")
    assert str(found["minus"]) == "-0.0"


@pytest.mark.parametrize("data", [None, 5, "text", b"bytes", [], [1], ("a",), {"a"}, datetime(2026, 1, 1, tzinfo=UTC)])
def test_data_is_a_map(data: Any) -> None:
    with pytest.raises(InvalidData, match="data"):
        pack_data(data)


@pytest.mark.parametrize(
    "data",
    [
        {1: "a"}, {b"a": 1}, {None: 1}, {"a": 1, 2: 2}, {"a": object()}, {"a": 2**64}, {"a": -(2**63) - 1}, {"a": 10**10_000},
        {"\ud800": 1}, {"a": "\udfff"}, {"a": 1j}, {"a": len},
    ],
)  # fmt: skip
def test_what_has_no_form_in_messagepack_is_refused(data: Any) -> None:
    with pytest.raises(InvalidData):
        pack_data(data)


def test_data_without_end_is_refused() -> None:
    data: dict[str, Any] = {}
    data["self"] = data
    with pytest.raises(InvalidData):
        pack_data(data)


def test_the_size_of_data_has_a_limit() -> None:
    room = EVENT_BYTES_MAX - len(pack_data({"a": b"x" * 70_000})) + 70_000
    assert len(pack_data({"a": b"x" * room})) == EVENT_BYTES_MAX
    with pytest.raises(EventTooBig) as caught:
        pack_data({"a": b"x" * (room + 1)})
    assert (caught.value.size, caught.value.limit) == (EVENT_BYTES_MAX + 1, EVENT_BYTES_MAX)
    with pytest.raises(EventTooBig, match="limit is 4"):
        pack_data({"abc": 1}, bytes_max=4)
    assert pack_data({"abc": 1}, bytes_max=6)


@pytest.mark.parametrize("item", [{}, [], {"a": 1}, [1], msgspec.msgpack.Ext(5, b""), msgspec.msgpack.Ext(5, b"xyz")])
def test_the_number_of_maps_and_lists_has_a_limit(item: object) -> None:
    """The map that data is, and the list in it, count too; so do values of extension types."""
    most = {"a": [item] * (CONTAINERS_MAX - 2)}
    packed = pack_data(most)
    assert len(unpack_data(packed)["a"]) == CONTAINERS_MAX - 2
    one_more: dict[str, Any] = {"a": [*most["a"], item]}
    with pytest.raises(InvalidData, match=f"{CONTAINERS_MAX} maps and lists"):
        pack_data(one_more)
    with pytest.raises(InvalidData, match=f"{CONTAINERS_MAX} maps and lists"):
        unpack_data(msgspec.msgpack.encode(one_more))


def test_what_only_looks_like_many_maps_is_counted_exactly() -> None:
    """Bytes above 0x80 are maps and lists only where they begin a value."""
    alike: dict[str, Any] = {
        "text": "Ж" * 100_000,
        "short": ["Ж", "Жж" * 8, "ж" * 20, "ж" * 200],
        "bytes": [b"\x80" * size for size in (0, 1, 31, 32, 255, 256, 65_535, 65_536)],
        "numbers": [0x80, 0x8080, 0x80808080, 0x8080808080808080, -0x80, -0x7F80, -0x7F7F7F80, 1e300],
        "extensions": [msgspec.msgpack.Ext(5, b"\x80" * size) for size in (1, 2, 3, 4, 8, 16, 17, 300, 70_000)],
    }
    assert unpack_data(pack_data(alike)) == alike
    room = CONTAINERS_MAX - count(alike) - 1
    assert pack_data({**alike, "more": [[0]] * room})
    with pytest.raises(InvalidData):
        pack_data({**alike, "more": [[0]] * (room + 1)})


def count(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(count(item) for item in cast(dict[str, object], value).values())
    if isinstance(value, list):
        return 1 + sum(count(item) for item in cast(list[object], value))
    return int(isinstance(value, msgspec.msgpack.Ext))


@given(
    data=st.dictionaries(st.text(max_size=40), VALUES, max_size=6),
    extensions=st.lists(st.builds(msgspec.msgpack.Ext, st.integers(0, 127), st.binary(max_size=40)), max_size=3),
    limit=st.integers(0, 12),
)
@settings(deadline=None, max_examples=50)
def test_the_count_is_exact_for_any_data(data: dict[str, Any], extensions: list[Any], limit: int) -> None:
    whole: dict[str, Any] = {**data, "": extensions}
    packed = pack_data(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sylvite.core.event.CONTAINERS_MAX", limit)
        assert is_costly(packed) is (count(whole) > limit)


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x81\xa1a" + tail))
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_data_or_are_refused(packed: bytes) -> None:
    try:
        data = unpack_data(packed)
    except InvalidData:
        return
    assert all(isinstance(key, str) for key in data)


@pytest.mark.parametrize(
    "packed", [b"", b"\x90", b"\xc0", b"\x81\x01\x02", b"\x81\xa1a", b"\x80\x80", b"\x81\xa1\xff\x01"]
)
def test_what_is_no_map_with_text_keys_is_refused(packed: bytes) -> None:
    with pytest.raises(InvalidData, match="not a MessagePack map"):
        unpack_data(packed)
