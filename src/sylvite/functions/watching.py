"""Watching: `state.event`, which shows events as lines for a shell.

<tag> TAB <data as JSON>
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

from sylvite.core.event import Event
from sylvite.functions.context import Bus
from sylvite.functions.data import stamp


def show_events(
    bus: Bus, tagmatch: str, count: int, *, quiet: bool, sock_dir: str | None, pretty: bool, node: str
) -> None:
    """Write a line to stdout for each event whose tag fits, `count` of them; with -1 without end."""
    with bus.watch(tagmatch, node=node, sock_dir=sock_dir) as events:
        for event in events:
            if not fits(event.tag, tagmatch):
                continue
            if not quiet:
                sys.stdout.write(f"{event.tag}\t{as_json(event, pretty=pretty)}\n")
                sys.stdout.flush()
            if count > 0:
                count -= 1
            if count == 0:
                return


def fits(tag: str, tagmatch: str) -> bool:
    """Say whether the tag fits as a shell pattern, or as a regular expression from its beginning to its end."""
    if fnmatchcase(tag, tagmatch):
        return True
    try:
        return re.match(rf"\A{tagmatch}\Z", tag) is not None
    except re.error:
        return False


def as_json(event: Event, *, pretty: bool) -> str:
    """Return the data as Salt prints it: on one line in the event's order, or indented and sorted.

    An event that carries no `_stamp` is shown with the broker's.

    Raises:
        TypeError: it holds what JSON has no form for.
    """
    data = event.data if "_stamp" in event.data else {**event.data, "_stamp": stamp(event.stamp_ns)}
    return json.dumps(_shown(data), ensure_ascii=False, indent=4 if pretty else None, sort_keys=pretty)


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {key: _shown(inner) for key, inner in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in cast("list[Any]", value)]
    return value.isoformat() if hasattr(value, "isoformat") else value
