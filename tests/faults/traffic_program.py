"""Publishers and subscribers as a process of their own, so that they can be stopped, and are not slowed by a test.

publish SOCKET LEVEL SIZE COUNT      {"epoch": …} at the start, {"sent": …} at the end; ends early with its input
publish … COUNT BATCH                the same in batches of so many bytes, and not before a line of input
subscribe SOCKET HOW_MANY COUNT CREDIT   {"ready": …} when they stand; {"read": […], "wrong": …} once each has
                                     COUNT events of the tag load/one, numbered from 0
subscribe … CREDIT WITHIN            the same, but who gets nothing for so many seconds does not wait any more
digest SOCKET HOW_MANY CREDIT        {"ready": …} when they stand; {"digests": […], "events": […], "reordered": …} once
                                     each has come to the tag load/end: of offset, source and seq of every event
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import select
import struct
import sys

from sylvite.client.async_client import AsyncClient
from sylvite.client.sync_client import Client
from sylvite.core.event import Event

NEXT_WITHIN_S = 120.0
PLACE = struct.Struct("<QQQ")


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


def publish(socket: str, level: str, size: int, count: int, batch: int | None = None) -> None:
    with Client.connect(socket) as client:
        _say({"epoch": client._core.source_epoch})  # pyright: ignore[reportPrivateUsage] - what readers know it by
        if batch is not None:
            sys.stdin.readline()
        pad = "x" * size
        batch = batch or 16 * 1024
        with client.publisher(level=level, batch_bytes=batch, window_bytes=16 * batch) as publisher:
            for number in range(count):
                publisher.publish("load/one", {"n": number, "pad": pad})
                if number % 256 == 0 and select.select([sys.stdin], [], [], 0)[0]:
                    break
        _say({"sent": publisher.acknowledged})


async def subscribe(socket: str, how_many: int, count: int, credit: int, within_s: float = NEXT_WITHIN_S) -> None:
    ready: list[int] = []
    wrong: list[str] = []

    async def one(name: int) -> int:
        async with (
            AsyncClient.connect(socket) as client,
            await client.subscribe("load/", credit_bytes=credit) as subscription,
        ):
            ready.append(name)
            if len(ready) == how_many:
                _say({"ready": how_many})
            offset = -1
            for number in range(count):
                event = await subscription.next(within_s)
                if event is None:
                    wrong.append(f"subscriber {name} has no more after {number}")
                    return number
                if event.data["n"] != number or event.offset <= offset:
                    wrong.append(f"subscriber {name} got {event.data['n']} @{event.offset}, not {number}")
                offset = event.offset
            return count

    read = await asyncio.gather(*(one(name) for name in range(how_many)))
    _say({"read": read, "wrong": wrong[:5]})


class Digest:
    """What one reader saw, as one text; `reordered` counts events that came after a later one of their source."""

    def __init__(self) -> None:
        self.events = self.reordered = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._highest: dict[int, int] = {}

    def take(self, event: Event) -> None:
        source, seq = event.origin.source_epoch, event.source_seq
        self._hash.update(PLACE.pack(event.offset, source, seq))
        self.events += 1
        self.reordered += seq <= self._highest.get(source, -1)
        self._highest[source] = seq

    def hex(self) -> str:
        return self._hash.hexdigest()


async def digest(socket: str, how_many: int, credit: int) -> None:
    ready: list[int] = []

    async def one(name: int) -> Digest:
        async with (
            AsyncClient.connect(socket) as client,
            await client.subscribe("load/", credit_bytes=credit, synced=name % 2 == 1) as subscription,
        ):
            ready.append(name)
            if len(ready) == how_many:
                _say({"ready": how_many})
            seen = Digest()
            while (event := await subscription.next(NEXT_WITHIN_S)) is not None and event.tag != "load/end":
                seen.take(event)
            return seen

    seen = await asyncio.gather(*(one(name) for name in range(how_many)))
    _say(
        {
            "digests": [one.hex() for one in seen],
            "events": [one.events for one in seen],
            "reordered": sum(one.reordered for one in seen),
        }
    )


def main(verb: str, socket: str, *arguments: str) -> None:
    if verb == "publish":
        publish(socket, arguments[0], *map(int, arguments[1:]))
    elif verb == "digest":
        asyncio.run(digest(socket, int(arguments[0]), int(arguments[1])))
    else:
        asyncio.run(subscribe(socket, *map(int, arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
