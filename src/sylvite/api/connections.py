"""Connections of the HTTP server: uvicorn's, with bounds on what uvicorn leaves unbounded.

The head of a request has to be there in time and may be so large; who takes nothing of an answer for long is let go; of one place
so many strangers are heard at once (crowd.py); and a WebSocket is no place for floods of pings.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from sylvite.api.crowd import ADDRESS, FRAMES, Crowd

_IS_FAST = importlib.util.find_spec("httptools") is not None
if TYPE_CHECKING or _IS_FAST:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Server
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
else:
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Server
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

HEAD_BYTES_MAX = 16 * 1024
HEADERS_MAX = 64
HEAD_S = 10.0
STALL_S = 60.0
"""So long an answer may wait for a client that takes nothing."""
CONTROLS_MAX = 16
"""Pings and pongs of a WebSocket's client in a second."""
FRAGMENTS_MAX = 1024
"""Of a message of such a client: each costs memory, however small it is."""
POLICY, TOO_BIG = 1008, 1009
STRAIGHT = "sylvite.straight"
"""The extension of ASGI that writes chunks straight to a client."""


def _answer(status: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n" + more + b"\r\n"


class BoundedProtocol(_Server):
    """As uvicorn's protocol, with deadlines.  `_early`: what a stranger has said whose turn it is not; None: it is."""

    crowd: ClassVar[Crowd] = Crowd()
    _early: bytes | None = None
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn's
        super().connection_made(transport)
        # What the kernel does not take at once is waited for: nothing is held for a slow client but what is on its way.
        # Not 0: over TLS, uvloop takes a buffer of nothing for a full one, and says so for ever.
        transport.set_write_buffer_limits(high=1)
        self._await_head()
        if self.client is not None and not self.crowd.came(self.client, self._let_in):
            self._early = b""
            transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        self._stop_stall_timer()
        if self.client is not None:
            self.crowd.left(self.client)
        super().connection_lost(exc)

    def _let_in(self) -> None:
        early, self._early = self._early, None
        if self.transport.is_closing():
            return
        # From now on it has its time.
        self._head_is_there()
        self._await_head()
        self.transport.resume_reading()
        if early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            # It was on its way already.
            self._early += data
            if len(self._early) > HEAD_BYTES_MAX:
                self._end(b"431 Request Header Fields Too Large")
            return
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
            self._head_timer = self.loop.call_later(HEAD_S, self._end_late)

    def _end_late(self) -> None:
        if self._early is None:
            self._end(b"408 Request Timeout")
        else:
            self.crowd.cut[ADDRESS] += 1
            self._end(b"429 Too Many Requests", b"retry-after: 5\r\n")

    def _head_is_there(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _end(self, status: bytes, more: bytes = b"") -> None:
        self._head_is_there()
        if not self.transport.is_closing():
            self.transport.write(_answer(status, more))
            self.transport.close()


class BoundedSocket(WebSocketsSansIOProtocol):
    """As uvicorn's protocol of WebSockets, without floods of control frames: each ping is answered, whoever reads the answers."""

    crowd: ClassVar[Crowd] = Crowd()
    _second = 0
    _controls = 0
    _is_ended = False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            self.crowd.left(self.client)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_ended:
            super().data_received(data)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < FRAGMENTS_MAX:
            super().handle_cont(event)
        elif not self._is_ended:
            self._end(TOO_BIG, f"a message in more than {FRAGMENTS_MAX} pieces")

    def handle_ping(self) -> None:
        if self._may_control():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._may_control():
            super().handle_pong(event)

    def _may_control(self) -> bool:
        second = int(self.loop.time())
        if second != self._second:
            self._second, self._controls = second, 0
        self._controls += 1
        if self._controls > CONTROLS_MAX and not self._is_ended:
            self.crowd.cut[FRAMES] += 1
            self._end(POLICY, f"more than {CONTROLS_MAX} pings and pongs a second")
        return not self._is_ended

    def _end(self, code: int, reason: str) -> None:
        self._is_ended = True
        # What it was to be answered is of no use to anybody.
        self.conn.data_to_send()
        self.conn.fail(code, reason)
        self.handle_parser_exception()


def protocols_for(crowd: Crowd) -> tuple[type[BoundedProtocol], type[BoundedSocket]]:
    """Return those of HTTP and of WebSockets whose connections belong to this crowd: uvicorn makes them, and knows of none."""
    wanted = {"crowd": crowd}
    return type("Protocol", (BoundedProtocol,), wanted), type("Socket", (BoundedSocket,), wanted)


def chunk(body: bytes) -> bytes:
    """Return a piece of an answer as it stands on a connection."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def _straight(cycle: RequestResponseCycle) -> Callable[[bytes], bool]:
    """Return what writes chunks of an answer straight to its client."""

    def write(text: bytes) -> bool:
        if cycle.flow.write_paused or cycle.disconnected or cycle.transport.is_closing():
            return False
        cycle.transport.write(text)
        return True

    return write


class BoundedHeads:
    """Refuses requests whose head is larger than is allowed, however it came: an ASGI application around another.

    The other is told, as an extension of ASGI, how to write chunks straight to the client: an event to thousands of streams has no time for more.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = scope.get("headers", [])
        size = sum(len(name) + len(value) + 4 for name, value in headers) + len(scope.get("raw_path", b""))
        size += len(scope.get("query_string", b""))
        if len(headers) <= HEADERS_MAX and size <= HEAD_BYTES_MAX:
            cycle = getattr(send, "__self__", None)
            # What is older than HTTP/1.1 knows no chunks.
            if isinstance(cycle, RequestResponseCycle) and scope["http_version"] == "1.1":
                scope = {**scope, "extensions": {STRAIGHT: _straight(cycle)}}
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
