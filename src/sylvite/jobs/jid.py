"""Job ids: `20261123224730771814`, the UTC time of their making to the microsecond, as Salt has them.

    %Y%m%d%H%M%S%f           twenty digits; sorted as text, they are sorted by time
    %Y%m%d%H%M%S%f_4711      with `unique_jid`: and the process that made it

Within a process each jid is greater than the one before, also where two are made in one microsecond or the clock goes
back: then it is the one before, and a microsecond.  Between processes only the process's number tells two apart.
"""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sylvite.errors import InvalidJid

DIGITS = 20
_jid = re.compile(r"(?P<stamp>[0-9]{20})(?:_(?P<process>[1-9][0-9]{0,9}))?").fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


class Jid(NamedTuple):
    """What a jid says.  `stamp`: UTC.  `process`: None without `unique_jid`."""

    stamp: datetime
    process: int | None

    @property
    def stamp_ns(self) -> int:
        return (self.stamp - _EPOCH) // _MICROSECOND * 1000


class JidMaker:
    """Makes jids, each greater than the one before.  Threads may share one."""

    def __init__(self, *, process: int | None = None) -> None:
        """`process`: its number, to stand behind each jid (`unique_jid`)."""
        self._suffix = "" if process is None else f"_{process}"
        self._last = _EPOCH
        self._lock = threading.Lock()

    def make(self, now_ns: int) -> str:
        """Return the jid of this moment, or of the next one that is free."""
        with self._lock:
            # Integers: a float does not tell microseconds of today apart.
            now = _EPOCH + timedelta(microseconds=max(0, now_ns) // 1000)
            self._last = max(now, min(self._last + _MICROSECOND, _LAST))
            return write_jid(self._last) + self._suffix


def write_jid(stamp: datetime) -> str:
    """Return the twenty digits for a moment; it has a zone."""
    utc = stamp.astimezone(UTC)
    # Not `%Y`: of a year before 1000 it writes three digits.
    return f"{utc.year:04}{utc:%m%d%H%M%S%f}"


def parse_jid(text: str) -> Jid:
    """Read a jid that somebody gave.

    Raises:
        InvalidJid: it is none; it may hold anything, and was not used for anything.
    """
    found = _jid(text)
    if found is None:
        raise InvalidJid(text, f"it has {DIGITS} digits, such as 20261123224730771814")
    stamp = found["stamp"]
    try:
        # Not strptime: it takes fewer digits than it should, and is twenty times slower.
        moment = datetime(
            int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8]), int(stamp[8:10]), int(stamp[10:12]), int(stamp[12:14]),
            int(stamp[14:]), UTC,
        )  # fmt: skip
    except ValueError:
        raise InvalidJid(text, f"{stamp} is no moment; it is written year, month, day, time, fraction") from None
    return Jid(moment, int(found["process"]) if found["process"] is not None else None)


def start_time(jid: str) -> str:
    """Return the moment of a jid as Salt's job runners print it: `2026, Nov 23 22:47:30.771814`.  Raises InvalidJid."""
    return show_moment(parse_jid(jid).stamp)


def show_moment(stamp: datetime) -> str:
    """Return a moment as Salt's job runners print one."""
    return f"{stamp.year:04}, {_MONTHS[stamp.month - 1]} {stamp:%d %H:%M:%S.%f}"


# Not `%b`: that one follows the user's language.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
