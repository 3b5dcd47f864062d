"""The console over HTTP: its files, and the session of a browser.

Who logs in gives a token, or a link that counts once; what the browser keeps is a session of its own, in a cookie that no script
can read.  It ends when the token that it was made with is revoked, at log-out, and after half a day.
"""

from __future__ import annotations

import hashlib
import time
from importlib import resources
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sylvite.api.answers import NO_STORE, answer
from sylvite.api.bodies import decode, media_type_of, read_body
from sylvite.api.console_cookie import COOKIE, HEADER
from sylvite.api.entry import Entry
from sylvite.api.origins import check_origin
from sylvite.api.parameters import check_names
from sylvite.api.problems import NotFound, TooManyRequests, WrongType
from sylvite.api.service import Service
from sylvite.api.tokens import LIFE_S, SESSION, Secret
from sylvite.errors import NotAllowed, NotAuthenticated

TYPES = {
    "html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}  # fmt: skip
PAGE = "index.html"
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Kept, but asked for each time whether it is still the same: after an update nobody has half of each.
    "cache-control": "no-cache",
}  # fmt: skip
BODY_BYTES_MAX = 4096
LINK_OVER = "../console#/login?link=over"
OPENED = "../console"


class _File(NamedTuple):
    content: bytes
    media_type: str
    tag: str


class LogIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str


class Console:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._files = _read_files()

    def entries(self) -> list[Entry]:
        return [
            Entry("GET", "/console", "", self._page),
            Entry("GET", "/console/login", "", self._follow_link),
            Entry("POST", "/console/session", "", self._log_in),
            Entry("DELETE", "/console/session", "", self._log_out),
            Entry("GET", "/console/{name}", "", self._file),
        ]

    def _page(self, request: Request) -> Response:
        if request.scope.get("raw_path", b"").endswith(b"/"):
            return RedirectResponse(OPENED, 308, HEADERS)
        return self._show(PAGE, request)

    def _file(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        # The addresses in the page are relative, so that it works below any prefix: they begin at one place alone.
        return RedirectResponse(OPENED, 308, HEADERS) if name == PAGE else self._show(name, request)

    def _show(self, name: str, request: Request) -> Response:
        file = self._files.get(name)
        if file is None:
            raise NotFound(f"the console has no file {name[:80]!r}")
        headers = {**HEADERS, "etag": file.tag}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.media_type)

    def _follow_link(self, request: Request) -> Response:
        """GET /console/login: a link that counts once, made by `sylvite console`."""
        check_names(request.query_params, "code")
        if request.method == "HEAD" or "prefetch" in request.headers.get("sec-purpose", ""):
            # Whoever only looks ahead must not use it up.
            return Response(headers=NO_STORE)
        check_origin(request)
        tokens = self._service.access.tokens
        try:
            with self._service.access.counted(request):
                token, secret = tokens.redeem(request.query_params.get("code", ""), time.time_ns())
        except (NotAuthenticated, TooManyRequests):
            return RedirectResponse(LINK_OVER, 303, HEADERS | NO_STORE)
        response = RedirectResponse(OPENED, 303, HEADERS | NO_STORE)
        _set_cookie(response, request, secret, token.until_ns)
        return response

    async def _log_in(self, request: Request) -> Response:
        """POST /console/session: with a token."""
        _check_page(request)
        if media_type_of(request) != "application/json":
            raise WrongType("a log-in is application/json")
        given = decode(await read_body(request, BODY_BYTES_MAX), LogIn)
        access = self._service.access
        caller = access.caller_of(request, given.token.strip())
        token, secret = access.tokens.begin_session(caller.token, time.time_ns())
        response = answer(token.shown())
        _set_cookie(response, request, secret, token.until_ns)
        return response

    def _log_out(self, request: Request) -> Response:
        """DELETE /console/session: it counts no more, and its streams end; one that does not count is no mistake."""
        _check_page(request)
        access = self._service.access
        try:
            token = access.caller(request).token
        except NotAuthenticated:
            pass  # It is over already; the browser forgets it all the same.
        else:
            if token.backend == SESSION:
                access.tokens.revoke(token.id)
                self._service.end_streams()
        response = Response(status_code=204, headers=NO_STORE)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return response


def _check_page(request: Request) -> None:
    """Raises NotAllowed: it was not sent by a page of the console."""
    check_origin(request)
    if request.headers.get(HEADER) != "1":
        raise NotAllowed("this is for the page of the console alone; programs send a token with each request")


def _set_cookie(response: Response, request: Request, secret: Secret, until_ns: int) -> None:
    life_s = min(LIFE_S, until_ns / 1e9 - time.time())
    response.set_cookie(
        COOKIE, secret.reveal(), max_age=int(life_s), path="/", httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip


def _read_files() -> dict[str, _File]:
    """Return what there is to serve, by name: so that no name from outside is ever a path."""
    found: dict[str, _File] = {}
    for path in (resources.files("sylvite.console") / "static").iterdir():
        media_type = TYPES.get(path.name.rpartition(".")[2])
        if media_type is not None:
            content = path.read_bytes()
            found[path.name] = _File(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found
