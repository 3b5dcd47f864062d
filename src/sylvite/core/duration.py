"""Durations, sizes and moments as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sylvite.errors import InvalidSetting

NANOSECONDS = 1_000_000_000
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {
    "": 1, "b": 1, "k": 1000, "kb": 1000, "kib": 1 << 10, "m": 10**6, "mb": 10**6, "mib": 1 << 20,
    "g": 10**9, "gb": 10**9, "gib": 1 << 30, "t": 10**12, "tb": 10**12, "tib": 1 << 40,
}  # fmt: skip
# Fifteen digits are exact as a float, and no sum of them is without end.
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_one_duration = re.compile(rf"({_NUMBER})\s*(ms|min|s|m|h|d|w)").match
_number = re.compile(_NUMBER).fullmatch
_size = re.compile(rf"({_NUMBER})\s*([a-z]*)").fullmatch
BYTES_MAX = 2**63 - 1
_clock_time = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?").fullmatch


def parse_duration_s(text: str | float) -> float:
    """Return seconds: `90s`, `2h`, `1d12h`, `250ms`; a bare number is seconds.  Raises InvalidSetting."""
    if isinstance(text, int | float):
        return float(text)
    wanted = text.strip().lower()
    if _number(wanted):
        return float(wanted)
    total, position = 0.0, 0
    while position < len(wanted):
        found = _one_duration(wanted, position)
        if found is None:
            raise InvalidSetting("duration", text, "is not one; write 90s, 5m, 2h, 1d12h or 250ms")
        total += float(found[1]) * _SECONDS[found[2]]
        position = found.end()
    if not wanted:
        raise InvalidSetting("duration", text, "is empty; write 90s, 5m, 2h, 1d12h or 250ms")
    return total


def parse_bytes(text: str | int) -> int:
    """Return bytes: `64MiB`, `50GB`, `1000`.  Raises InvalidSetting."""
    if isinstance(text, int):
        return text
    found = _size(text.strip().lower())
    if found is None or found[2] not in _BYTES:
        raise InvalidSetting("size", text, "is not one; write 1000, 64KiB, 64MiB or 50GB")
    size = int(float(found[1]) * _BYTES[found[2]])
    if size > BYTES_MAX:
        raise InvalidSetting("size", text, f"is more than {BYTES_MAX} bytes")
    return size


def parse_time_ns(text: str, now_ns: int) -> int:
    """Return nanoseconds since 1970, UTC.

    `2h` (ago), `now`, `today`, `yesterday`, each of the last two with a time of day behind it if wanted, `22:00`,
    `2026-11-23`, `2026-11-23 22:00`, or RFC 3339.  Local time, unless a zone is given.  Raises InvalidSetting.
    """
    wanted = text.strip()
    lower = wanted.lower()
    if lower == "now":
        return now_ns
    try:
        return now_ns - int(parse_duration_s(lower.removesuffix(" ago")) * NANOSECONDS)
    except InvalidSetting:
        pass  # Not an age: a moment then.
    # Without its zone: the clock may have been put forward or back since yesterday.
    now = datetime.fromtimestamp(now_ns // NANOSECONDS, UTC).astimezone().replace(tzinfo=None)
    day, _, rest = lower.partition(" ")
    if day in ("today", "yesterday"):
        moment = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if day == "yesterday":
            moment -= timedelta(days=1)
        return _to_ns(_at_time(moment, rest, text) if rest else moment)
    if _clock_time(lower):
        return _to_ns(_at_time(now, lower, text))
    try:
        moment = datetime.fromisoformat(wanted)
    except ValueError:
        raise InvalidSetting(
            "time", text, "is not one; write 2h (ago), today, yesterday 18:00, 2026-11-23 22:00 or 2026-11-23T22:00:00Z"
        ) from None
    try:
        return _to_ns(moment)
    except (OverflowError, ValueError):
        raise InvalidSetting("time", text, "is too long ago, or too far ahead") from None


def _at_time(day: datetime, text: str, whole: str) -> datetime:
    found = _clock_time(text.strip())
    if found is None:
        raise InvalidSetting("time", whole, "has no time of day such as 18:00 at its end")
    try:
        return day.replace(hour=int(found[1]), minute=int(found[2]), second=int(found[3] or 0), microsecond=0)
    except ValueError as error:
        raise InvalidSetting("time", whole, f"is not a time of day: {error}") from error


def _to_ns(moment: datetime) -> int:
    """A moment without a zone is local time."""
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * NANOSECONDS + since.microseconds * 1000
