"""Connections of the HTTP server: uvicorn's, with bounds on what uvicorn leaves unbounded.

The head of a request has to be there in time and may be so large; who takes nothing of an answer for long is let go.
"""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_IS_FAST = importlib.util.find_spec("httptools") is not None
if TYPE_CHECKING or _IS_FAST:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Server
else:
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Server

HEAD_BYTES_MAX = 16 * 1024
HEADERS_MAX = 64
HEAD_S = 10.0
STALL_S = 60.0
"""So long an answer may wait for a client that takes nothing."""


def _answer(status: bytes) -> bytes:
    return b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(_Server):
    """As uvicorn's protocol, with deadlines."""

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn's
        super().connection_made(transport)
        # What the kernel does not take at once is waited for: nothing is held for a slow client but what is on its way.
        # Not 0: over TLS, uvloop takes a buffer of nothing for a full one, and says so for ever.
        transport.set_write_buffer_limits(high=1)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        if not self._is_answering():
            self._await_head()
            self._head_bytes += len(data)
        super().data_received(data)
        if self.cycle is not before or self._is_upgraded():
            self._head_is_there()
        elif self._head_bytes > HEAD_BYTES_MAX and not self._is_answering():
            self._end(b"431 Request Header Fields Too Large")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, and end the connection; uvicorn forgets to tell an answer that is still on its way."""
        super().send_400_response(msg)
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_stall_timer()
        super().resume_writing()

    def _is_answering(self) -> bool:
        # uvicorn has None there before the first request, though it does not say so.
        cycle = cast("object | None", self.cycle)
        return cycle is not None and not self.cycle.response_complete

    def _is_upgraded(self) -> bool:
        return self.transport.get_protocol() is not self

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._end, b"408 Request Timeout")

    def _head_is_there(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _end(self, status: bytes) -> None:
        self._head_is_there()
        if not self.transport.is_closing():
            self.transport.write(_answer(status))
            self.transport.close()


class BoundedHeads:
    """Refuses requests whose head is larger than is allowed, however it came: an ASGI application around another."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = scope.get("headers", [])
        size = sum(len(name) + len(value) + 4 for name, value in headers) + len(scope.get("raw_path", b""))
        size += len(scope.get("query_string", b""))
        if len(headers) <= HEADERS_MAX and size <= HEAD_BYTES_MAX:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        start: Message = {
            "type": "http.response.start",
            "status": 431,
            "headers": [(b"connection", b"close"), (b"content-length", b"0")],
        }
        await send(start)
        await send({"type": "http.response.body", "body": b""})
