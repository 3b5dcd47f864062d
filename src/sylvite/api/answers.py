"""Answers of the native entries: JSON that nobody keeps."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from starlette.responses import Response

JSON = "application/json"
NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

T = TypeVar("T")


class Items(msgspec.Struct, Generic[T], frozen=True):
    """A list."""

    items: list[T]


def answer(body: object, status: int = 200) -> Response:
    """Return an answer with a body: anything that msgspec encodes, or JSON that is encoded already, as bytes."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(content, status, NO_STORE, media_type=JSON)
