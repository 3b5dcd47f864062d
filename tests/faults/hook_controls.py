"""Safeguards taken out of webhooks, for the negative controls: each changes the process that it is called in."""

# pyright: reportPrivateUsage=false
# Safeguards are inside of what they guard.

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence

from starlette.requests import HTTPConnection

from sylvite.api import console, console_cookie, origins, sockets
from sylvite.api.hook_memory import Known, Memory
from sylvite.api.origins import Origins
from sylvite.api.patience import Patience
from sylvite.api.salt import sessions
from sylvite.auth import webhooks
from sylvite.client.async_client import AsyncClient
from sylvite.client.core import new_source_epoch
from sylvite.client.ticket import Published
from sylvite.core.event import Offset
from sylvite.core.level import Level
from sylvite.export import posting
from sylvite.export.address import Address, parse_networks, parse_url
from sylvite.export.judging import Outcome
from sylvite.export.posting import Poster
from sylvite.export.sending import Letter, Sender, Source
from tests.faults.controls import replace

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_later: set[asyncio.Task[Published]] = set()


def _no_signatures() -> None:
    def take(given: Sequence[bytes], expected: Sequence[bytes], what: str) -> None:
        pass

    replace(webhooks, "_check_any", take)


def _no_window() -> None:
    def take(text: str, now_s: float, window_s: float) -> None:
        pass

    replace(webhooks, "_check_time", take)


def _no_memory() -> None:
    def begin(memory: Memory, hook: str, key: bytes, now_ns: int) -> Known:
        return Known(new_source_epoch())

    replace(Memory, "begin", begin)


def _answer_before_the_sync() -> None:
    relay = AsyncClient.relay

    async def relay_later(
        bus: AsyncClient, sender: str, source_epoch: int, seq: int, block: bytes, count: int
    ) -> Published:
        async def later() -> Published:
            await asyncio.sleep(0.2)
            return await relay(bus, sender, source_epoch, seq, block, count)

        task = asyncio.create_task(later())
        _later.add(task)
        task.add_done_callback(_later.discard)
        return Published(Offset(0), 0, Level.SYNCED)

    replace(AsyncClient, "relay", relay_later)


def _any_address() -> None:
    def take(address: Address, allowed: object) -> bool:
        return True

    replace(posting, "is_allowed", take)


def _connect_by_name() -> None:
    connect = Poster._connect

    async def connect_again(poster: Poster, addresses: Sequence[Address]) -> Stream:
        return await connect(poster, await posting.look_up(poster._target.host, poster._target.port))

    replace(Poster, "_connect", connect_again)


def _follow_redirects() -> None:
    post, headers_of = Poster._post, posting._headers
    moved: dict[object, str] = {}

    async def remember(reader: asyncio.StreamReader) -> dict[str, str]:
        headers = await headers_of(reader)
        moved[asyncio.current_task()] = headers.get("location", "")
        return headers

    async def follow(poster: Poster, body: bytes, headers: Mapping[str, str]) -> Outcome:
        outcome = await post(poster, body, headers)
        if outcome.status is None or not 300 <= outcome.status < 400:
            return outcome
        target = parse_url(moved[asyncio.current_task()], allow_http=True)
        return await post(Poster(target, parse_networks(["0.0.0.0/0"]), 5.0), body, headers)

    replace(posting, "_headers", remember)
    replace(Poster, "_post", follow)


def _one_behind_the_other() -> None:
    """All webhooks post in one line."""
    deliver, line = Sender._deliver, asyncio.Lock()

    async def wait_and_deliver(sender: Sender, source: Source, letter: Letter) -> bool:
        async with line:
            return await deliver(sender, source, letter)

    replace(Sender, "_deliver", wait_and_deliver)


def _patience_without_end() -> None:
    def is_never_over(patience: Patience, who: object, most: int, within_s: float) -> bool:
        return False

    replace(Patience, "is_over", is_never_over)


def _any_origin() -> None:
    def take(request: object) -> None:
        pass

    for module in (console, console_cookie, origins, sessions, sockets):
        replace(module, "check_origin", take)


def _reflect_origins() -> None:
    def headers(_: Origins, connection: HTTPConnection) -> dict[str, str]:
        origin = connection.headers.get("origin", "*")
        return {"access-control-allow-origin": origin, "access-control-allow-credentials": "true"}

    replace(Origins, "headers", headers)


HOOK_CONTROLS: dict[str, Callable[[], None]] = {
    "signatures": _no_signatures,
    "the window": _no_window,
    "remembering deliveries": _no_memory,
    "an answer behind the sync": _answer_before_the_sync,
    "looking at addresses": _any_address,
    "staying where it was sent to": _follow_redirects,
    "connecting to what was looked at": _connect_by_name,
    "looking at origins": _any_origin,
    "a list of origins": _reflect_origins,
    "an end of patience": _patience_without_end,
    "a task for each": _one_behind_the_other,
}


def lead(names: dict[str, list[list[str]]]) -> None:
    """Let names lead to these addresses: another list each time that one is looked up, the last one for ever."""
    real, left = socket.getaddrinfo, {name: list(lists) for name, lists in names.items()}

    def look_up(host: str, port: int, *arguments: object, **more: object) -> list[object]:
        lists = left.get(host)
        if lists is None:
            return list(real(host, port, type=socket.SOCK_STREAM))
        found = lists.pop(0) if len(lists) > 1 else lists[0]
        families = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [
            (families[ipaddress.ip_address(address).version], socket.SOCK_STREAM, 6, "", (address, port))
            for address in found
        ]

    replace(socket, "getaddrinfo", look_up)
