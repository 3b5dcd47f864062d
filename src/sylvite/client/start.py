"""Where a subscription starts, as people say it."""

from __future__ import annotations

from datetime import datetime

from sylvite.core.event import Position
from sylvite.errors import InvalidSetting
from sylvite.wire.messages import Start

VALUE_MAX = 2**62
"""Of what a Start carries: offsets, and nanoseconds since 1970 up to the year 2116."""

Since = str | int | float | datetime | Position | None
"""`newest` (or None), `oldest`, `@123` or 123 (an offset), `2h` (ago), a datetime or its text, a float (seconds since
1970), or a Position: go on behind the event that was there."""


def read_start(since: Since, now_ns: int, *, cursor: bool) -> Start:
    """Return where to start.  With a `cursor` that is known, newest and oldest are only for a new one.

    Raises:
        InvalidSetting: not a place in a log.
    """
    if cursor and since in (None, "newest", "oldest"):
        return Start("cursor", 1 if since == "oldest" else 0)
    if since is None or since == "newest":
        return Start("newest")
    if since == "oldest":
        return Start("oldest")
    if isinstance(since, Position):
        return Start("resume", since.offset + 1, since.epoch)
    if isinstance(since, bool):
        raise InvalidSetting("since", since, "is not a place in the log")
    if isinstance(since, int):
        return Start("offset", _checked(since, since))
    if isinstance(since, float):
        return Start("time", _checked(since * 1_000_000_000, since))
    if isinstance(since, datetime):
        # Whole numbers: a float of today's nanoseconds is up to 128 of them away, behind the event that is meant.
        whole_s = int(since.replace(microsecond=0).timestamp())
        return Start("time", _checked(whole_s * 1_000_000_000 + since.microsecond * 1000, since))
    if since.startswith("@"):
        if not since[1:].isdigit():
            raise InvalidSetting("since", since, "is not an offset; write @123")
        return Start("offset", _checked(int(since[1:]), since))
    # The dates module is loaded only by those who say it in words: it costs a part of the cold start.
    from sylvite.core.duration import parse_time_ns

    return Start("time", parse_time_ns(since, now_ns))


def _checked(value: float, since: Since) -> int:
    if not -VALUE_MAX <= value <= VALUE_MAX:  # Not a number compares as false.
        raise InvalidSetting("since", since, "is not a place in the log")
    return int(value)
