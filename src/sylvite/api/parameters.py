"""Parameters: what the query of a request asks for, read strictly: an unknown name is a mistake, not a wish."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from starlette.datastructures import QueryParams

from sylvite.client.start import Since
from sylvite.client.subscription import read_filter
from sylvite.core.event import Position
from sylvite.core.level import Level
from sylvite.core.pattern import Filter
from sylvite.errors import InvalidSetting

LIMIT_MAX = 1000
WAIT_S_MAX = 300.0
LEVELS = ("written", "synced", "replicated")
"""What may be waited for; without an answer, as at level none, there is no request."""
MATCHES = ("glob", "prefix", "exact", "regex")
ID = "[0-9a-f]{16}\\.[0-9]{1,19}"
"""The regular expression of the id of an event."""
_id = re.compile(ID)
_SELECTING = ("tag", "match", "exclude", "where")


class Selection(NamedTuple):
    """Which events, and from where on."""

    wanted: Filter
    since: Since


def check_names(query: QueryParams, *allowed: str) -> None:
    """Raises InvalidSetting: a parameter that there is not, or one twice that may be there once."""
    for name in query:
        if name not in allowed:
            raise InvalidSetting(name, query[name], f"is no parameter here; there are {', '.join(allowed)}")
        if name not in ("tag", "exclude") and len(query.getlist(name)) > 1:
            raise InvalidSetting(name, query[name], "stands there twice")


def read_selection(query: QueryParams, *also: str, last_event_id: str = "", default: Since = None) -> Selection:
    """Return what `tag`, `match`, `exclude`, `where`, `since` and `after` say.

    `after`: the id of an event, `EPOCH.OFFSET`, as a stream gave it; `last_event_id` is the same and gives way to it.

    Raises:
        InvalidSetting, InvalidPattern, InvalidExpression.
    """
    check_names(query, *_SELECTING, "since", "after", *also)
    match = query.get("match", "glob")
    if match not in MATCHES:
        raise InvalidSetting("match", match, f"is not a way to match; there are {', '.join(MATCHES)}")
    tags: Sequence[str] = query.getlist("tag")
    wanted = read_filter(
        tags if match == "glob" else (),
        where=query.get("where"),
        exclude=query.getlist("exclude"),
        startswith=tags if match == "prefix" else (),
        exact=tags if match == "exact" else (),
        regex=tags if match == "regex" else (),
    )
    if "after" in query:
        if "since" in query:
            raise InvalidSetting("since", query["since"], "and after cannot both say where to begin")
        return Selection(wanted, read_id(query["after"]))
    if last_event_id:
        return Selection(wanted, read_id(last_event_id))
    return Selection(wanted, query.get("since", default))


def read_id(text: str) -> Position:
    """Return the place of the event with this id.  Raises InvalidSetting."""
    if _id.fullmatch(text):
        epoch, _, offset = text.partition(".")
        return Position(int(epoch, 16), int(offset))
    raise InvalidSetting("after", text[:80], "is no id of an event; it is EPOCH.OFFSET, as the stream gave it")


def id_of(position: Position) -> str:
    return f"{position.epoch:016x}.{position.offset}"


def read_count(query: QueryParams, name: str, default: int, most: int) -> int:
    """Raises InvalidSetting."""
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= most):
        raise InvalidSetting(name, text[:80], f"must be a whole number from 1 to {most}")
    return int(text)


def read_seconds(query: QueryParams, name: str, default: float, most: float) -> float:
    """Raises InvalidSetting."""
    text = query.get(name)
    try:
        found = default if text is None else float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= most:
        raise InvalidSetting(name, str(text)[:80], f"must be a number of seconds up to {most:g}")
    return found


def read_level(query: QueryParams) -> Level | None:
    """Return what `ack` asks for; None: what the policy says.  Raises InvalidSetting."""
    text = query.get("ack")
    if text is None:
        return None
    if text not in LEVELS:
        raise InvalidSetting("ack", text[:80], f"is not a level here; there are {', '.join(LEVELS)}")
    return Level.named(text)


def read_flag(query: QueryParams, name: str) -> bool:
    """Raises InvalidSetting."""
    text = query.get(name, "0")
    if text not in ("0", "1"):
        raise InvalidSetting(name, text[:80], "must be 0 or 1")
    return text == "1"
