"""The api with a safeguard taken out, for negative controls: `python -m tests.faults.api_program SAFEGUARD ... sylvite api ...`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request

from sylvite.api import app, events, process
from sylvite.api.connections import BoundedProtocol
from sylvite.api.scopes import Grant
from sylvite.api.service import Service
from sylvite.api.streaming import Streams
from sylvite.api.tail import Tail
from sylvite.api.tokens import TokenStore
from sylvite.cli.main import main
from tests.faults.controls import replace


def _yes(*_: object, **__: object) -> bool:
    return True


def _any_scope() -> None:
    replace(Grant, "allows", _yes)


def _any_tag() -> None:
    replace(Grant, "may_read", _yes)


def _no_end_of_tokens() -> None:
    """Let every token that is known count for ever."""
    check = TokenStore.check

    def check_as_if_new(store: TokenStore, text: str, now_ns: int) -> Any:
        return check(store, text, 0)

    replace(TokenStore, "check", check_as_if_new)
    replace(TokenStore, "still_counts", _yes)


def _no_look_at_streams() -> None:
    """Look at a token when a stream is opened, and never again."""

    async def look_after(_: Service) -> None:
        await asyncio.Event().wait()

    replace(Service, "look_after", look_after)


def _nothing(*_: object, **__: object) -> None:
    pass


def _no_waking() -> None:
    """Tell no stream that there is news."""
    replace(Tail, "_tell_news", _nothing)


def _no_head_deadline() -> None:
    replace(BoundedProtocol, "_await_head", _nothing)


def _no_waiting_for_sockets() -> None:
    """Hand the transport all that there is, and let it keep what the client does not take."""
    replace(BoundedProtocol, "pause_writing", _nothing)
    replace(BoundedProtocol, "resume_writing", _nothing)


def _no_goodbye() -> None:
    replace(Streams, "end_all", _nothing)


def _any_body() -> None:
    async def read_all(request: Request, _: int = 0) -> bytes:
        return await request.body()

    replace(events, "read_body", read_all)


def _any_head() -> None:
    replace(app, "check_head", _yes)


def _any_message() -> None:
    replace(process, "MESSAGE_BYTES_MAX", 2**30)


SAFEGUARDS: Mapping[str, Callable[[], None]] = {
    "scopes of entries": _any_scope,
    "the look at each event": _any_tag,
    "the end of a token": _no_end_of_tokens,
    "the look at open streams": _no_look_at_streams,
    "limits of bodies": _any_body,
    "the limit of messages": _any_message,
    "the look at heads": _any_head,
    "waking streams": _no_waking,
    "the deadline of a head": _no_head_deadline,
    "waiting for the socket": _no_waiting_for_sockets,
    "the goodbye": _no_goodbye,
}


def before(safeguard: str) -> tuple[str, ...]:
    """Return what stands before the command of an api that is to run without it."""
    return (sys.executable, "-m", "tests.faults.api_program", safeguard)


if __name__ == "__main__":
    SAFEGUARDS[sys.argv[1]]()
    sys.exit(main(sys.argv[sys.argv.index("sylvite") + 1 :]))
