"""Forms: how entries look on a stream."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sylvite.api.parameters import id_of
from sylvite.api.tail import Entry
from sylvite.core.event import Event

RETRY_MS = 2000


class Form:
    """How entries look on the wire.  What is made of one entry is remembered by the name."""

    def __init__(self, name: str, media_type: str, entry: Callable[[Entry], bytes], *, events: bool) -> None:
        self.name, self.media_type, self.entry, self._events = name, media_type, entry, events

    def begin(self) -> bytes:
        return f"retry: {RETRY_MS}\n\n".encode() if self._events else b""

    def heartbeat(self) -> bytes:
        return b": \n\n" if self._events else b"\n"

    def end(self, reason: str) -> bytes:
        said = msgspec.json.encode({"reason": reason})
        return b"event: bye\ndata: " + said + b"\n\n" if self._events else b'{"bye":' + said + b"}\n"


def _sse(entry: Entry) -> bytes:
    item = entry.item
    if isinstance(item, Event):
        head = f"id: {id_of(item.position)}\nevent: event"
    else:
        head = f"event: {'reset' if item.reason == 'reset' else 'gap'}"
    # JSON holds no line end as it is: one line of data is one event, whatever its tag and data are.
    return f"{head}\ndata: ".encode() + entry.json + b"\n\n"


def _line(entry: Entry) -> bytes:
    return entry.json + b"\n" if isinstance(entry.item, Event) else b'{"gap":' + entry.json + b"}\n"


SSE = Form("sse", "text/event-stream; charset=utf-8", _sse, events=True)
NDJSON = Form("ndjson", "application/x-ndjson", _line, events=False)
