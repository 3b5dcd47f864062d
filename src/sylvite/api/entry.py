"""Entry: one verb of the network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

Answer = Callable[[Request], "Awaitable[Response] | ASGIApp"]


class Entry(NamedTuple):
    """`scope`: what it needs; empty: it may be called without a token."""

    method: str
    path: str
    scope: str
    answer: Answer
