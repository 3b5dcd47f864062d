"""Origins: which pages of other sites may use the interface.  Without a list none may; nothing is ever reflected."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Message, Send

from sylvite.errors import NotAllowed

AGE_S = 1400
HEADERS = "Content-Type, X-Auth-Token, X-Requested-With, Authorization, Last-Event-ID, Idempotency-Key"


class Origins:
    def __init__(self, allowed: str | Sequence[str] | None) -> None:
        self._allowed = frozenset([allowed] if isinstance(allowed, str) else allowed or ())

    def headers(self, connection: HTTPConnection) -> dict[str, str]:
        """Return what lets the page that asks read the answer; nothing where it may not."""
        origin = connection.headers.get("origin", "")
        if origin not in self._allowed:
            return {}
        return {
            "access-control-allow-origin": origin, "access-control-allow-credentials": "true", "vary": "Origin",
            "access-control-expose-headers": "X-Auth-Token",
        }  # fmt: skip

    def preflight(self, connection: HTTPConnection, allow: str) -> Response:
        """Return the answer to OPTIONS: what may be asked here, by whom."""
        headers = {"allow": allow}
        if self.headers(connection) and connection.headers.get("access-control-request-method"):
            headers |= {
                "access-control-allow-methods": allow, "access-control-allow-headers": HEADERS,
                "access-control-max-age": str(AGE_S),
            }  # fmt: skip
        return Response(status_code=204, headers=headers)

    def adding(self, connection: HTTPConnection, send: Send) -> Send:
        """Return `send`, with those headers added to the answer."""
        more = [(name.encode(), value.encode()) for name, value in self.headers(connection).items()]
        if not more:
            return send

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        return sending


def check_origin(request: HTTPConnection) -> None:
    """Raises NotAllowed: the request was made by a page that is not of this server."""
    origin = request.headers.get("origin", "")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none") or (origin and urlsplit(origin).netloc != request.headers.get("host", "")):
        raise NotAllowed("a page of another site may not use the session of this browser; send X-Auth-Token")
