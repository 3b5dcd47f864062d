"""Sessions of Salt's API: a log-in, and the token that stands for it afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from sylvite.api.access import Access, Caller
from sylvite.api.eauth import Eauth, Person
from sylvite.api.origins import check_origin
from sylvite.api.scopes import Scope
from sylvite.api.settings import ApiSettings
from sylvite.api.tokens import Secret, Token
from sylvite.errors import NotAuthenticated

COOKIE = "session_id"
URL_NAMES = ("token", "salt_token")
"""What the session, or a ticket, is called in the address of a stream."""
SCOPES = (Scope("events:read", "**"),)
"""As in Salt: whoever may log in may see all events."""


class Sessions:
    def __init__(self, settings: ApiSettings, access: Access, eauth: Eauth) -> None:
        self._settings, self._access, self._eauth = settings, access, eauth

    async def log_in(self, credentials: Mapping[str, Any], address: str, *, digits: int = 40) -> tuple[Token, Secret]:
        """Raises NotAuthenticated, TooManyRequests, Overloaded."""
        person = await self._eauth.check(credentials, address)
        return self._access.tokens.log_in(
            person.name, person.backend, person.perms, SCOPES, time.time_ns(), life_s=self._settings.token_life_s, digits=digits
        )  # fmt: skip

    async def person(self, low: Mapping[str, Any], address: str) -> Person:
        """Return who says this of himself in a low: by a token, or by his password.  Raises NotAuthenticated."""
        text = low.get("token")
        if isinstance(text, str) and text:
            token, _ = self._access.tokens.check(text, time.time_ns())
            self._access.count_request(token)
            return Person(token.owner, token.backend, token.perms)
        return await self._eauth.check(low, address)

    def caller(self, request: HTTPConnection, *, from_url: bool = False) -> Caller:
        """Return who calls: by the header `X-Auth-Token`, else by the cookie; `from_url`: else by what is in the address.

        Raises:
            NotAuthenticated.  TooManyRequests.
            NotAllowed: a page of somebody else's sends the cookie of the browser along.
        """
        text = request.headers.get("x-auth-token", "").strip()
        if not text:
            text = request.cookies.get(COOKIE, "")
            if text and isinstance(request, Request) and request.method not in ("GET", "HEAD"):
                check_origin(request)
        if not text and from_url:
            said = next((request.query_params[name] for name in URL_NAMES if request.query_params.get(name)), "")
            return self._caller_of_url(request, said)
        return self._access.caller_of(request, text)

    def caller_of_socket(self, socket: HTTPConnection, text: str) -> Caller:
        """Return who opens a WebSocket: as `caller`, or with the session in its path."""
        if text and self._settings.rest.url_token != "never":
            return self._caller_of_url(socket, text)
        return self.caller(socket)

    def _caller_of_url(self, connection: HTTPConnection, text: str) -> Caller:
        if text and self._settings.rest.url_token == "ticket":
            return self._access.caller_of_ticket(connection, text)
        return self._access.caller_of(connection, text if self._settings.rest.url_token == "allow" else "")

    def log_out(self, request: Request) -> None:
        """Let the session count no more.  One that does not count any more is no mistake."""
        try:
            caller = self.caller(request)
        except NotAuthenticated:
            return
        self._access.tokens.revoke(caller.token.id)

    def set_cookie(self, response: Response, request: Request, secret: Secret) -> None:
        response.set_cookie(
            COOKIE, secret.reveal(), max_age=int(self._settings.token_life_s), path="/", httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
