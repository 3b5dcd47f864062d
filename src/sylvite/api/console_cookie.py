"""The cookie of the console: when it stands for a token.

A browser sends its cookies along whoever's page asks.  So this one counts only with a header that no page of another site can
set, or on a stream that the browser says was opened by a page of this server; and never on a form, a link or an image.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection

from sylvite.api.origins import check_origin
from sylvite.errors import NotAllowed

COOKIE = "sylvite_console"
HEADER = "x-sylvite-console"
STREAM = "/v1/events/stream"


def cookie_of(connection: HTTPConnection) -> str:
    """Return the token in the cookie; empty where there is none.

    Raises:
        NotAllowed: there is one, and nothing says that a page of this server has sent it.
    """
    text = connection.cookies.get(COOKIE, "")
    if not text:
        return ""
    check_origin(connection)
    if connection.headers.get(HEADER) == "1" or _is_stream_of_ours(connection):
        return text
    raise NotAllowed(
        "the cookie of the console counts with the header X-Sylvite-Console: 1 alone; programs send a token"
    )


def _is_stream_of_ours(connection: HTTPConnection) -> bool:
    """Say whether it is a WebSocket or an EventSource, which can send no header, of a page of this server."""
    if connection.scope["type"] == "websocket":
        # That it is of this server `check_origin` has seen; a browser always sends it here.
        return "origin" in connection.headers
    is_stream = connection.scope["method"] == "GET" and connection.scope["path"] == STREAM
    return is_stream and connection.headers.get("sec-fetch-site") == "same-origin"
