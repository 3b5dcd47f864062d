"""Entries: the verbs of the network, and what is said of each.

A `Row` is data, without a service: the routes, the documents, docs/http.md and the authorisation matrix of the tests are all made of,
or held against, the rows.  An `Entry` is one that is served.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

if TYPE_CHECKING:
    from sylvite.api.service import Service

Answer = Callable[[Request], "Awaitable[Response] | ASGIApp"]
Handler = Callable[["Service", Request], "Awaitable[Response] | ASGIApp"]
OPEN, ANY, SECRET = "", "any", "secret"
"""Scopes of entries that need no token, any token at all, and in its place the secret of a hook."""
JSON, NDJSON, SSE, TEXT = "application/json", "application/x-ndjson", "text/event-stream", "text/plain"


class Entry(NamedTuple):
    """`scope`: what it needs; empty: it may be called without a token."""

    method: str
    path: str
    scope: str
    answer: Answer


class Parameter(NamedTuple):
    """Of the query.  `schema`: of one value.  `many`: it may be there several times."""

    name: str
    about: str
    schema: Mapping[str, Any]
    many: bool = False


class Said(NamedTuple):
    """What may be asked, and what is given.

    `body`: the type of a body, as JSON; `bytes`: any.  `as_lines`: also one a line.  `gives`: the type of an answer; None: it has no body.
    `also`: statuses that others have not.
    """

    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    as_lines: bool = False
    gives: Any = None
    status: int = 200
    media: tuple[str, ...] = (JSON,)
    also: Mapping[int, str] = {}


class Row(NamedTuple):
    method: str
    path: str
    scope: str
    answer: Handler
    said: Said = Said()
