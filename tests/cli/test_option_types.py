"""What people write for durations, sizes, offsets, times and places."""

from __future__ import annotations

import click
import pytest

from sylvite.cli.option_types import ADDRESS, DURATION, MODE, OFFSET, PLACE, SIZE
from sylvite.cli.place import Place


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DURATION, "90s", 90.0),
        (DURATION, "5m", 300.0),
        (DURATION, "250ms", 0.25),
        (DURATION, "7", 7.0),
        (SIZE, "64MiB", 64 * 1024 * 1024),
        (SIZE, "1000", 1000),
        (OFFSET, "@184467", 184_467),
        (OFFSET, "0", 0),
        (ADDRESS, "4505", ("127.0.0.1", 4505)),
        (ADDRESS, "localhost:0", ("localhost", 0)),
        (ADDRESS, "[::1]:80", ("::1", 80)),
        (MODE, "0660", 0o660),
        (PLACE, "oldest", Place("oldest")),
        (PLACE, "@5", Place("offset", 5)),
        (PLACE, "5", Place("offset", 5)),
        (PLACE, "time:2026-11-23T22:00:00Z", Place("time", 1_795_471_200_000_000_000)),
        (PLACE, "time:99999d", Place("time", 0)),
        (PLACE, "time:9999-01-01", Place("time", 2**63 - 1)),
        (PLACE, "cursor:a:b", Place("cursor", name="a:b")),
    ],
)
def test_what_is_understood(kind: click.ParamType[object], text: str, value: object) -> None:
    assert kind.convert(text, None, None) == value
    # click may convert a value twice.
    assert kind.convert(value, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DURATION, ""),
        (DURATION, "-5s"),
        (SIZE, "1 furlong"),
        (OFFSET, "@"),
        (OFFSET, "-1"),
        (OFFSET, "1" * 30),
        (OFFSET, "²"),
        (ADDRESS, "65536"),
        (ADDRESS, "host:"),
        (MODE, "0o600"),
        (MODE, "7777"),
        (PLACE, "cursor:"),
        (PLACE, "time:"),
        (PLACE, "latest"),
    ],
)
def test_what_is_refused(kind: click.ParamType[object], text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)
