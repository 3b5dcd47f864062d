"""The events of the bus over HTTP: publish, history, one event, streams, wait."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from sylvite.api.answers import NO_STORE, answer
from sylvite.api.bodies import BODY_BYTES_MAX, decode, media_type_of, read_body
from sylvite.api.forms import NDJSON, SSE, Form
from sylvite.api.parameters import (
    LIMIT_MAX,
    WAIT_S_MAX,
    check_names,
    id_of,
    read_count,
    read_level,
    read_seconds,
    read_selection,
)
from sylvite.api.problems import WrongType
from sylvite.api.publishing import Given
from sylvite.api.service import Service
from sylvite.api.streaming import Stream
from sylvite.api.tail import encode_item
from sylvite.core.event import Event, Gap
from sylvite.errors import InvalidInput, InvalidSetting, NoSuchOffset, WaitTimeout

CURL_DEFAULT = "application/x-www-form-urlencoded"
"""What curl says of any `-d`: here that is JSON all the same."""
PAGE_S = 5.0
"""A page is given when it is full, or after so long: the next one goes on where it ended."""
LINES_BYTES_MAX = 8 * 1024 * 1024
PAGE_BYTES_MAX = 8 * 1024 * 1024


class Published(msgspec.Struct, frozen=True):
    """`offset`, `id`: of the first event; `level`: what the acknowledgement survives."""

    offset: int
    id: str
    count: int
    level: str


class EventShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event in its envelope.  `cause`: the offset of the one that it answers, and `hop`: how many stand before it."""

    offset: int
    epoch: str
    stamp: str
    tag: str
    sender: str
    source: str
    data: dict[str, Any]
    cause: int | None = None
    hop: int | None = None


class History(msgspec.Struct, frozen=True):
    """`next`: what `after` of the next page is; null where nothing was looked at.  `end`: nothing is behind it now."""

    items: list[EventShown]
    gaps: list[Gap]
    next: str | None
    end: bool


async def publish(service: Service, request: Request) -> Response:
    """POST /v1/events: one event as JSON, or one a line as NDJSON; all of them are published, or none."""
    caller = service.access.require(request, "events:write")
    check_names(request.query_params, "ack")
    level = read_level(request.query_params)
    kind = media_type_of(request)
    if kind == "application/x-ndjson":
        body = await read_body(request, LINES_BYTES_MAX)
        lines = [line for line in body.split(b"\n") if line.strip()]
        events = [decode(line, Given, f"line {number}") for number, line in enumerate(lines, 1)]
    elif kind in ("application/json", "", CURL_DEFAULT):
        events = [decode(await read_body(request, BODY_BYTES_MAX), Given)]
    else:
        raise WrongType(f"{kind} is not read here; send application/json, or application/x-ndjson with an event a line")
    service.access.count_events(caller.token, len(events))
    accepted = await service.publishing.publish(caller, events, request.headers.get("idempotency-key", ""), level)
    first = accepted.published
    said = Published(first.offset, id_of(first.position), accepted.events, first.level.name.lower())
    return answer(said, 201)


async def history(service: Service, request: Request) -> Response:
    """GET /v1/events: events that are there, oldest first, a page at a time."""
    caller = service.access.require(request, "events:read")
    query = request.query_params
    selection = read_selection(query, "limit", default="oldest")
    limit = read_count(query, "limit", 100, LIMIT_MAX)
    reading = service.reading(caller, selection.wanted, selection.since)
    page = await reading.page(limit, PAGE_S, PAGE_BYTES_MAX)
    items = [msgspec.Raw(entry.json) for entry in page.entries if isinstance(entry.item, Event)]
    gaps = [entry.item for entry in page.entries if not isinstance(entry.item, Event)]
    next_ = None if page.behind is None else id_of(page.behind)
    return answer({"items": items, "gaps": gaps, "next": next_, "end": page.is_end})


async def one(service: Service, request: Request) -> Response:
    """GET /v1/events/{offset}: one event with its envelope."""
    caller = service.access.require(request, "events:read")
    check_names(request.query_params)
    text = str(request.path_params["offset"])
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise InvalidSetting("offset", text[:80], "is not an offset")
    event = await service.bus.get(int(text))
    if not caller.grant.may_read(event.tag):
        # What may not be seen is not there: the answer tells neither.
        raise NoSuchOffset(int(text), service.bus.welcome.end)
    return answer(encode_item(event))


async def wait(service: Service, request: Request) -> Response:
    """GET /v1/events/wait: the next event that fits."""
    caller = service.access.require(request, "events:read")
    query = request.query_params
    selection = read_selection(query, "timeout")
    timeout_s = read_seconds(query, "timeout", 30.0, WAIT_S_MAX)
    reading = service.reading(caller, selection.wanted, selection.since)
    until_s = time.monotonic() + timeout_s
    pieces = reading.pieces(max(timeout_s, 0.001))
    try:
        async for entries in pieces:
            for entry in entries:
                if isinstance(entry.item, Event):
                    return answer(entry.json)
            if time.monotonic() >= until_s:
                break
    finally:
        await pieces.aclose()
    raise WaitTimeout(f"no event within {timeout_s:g} s")


def stream(service: Service, request: Request) -> ASGIApp:
    """GET /v1/events/stream: events as they come, from any place on."""
    caller = service.access.require_of_stream(request, "events:read")
    selection = read_selection(request.query_params, "ticket", last_event_id=request.headers.get("last-event-id", ""))
    form = _form_of(request)
    if request.method == "HEAD":
        return Response(headers=NO_STORE, media_type=form.media_type)
    reading = service.reading(caller, selection.wanted, selection.since)
    ending = service.streams.open(caller)
    return Stream(reading, form, ending, partial(service.streams.close, caller, ending))


def _form_of(request: Request) -> Form:
    accept = request.headers.get("accept", "*/*")
    if "application/x-ndjson" in accept:
        return NDJSON
    if "text/event-stream" in accept or "*/*" in accept or "text/*" in accept:
        return SSE
    raise InvalidInput("a stream is text/event-stream or application/x-ndjson")
