"""Durations, sizes and moments as people write them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.core.duration import parse_bytes, parse_duration_s, parse_time_ns
from sylvite.errors import InvalidSetting

NOW = datetime(2026, 11, 23, 12, 30, 15, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 1_000_000_000


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is an hour ahead of UTC in winter, two in summer."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90), ("2h", 7200), ("1d12h", 129_600), ("250ms", 0.25), ("1.5h", 5400), ("5min", 300), ("5m", 300),
        ("1w", 604_800), ("90", 90), (" 2 H ", 7200), ("0s", 0), (90, 90), (0.5, 0.5), ("999999999999999s", 1e15 - 1),
    ],
)  # fmt: skip
def test_a_duration_is_in_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "h", "1h 30m", "2x", "2hx", "-5s", "1e5s", "inf", "nan", "9" * 16, "9" * 5000, "٣s", "1..5s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000), ("64KiB", 65_536), ("64MiB", 67_108_864), ("50GB", 50_000_000_000), ("1.5k", 1500), ("1 b", 1),
        (7, 7), ("0", 0), ("8388607TiB", 8_388_607 << 40),
    ],
)  # fmt: skip
def test_a_size_is_in_bytes(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1PB", "1 2", "9" * 16, "9" * 400, "8388608TiB", "inf", "1e3"])
def test_what_is_no_size_or_beyond_eight_bytes_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-23T12:30:15Z"),
        ("2h", "2026-11-23T10:30:15Z"),
        ("2h ago", "2026-11-23T10:30:15Z"),
        ("today", "2026-11-22T23:00:00Z"),
        ("today 18:00", "2026-11-23T17:00:00Z"),
        ("Yesterday", "2026-11-21T23:00:00Z"),
        ("yesterday 7:05:09", "2026-11-22T06:05:09Z"),
        ("22:00", "2026-11-23T21:00:00Z"),
        ("2026-11-23", "2026-11-22T23:00:00Z"),
        ("2026-07-01", "2026-06-30T22:00:00Z"),
        ("2026-11-23 22:00", "2026-11-23T21:00:00Z"),
        ("2026-11-23T22:00:00Z", "2026-11-23T22:00:00Z"),
        ("2026-11-23T22:00:00+05:30", "2026-11-23T16:30:00Z"),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_a_moment_is_local_time_unless_a_zone_is_given(text: str, expected: str) -> None:
    assert parse_time_ns(text, NOW_NS) == ns(expected)


@pytest.mark.parametrize(
    ("now", "text", "expected"),
    [
        # The clock was put back on the 25th at 3:00, and forward on the 29th of March at 2:00.
        ("2026-10-26T11:00:00Z", "yesterday 1:00", "2026-10-24T23:00:00Z"),
        ("2026-10-25T11:00:00Z", "today", "2026-10-24T22:00:00Z"),
        ("2026-03-29T10:00:00Z", "today", "2026-03-28T23:00:00Z"),
        ("2026-03-30T10:00:00Z", "yesterday 1:00", "2026-03-29T00:00:00Z"),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_days_on_which_the_clock_is_changed_begin_when_they_do(now: str, text: str, expected: str) -> None:
    assert parse_time_ns(text, ns(now)) == ns(expected)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "yesterday noon", "today 25:00", "24:00:00", "2026-13-01", "0001-01-01", "9" * 400]
)
@pytest.mark.usefixtures("berlin")
def test_what_is_no_moment_is_refused(text: str) -> None:
    """So is the first day of the calendar, which in UTC is not in it."""
    with pytest.raises(InvalidSetting):
        parse_time_ns(text, NOW_NS)


def test_nanoseconds_are_exact() -> None:
    assert parse_time_ns("2026-11-23T12:30:15.123456Z", 0) == NOW_NS + 123_456_000
    assert parse_time_ns("1969-12-31T23:59:59.5Z", 0) == -500_000_000


@given(st.one_of(st.text(max_size=30), st.from_regex(r"[0-9:. TZ+\-ahdstoyeur]{1,30}", fullmatch=True)))
@settings(deadline=None, max_examples=150)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidSetting):
        assert parse_duration_s(text) >= 0
    with contextlib.suppress(InvalidSetting):
        assert parse_bytes(text) >= 0
    with contextlib.suppress(InvalidSetting):
        assert isinstance(parse_time_ns(text, NOW_NS), int)
