"""Lookback: where the last N events that match begin."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sylvite.core.event import Gap

if TYPE_CHECKING:
    from sylvite.cli.selection_options import Wanted
    from sylvite.client.sync_client import Client

WINDOW_EVENTS = 256
GROWTH = 8


def find_last(
    client: Client,
    wanted: Wanted,
    count: int,
    *,
    end: int,
    floor: int = 0,
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> int:
    """Return the offset of the first of the last `count` events that match, from `floor` up to `end`.

    Fewer where there are no more; `end` where there is none.  Reads windows that grow: what matches is often near,
    and looking all the way back costs an eighth more than reading everything once.
    """
    size = max(WINDOW_EVENTS, 4 * count)
    while True:
        start = max(end - size, floor)
        found, everything = _window(client, wanted, count, start, end, since_ns, until_ns)
        if len(found) == count or everything or start == floor:
            return found[0] if found else end
        size *= GROWTH


def _window(
    client: Client, wanted: Wanted, count: int, start: int, end: int, since_ns: int | None, until_ns: int | None
) -> tuple[deque[int], bool]:
    """Return the last offsets that match, and whether the window goes back as far as there is any use."""
    found: deque[int] = deque(maxlen=count)
    everything = False

    def note(gap: Gap) -> None:
        nonlocal everything
        everything = everything or gap.reason == "retention"

    with client.subscribe(*wanted.positional, **wanted.named, since=start, until_end=True, on_gap=note) as subscription:
        for event in subscription:
            if event.offset >= end:
                break
            if since_ns is not None and event.stamp_ns < since_ns:
                everything = True
                continue
            if until_ns is not None and event.stamp_ns > until_ns:
                break
            found.append(event.offset)
    return found, everything
