"""Heads of requests: what the server's parser lets through, and two programs behind each other might read differently.

Source: RFC 9112 3.2 (Host), 6.1 (Transfer-Encoding), 11.2 (request smuggling).
"""

from __future__ import annotations

from starlette.types import Scope

from sylvite.errors import InvalidInput


def check_head(scope: Scope) -> None:
    """Look at the head of a request or of a WebSocket.

    Raises:
        InvalidInput: not exactly one Host, or a coding that its version does not know.
    """
    names = [name for name, _ in scope["headers"]]
    hosts, version = names.count(b"host"), scope.get("http_version", "1.1")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise InvalidInput(f"a request has one Host, not {hosts}")
    if version == "1.0" and b"transfer-encoding" in names:
        raise InvalidInput("HTTP/1.0 knows no Transfer-Encoding")
