"""The HTTP interface as one ASGI application: the table of its entries, and how errors are answered."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Sequence
from functools import partial
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from sylvite.api import sockets
from sylvite.api.console import Console
from sylvite.api.entry import Answer, Entry
from sylvite.api.heads import check_head
from sylvite.api.origins import Origins
from sylvite.api.problems import NotFound, WrongMethod, problem
from sylvite.api.salt.entries import SaltApi
from sylvite.api.service import Service
from sylvite.api.verb_table import NATIVE
from sylvite.daemons.options.rest import RestCherrypy
from sylvite.errors import SylviteError

logger = logging.getLogger("sylvite.api")
_slashes = re.compile("/{2,}")


def native_entries(service: Service) -> list[Entry]:
    return [Entry(row.method, row.path, row.scope, partial(row.answer, service)) for row in NATIVE]


class _Endpoint:
    """All methods of one path, as an ASGI application."""

    def __init__(self, methods: dict[str, Answer], origins: Origins) -> None:
        self._methods, self._origins = methods, origins
        names = [*methods, "HEAD"] if "GET" in methods else [*methods]
        self._allow = ", ".join(sorted(names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await self._answer(request)
        await response(scope, receive, self._origins.adding(request, send))

    async def _answer(self, request: Request) -> ASGIApp:
        try:
            if request.method == "OPTIONS":
                return self._origins.preflight(request, self._allow)
            answer = self._methods.get("GET" if request.method == "HEAD" else request.method)
            if answer is None:
                raise WrongMethod(f"{request.method} is not known here; there are {self._allow}")
            found = answer(request)
            return cast("ASGIApp", await found if inspect.isawaitable(found) else found)
        except SylviteError as error:
            return problem(error, {"Allow": self._allow} if isinstance(error, WrongMethod) else None)


class _Paths:
    """Cuts the prefix that the interface is mounted under, and slashes that are too many."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                check_head(scope)
            except SylviteError as error:
                await _refuse(error, scope, receive, send)
                return
            path = _slashes.sub("/", scope["path"])
            if self._prefix and (path == self._prefix or path.startswith(f"{self._prefix}/")):
                path = path.removeprefix(self._prefix)
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)


async def _refuse(error: SylviteError, scope: Scope, receive: Receive, send: Send) -> None:
    # What comes behind such a head may be anything: the connection ends.
    response = problem(error, {"Connection": "close"})
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(response)
    else:
        await response(scope, receive, send)


async def _not_found(request: Request, error: Exception) -> Response:
    del error
    return problem(NotFound(f"there is nothing at {request.url.path[:200]}"))


async def _failed(request: Request, error: Exception) -> Response:
    logger.error("a mistake of ours at %s %s", request.method, request.url.path[:200], exc_info=error)
    return problem(SylviteError("a mistake of ours; the log of the api process says more"))


def make_app(service: Service, salt: SaltApi) -> ASGIApp:
    rest = salt.settings.rest
    origins = Origins(rest.cors_origin)
    routes = _routes([*Console(service).entries(), *native_entries(service), *_with_page(salt, rest)], origins)
    routes += [
        WebSocketRoute("/v1/events/ws", partial(sockets.native, service)),
        WebSocketRoute("/ws", partial(sockets.salt, salt)),
        WebSocketRoute("/ws/{token}", partial(sockets.salt, salt)),
    ]
    if rest.static is not None:
        routes.append(Mount(rest.static_path, StaticFiles(directory=rest.static)))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_found, Exception: _failed})
    return service.counts.counting(_Paths(app, rest.root_prefix))


def _routes(entries: Sequence[Entry], origins: Origins) -> list[BaseRoute]:
    paths: dict[str, dict[str, Answer]] = {}
    for entry in entries:
        paths.setdefault(entry.path, {})[entry.method] = entry.answer
    return [Route(path, _Endpoint(methods, origins)) for path, methods in paths.items()]


def _with_page(salt: SaltApi, rest: RestCherrypy) -> list[Entry]:
    """Return Salt's entries; a page of the operator's (`app`) is shown to browsers in the place of the welcome."""
    entries = salt.entries()
    page = rest.app
    if page is None:
        return entries

    async def show(request: Request) -> Response:
        del request
        return FileResponse(page, media_type="text/html")

    async def welcome(request: Request) -> Response:
        return await (show(request) if "text/html" in request.headers.get("accept", "") else salt.welcome(request))

    others = [entry for entry in entries if (entry.method, entry.path) != ("GET", "/")]
    return [Entry("GET", "/", "", welcome), Entry("GET", rest.app_path, "", show), *others]
