"""Place: the one way to name a place in the log, for `tail --from` and `cursors seek`."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sylvite.errors import InvalidInput


class Place(NamedTuple):
    """`value`: the offset, or ns since 1970.  `name`: of the cursor."""

    at: Literal["oldest", "newest", "offset", "time", "cursor"]
    value: int = 0
    name: str = ""


def parse_moment_ns(text: str) -> int:
    """Return a time as ns since 1970, UTC; what lies before that, or beyond what the log can hold, is moved there.

    Raises:
        InvalidInput: it is none (core/duration.py).
    """
    # Here, because `publish` has no use for times, and must not wait for what reads them.
    import time

    from sylvite.core.duration import parse_time_ns

    return min(max(parse_time_ns(text, time.time_ns()), 0), 2**63 - 1)


def parse_place(text: str) -> Place:
    """Return the place that `oldest`, `newest`, `@184467`, `time:2h` or `cursor:billing` names.

    Raises:
        InvalidInput: it names none.
    """
    if text == "oldest":
        return Place("oldest")
    if text == "newest":
        return Place("newest")
    kind, colon, rest = text.partition(":")
    if colon and kind == "time":
        return Place("time", parse_moment_ns(rest))
    if colon and kind == "cursor" and rest:
        return Place("cursor", name=rest)
    digits = text.removeprefix("@")
    if digits.isascii() and digits.isdigit() and len(digits) <= 19:
        return Place("offset", int(digits))
    raise InvalidInput(f"{text!r} is not a place in the log; write oldest, newest, @OFFSET, time:TIME or cursor:NAME")
