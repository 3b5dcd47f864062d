"""WebSockets: the stream of events for those who want one connection for both ways.

`/v1/events/ws` sends each event as a JSON object, as the NDJSON stream does.  `/ws` is Salt's: it waits for the client's
word, answers each of its messages, and sends events as texts that look like server-sent ones.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from functools import partial

from starlette.websockets import WebSocket, WebSocketDisconnect

from sylvite.api.access import Caller
from sylvite.api.forms import NDJSON
from sylvite.api.origins import check_origin
from sylvite.api.parameters import check_names, read_selection
from sylvite.api.problems import problem
from sylvite.api.reading import Reading
from sylvite.api.salt.entries import SaltApi
from sylvite.api.salt.stream import document
from sylvite.api.service import Service
from sylvite.api.streaming import HEARTBEAT_S, STALL_S
from sylvite.api.tail import Entry
from sylvite.core.event import Event
from sylvite.core.pattern import Filter
from sylvite.errors import SylviteError

READY = "websocket client ready"
RECEIVED = "server received message"
READY_S = 60.0
GOING_AWAY, POLICY, TRY_AGAIN = 1001, 1008, 1013

Texts = Callable[[Entry], str | None]


async def native(service: Service, websocket: WebSocket) -> None:
    """GET /v1/events/ws: as `/v1/events/stream`."""
    try:
        check_origin(websocket)
        caller = service.access.require_of_stream(websocket, "events:read")
        selection = read_selection(websocket.query_params, "ticket")
        reading = service.reading(caller, selection.wanted, selection.since)
        ending = service.streams.open(caller)
    except SylviteError as error:
        await websocket.send_denial_response(problem(error))
        return
    await websocket.accept()
    await _run(service, websocket, caller, ending, reading, _line, answer=None)


async def salt(api: SaltApi, websocket: WebSocket) -> None:
    """GET /ws and /ws/{token}: Salt's."""
    service = api.service
    try:
        check_names(websocket.query_params)
        check_origin(websocket)
        caller = api.sessions.caller_of_socket(websocket, str(websocket.path_params.get("token", "")))
        ending = service.streams.open(caller)
    except SylviteError as error:
        await websocket.send_denial_response(problem(error))
        return
    await websocket.accept()
    reading = service.reading(caller, Filter())
    try:
        async with asyncio.timeout(READY_S):
            while True:
                text = await websocket.receive_text()
                await websocket.send_text(RECEIVED)
                if text == READY:
                    break
    except (WebSocketDisconnect, TimeoutError, KeyError):
        service.streams.close(caller, ending)
        await _close(websocket, POLICY, "")
        return
    await _run(
        service, websocket, caller, ending, reading, partial(_salt_text, naive=api.has_naive_stamps), answer=RECEIVED
    )


def _line(entry: Entry) -> str:
    return entry.form(NDJSON.name, NDJSON.entry).decode().rstrip("\n")


def _salt_text(entry: Entry, *, naive: bool) -> str | None:
    item = entry.item
    return f"data: {document(item, tag_first=True, naive=naive)}\n\n" if isinstance(item, Event) else None


async def _run(
    service: Service, websocket: WebSocket, caller: Caller, ending: asyncio.Future[str], reading: Reading, text_of: Texts,
    *, answer: str | None,
) -> None:  # fmt: skip
    """Send events until the other side has gone, or the stream has to end."""
    pieces = reading.pieces(HEARTBEAT_S)
    tasks = [
        asyncio.create_task(_send(websocket, pieces, text_of), name="api: send"),
        asyncio.create_task(_receive(websocket, answer), name="api: receive"),
    ]
    try:
        await asyncio.wait([*tasks, ending], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        failed = next((each for each in found if isinstance(each, SylviteError)), None)
        if ending.done():
            await _close(websocket, POLICY if "token" in ending.result() else GOING_AWAY, ending.result())
        elif failed is not None:
            await _close(websocket, TRY_AGAIN, str(failed))
        elif isinstance(found[0], TimeoutError):
            await _close(websocket, POLICY, "nothing was taken for too long")
    finally:
        service.streams.close(caller, ending)
        await pieces.aclose()


async def _send(websocket: WebSocket, pieces: AsyncGenerator[list[Entry]], text_of: Texts) -> None:
    async for entries in pieces:
        for entry in entries:
            text = text_of(entry)
            if text is not None:
                async with asyncio.timeout(STALL_S):
                    await websocket.send_text(text)


async def _receive(websocket: WebSocket, answer: str | None) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if answer is not None:
            await websocket.send_text(answer)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    # It may have gone by itself meanwhile.
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(code, reason[:100])
