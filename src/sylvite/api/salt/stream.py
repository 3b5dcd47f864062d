"""The stream of Salt's API: events as its clients read them."""

from __future__ import annotations

from functools import partial
from typing import Any

from sylvite.api.forms import Form
from sylvite.api.salt.bodies import dump
from sylvite.api.tail import Entry
from sylvite.core.event import Event
from sylvite.functions.data import stamp

RETRY_MS = 400


UTC = "+00:00"


def document(event: Event, *, tag_first: bool = False, naive: bool = False) -> str:
    """Return an event as one line of JSON, in Salt's form; its data has the moment of its publication as `_stamp`.

    `naive`: without the zone, as Salt wrote it before 3008.
    """
    data = event.data if "_stamp" in event.data else {**event.data, "_stamp": stamp(event.stamp_ns)}
    if naive and isinstance(data["_stamp"], str):
        data = {**data, "_stamp": data["_stamp"].removesuffix(UTC)}
    shown: dict[str, Any] = {"tag": event.tag, "data": data} if tag_first else {"data": data, "tag": event.tag}
    return dump(shown)


def _entry(entry: Entry, *, naive: bool) -> bytes:
    item = entry.item
    if isinstance(item, Event):
        return f"tag: {item.tag}\ndata: {document(item, naive=naive)}\n\n".encode("utf-8", "replace")
    # A comment: its clients know no events but these.
    return f": {item}\n\n".encode()


class SaltForm(Form):
    """As golden/rest_events_cookie.txt has it: no blank line behind `retry`, no `id`, no `event`."""

    def __init__(self, *, naive: bool) -> None:
        name = "salt-naive" if naive else "salt"
        super().__init__(name, "text/event-stream;charset=utf-8", partial(_entry, naive=naive), events=True)

    def begin(self) -> bytes:
        return f"retry: {RETRY_MS}\n".encode()

    def end(self, reason: str) -> bytes:
        return f": {reason}\n\n".encode()
