"""The HTTP interface as one ASGI application: the table of its entries, and how errors are answered."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sylvite.api import events, health, tokens_entry
from sylvite.api.problems import NotFound, WrongMethod, problem
from sylvite.api.service import Service
from sylvite.errors import SylviteError

Answer = Callable[[Service, Request], "Awaitable[Response] | ASGIApp"]
logger = logging.getLogger("sylvite.api")


class Entry(NamedTuple):
    """One verb of the network.  `scope`: what it needs; empty: it may be called without a token."""

    method: str
    path: str
    scope: str
    answer: Answer


ENTRIES: tuple[Entry, ...] = (
    Entry("POST", "/v1/events", "events:write", events.publish),
    Entry("GET", "/v1/events", "events:read", events.history),
    Entry("GET", "/v1/events/stream", "events:read", events.stream),
    Entry("GET", "/v1/events/wait", "events:read", events.wait),
    Entry("GET", "/v1/events/{offset}", "events:read", events.one),
    Entry("GET", "/v1/whoami", "any", tokens_entry.whoami),
    Entry("GET", "/v1/tokens", "tokens:admin", tokens_entry.list_all),
    Entry("POST", "/v1/tokens", "tokens:admin", tokens_entry.create),
    Entry("DELETE", "/v1/tokens/{id}", "tokens:admin", tokens_entry.revoke),
    Entry("GET", "/v1/status", "status:read", health.status),
    Entry("GET", "/healthz", "", health.alive),
    Entry("GET", "/readyz", "", health.ready),
)


class _Endpoint:
    """All methods of one path, as an ASGI application."""

    def __init__(self, service: Service, methods: dict[str, Answer]) -> None:
        self._service, self._methods = service, methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            answer = self._methods.get("GET" if request.method == "HEAD" else request.method)
            if answer is None:
                raise WrongMethod(f"{request.method} is not known here; there are {', '.join(self._methods)}")
            found = answer(self._service, request)
            response = await found if inspect.isawaitable(found) else found
        except SylviteError as error:
            response = problem(error, {"Allow": ", ".join(self._methods)} if isinstance(error, WrongMethod) else None)
        await response(scope, receive, send)


async def _not_found(request: Request, error: Exception) -> Response:
    del error
    return problem(NotFound(f"there is nothing at {request.url.path[:200]}"))


async def _failed(request: Request, error: Exception) -> Response:
    logger.error("a mistake of ours at %s %s", request.method, request.url.path[:200], exc_info=error)
    return problem(SylviteError("a mistake of ours; the log of the api process says more"))


def make_app(service: Service) -> ASGIApp:
    paths: dict[str, dict[str, Answer]] = {}
    for entry in ENTRIES:
        paths.setdefault(entry.path, {})[entry.method] = entry.answer
    return Starlette(
        routes=[Route(path, _Endpoint(service, methods)) for path, methods in paths.items()],
        exception_handlers={HTTPException: _not_found, Exception: _failed},
    )
