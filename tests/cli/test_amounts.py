"""Amounts read as people say them."""

from __future__ import annotations

import pytest

from sylvite.cli.amounts import show_age, show_bytes, show_count, show_duration, show_number_of


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (38.1 * 1024**3, "38.1 GiB"),
        (2**70, "1048576.0 PiB"),
    ],
)
def test_bytes(size: float, shown: str) -> None:
    assert show_bytes(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 ms"),
        (0.0123, "12.3 ms"),
        (1.0, "1.0 s"),
        (89.0, "89 s"),
        (240.0, "4.0 min"),
        (3600 * 3.1, "3.1 h"),
        (86_400 * 41, "41 d"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert show_duration(seconds) == shown


def test_counts_and_ages() -> None:
    assert show_count(91_204_118) == "91 204 118"
    assert show_number_of(1, "segment") == "1 segment"
    assert show_number_of(1412, "segment") == "1 412 segments"
    assert show_age(0.5) == "now"
    assert show_age(180.0) == "3.0 min ago"
