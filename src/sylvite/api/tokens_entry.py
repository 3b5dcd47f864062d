"""Tokens over HTTP: who one is, and tokens for others, which can do no more than one's own."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sylvite.api import tickets
from sylvite.api.answers import NO_STORE, answer
from sylvite.api.bodies import decode, read_body
from sylvite.api.parameters import check_names
from sylvite.api.scopes import parse_scope
from sylvite.api.service import Service
from sylvite.api.tokens import LIFE_S
from sylvite.errors import NotAllowed

BODY_BYTES_MAX = 64 * 1024


class TokenWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`expires_s`: how long it lives.  `owner`: of whoever asks, unless it is said."""

    scopes: Annotated[list[str], msgspec.Meta(min_length=1)]
    owner: str | None = None
    expires_s: float = LIFE_S
    note: str = ""


class TokenShown(msgspec.Struct, frozen=True):
    """A token without its text: `Token.shown`.  Times are nanoseconds since 1970; `used_ns` is 0 for one that was never used."""

    id: str
    owner: str
    backend: str
    scopes: list[str]
    perms: list[Any]
    made_ns: int
    until_ns: int
    used_ns: int
    note: str


class TokenMade(TokenShown, frozen=True):
    """`token`: its text, which is shown this once."""

    token: str


async def whoami(service: Service, request: Request) -> Response:
    """GET /v1/whoami: what one's token is, and what it lets one do."""
    return answer(service.access.caller(request).token.shown())


async def list_all(service: Service, request: Request) -> Response:
    """GET /v1/tokens: those that count, without their secrets."""
    service.access.require(request, "tokens:admin")
    check_names(request.query_params)
    return answer({"items": [token.shown() for token in service.access.tokens.all(time.time_ns())]})


async def create(service: Service, request: Request) -> Response:
    """POST /v1/tokens: a new one; its text is in this answer alone."""
    caller = service.access.require(request, "tokens:admin")
    wanted = decode(await read_body(request, BODY_BYTES_MAX), TokenWanted)
    scopes = [parse_scope(text) for text in wanted.scopes]
    if lacking := caller.grant.lacks(scopes):
        raise NotAllowed(f"nobody hands on what he has not: {', '.join(map(str, lacking))}")
    token, secret = service.access.tokens.make(
        wanted.owner or caller.token.owner,
        scopes,
        time.time_ns(),
        life_s=wanted.expires_s,
        backend="token",
        note=wanted.note,
    )
    return answer({**token.shown(), "token": secret.reveal()}, 201)


class Ticket(msgspec.Struct, frozen=True):
    """`ticket`: for `?ticket=` of one stream or WebSocket, once, within `expires_s`."""

    ticket: str
    expires_s: float


async def make_ticket(service: Service, request: Request) -> Response:
    """POST /v1/tickets: a ticket that opens one stream, for those who can send no header."""
    caller = service.access.caller(request)
    check_names(request.query_params)
    await read_body(request, BODY_BYTES_MAX)
    return answer(Ticket(service.access.tickets.make(caller.token.id).reveal(), tickets.LIFE_S), 201)


async def revoke(service: Service, request: Request) -> Response:
    """DELETE /v1/tokens/{id}: it counts no more, and its streams end within a second."""
    service.access.require(request, "tokens:admin")
    service.access.tokens.revoke(str(request.path_params["id"]))
    service.end_streams()
    return Response(status_code=204, headers=NO_STORE)
