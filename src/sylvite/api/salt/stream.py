"""The stream of Salt's API: events as its clients read them."""

from __future__ import annotations

from typing import Any

from sylvite.api.salt.bodies import dump
from sylvite.api.streaming import Form
from sylvite.api.tail import Entry
from sylvite.core.event import Event
from sylvite.functions.data import stamp

RETRY_MS = 400


def document(event: Event, *, tag_first: bool = False) -> str:
    """Return an event as one line of JSON, in Salt's form; its data has the moment of its publication as `_stamp`."""
    data = event.data if "_stamp" in event.data else {**event.data, "_stamp": stamp(event.stamp_ns)}
    shown: dict[str, Any] = {"tag": event.tag, "data": data} if tag_first else {"data": data, "tag": event.tag}
    return dump(shown)


def _entry(entry: Entry) -> bytes:
    item = entry.item
    if isinstance(item, Event):
        return f"tag: {item.tag}\ndata: {document(item)}\n\n".encode("utf-8", "replace")
    # A comment: its clients know no events but these.
    return f": {item}\n\n".encode()


class SaltForm(Form):
    """As golden/rest_events_cookie.txt has it: no blank line behind `retry`, no `id`, no `event`."""

    def begin(self) -> bytes:
        return f"retry: {RETRY_MS}\n".encode()

    def end(self, reason: str) -> bytes:
        return f": {reason}\n\n".encode()


SALT = SaltForm("salt", "text/event-stream;charset=utf-8", _entry, events=True)
