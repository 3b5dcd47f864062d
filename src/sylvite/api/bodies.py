"""Bodies of requests: read up to a limit and a deadline, and decoded strictly."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from sylvite.api.problems import BodyTooBig, WrongType
from sylvite.errors import InvalidInput

BODY_BYTES_MAX = 1024 * 1024 + 64 * 1024
"""An event of 1 MiB, and what JSON adds to it."""
BODY_S = 30.0
T = TypeVar("T")


async def read_body(request: Request, limit: int = BODY_BYTES_MAX) -> bytes:
    """Return the body.

    Raises:
        BodyTooBig: it has more than `limit` bytes; no more of it is read.
        InvalidInput: it is compressed, or did not come whole in time.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise WrongType("a body must not be compressed")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced[:18]) > limit:
        raise BodyTooBig(limit)
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise BodyTooBig(limit)
                pieces.append(piece)
    except TimeoutError as error:
        raise InvalidInput(f"the body did not come within {BODY_S:g} s") from error
    except ClientDisconnect as error:
        raise InvalidInput("the body did not come whole") from error
    return b"".join(pieces)


def decode(body: bytes, type_: type[T], what: str = "the body") -> T:
    """Raises InvalidInput: it is no JSON, or another one than is wanted."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{what}: {error}") from error


def media_type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
