"""Streams of events: server-sent events, or one JSON object a line, for as long as the caller stays and his token counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from sylvite.api.access import Caller
from sylvite.api.connections import STRAIGHT, chunk
from sylvite.api.forms import Form
from sylvite.api.problems import TooManyRequests
from sylvite.api.reading import Reading, Straight
from sylvite.api.tail import Entry
from sylvite.errors import SylviteError

HEARTBEAT_S = 15.0
STALL_S = 60.0
"""A client that has taken nothing for so long is let go; it resumes where it was."""
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}


class Streams:
    """Those that run, so that each ends when its token does.  `of_token_max`: with one token."""

    def __init__(self, of_token_max: int) -> None:
        self._of_token_max = of_token_max
        self._running: dict[str, set[asyncio.Future[str]]] = {}

    @property
    def count(self) -> int:
        """How many are open."""
        return sum(map(len, self._running.values()))

    def open(self, caller: Caller) -> asyncio.Future[str]:
        """Return what is done, with the reason, when a stream has to end.  Raises TooManyRequests."""
        running = self._running.setdefault(caller.token.id, set())
        if len(running) >= self._of_token_max:
            raise TooManyRequests(f"this token has {self._of_token_max} streams already")
        ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running.add(ending)
        return ending

    def close(self, caller: Caller, ending: asyncio.Future[str]) -> None:
        running = self._running.get(caller.token.id, set())
        running.discard(ending)
        if not running:
            self._running.pop(caller.token.id, None)

    def check(self, counts: Callable[[str], bool]) -> None:
        """End those whose token does not count any more."""
        for id_ in [id_ for id_ in self._running if not counts(id_)]:
            self._end(id_, "the token does not count any more")

    def end_all(self, reason: str) -> None:
        for id_ in list(self._running):
            self._end(id_, reason)

    def _end(self, id_: str, reason: str) -> None:
        for ending in self._running.get(id_, ()):
            if not ending.done():
                ending.set_result(reason)


class Stream:
    """An ASGI application that answers one request with a stream; `close` is called at its end."""

    def __init__(
        self,
        reading: Reading,
        form: Form,
        ending: asyncio.Future[str],
        close: Callable[[], None],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._reading, self._form, self._ending, self._close = reading, form, ending, close
        self._headers = {**HEADERS, "content-type": form.media_type, **(headers or {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        write = scope.get("extensions", {}).get(STRAIGHT)
        straight = None if write is None else Straight(self._form, chunk, write)
        gone = asyncio.ensure_future(_until_gone(receive))
        pieces = self._reading.pieces(HEARTBEAT_S, straight)
        try:
            with until_done(gone, self._ending):
                await self._run(pieces, send)
            if self._ending.done() and not gone.done():
                await send({"type": "http.response.body", "body": self._form.end(self._ending.result())})
        finally:
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone
            await pieces.aclose()
            self._close()

    async def _run(self, pieces: AsyncGenerator[list[Entry]], send: Send) -> None:
        form = self._form
        raw = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": form.begin(), "more_body": True})
        try:
            async for entries in pieces:
                body = b"".join([entry.form(form.name, form.entry) for entry in entries]) or form.heartbeat()
                async with asyncio.timeout(STALL_S):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
        except SylviteError as error:
            await send({"type": "http.response.body", "body": form.end(str(error))})
        except TimeoutError:
            pass


@contextlib.contextmanager
def until_done(*futures: asyncio.Future[Any]) -> Generator[None]:
    """Leave the block when one of these is done, wherever it waits: as `asyncio.timeout` does it, without an error."""
    task = asyncio.current_task()
    assert task is not None
    has_left = is_cut = False

    def cut(_: asyncio.Future[Any]) -> None:
        nonlocal is_cut
        if not has_left and not is_cut:
            is_cut = True
            task.cancel()

    for future in futures:
        future.add_done_callback(cut)
    try:
        yield
    except asyncio.CancelledError:
        if not is_cut or task.uncancel():
            raise  # Somebody else wants its end.
    finally:
        has_left = True
        for future in futures:
            future.remove_done_callback(cut)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
