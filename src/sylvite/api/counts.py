"""Counts: what the interface has answered, for /metrics."""

from __future__ import annotations

from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Counts:
    """`requests`: answers by method and status, streams when they begin; a WebSocket that was let in has the status 101."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()

    def counting(self, app: ASGIApp) -> ASGIApp:
        """Return an application that answers as `app` does, and is counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            # Whoever calls may invent methods; what is kept of them is bounded.
            method = scope.get("method", "WEBSOCKET")
            name = method if method in METHODS or method == "WEBSOCKET" else "OTHER"

            async def sending(message: Message) -> None:
                if message["type"] in ("http.response.start", "websocket.http.response.start"):
                    self.requests[name, message["status"]] += 1
                elif message["type"] == "websocket.accept":
                    self.requests[name, 101] += 1
                await send(message)

            await app(scope, receive, sending)

        return counted
