"""Publishers and subscribers as a process of their own, so that they can be stopped, and are not slowed by a test.

publish SOCKET LEVEL SIZE COUNT      {"epoch": …} at the start, {"sent": …} at the end; ends early with its input
subscribe SOCKET HOW_MANY COUNT CREDIT   {"ready": …} when they stand; {"read": […], "wrong": …} once each has
                                     COUNT events of the tag load/one, numbered from 0
"""

from __future__ import annotations

import asyncio
import json
import select
import sys

from sylvite.client.async_client import AsyncClient
from sylvite.client.sync_client import Client

NEXT_WITHIN_S = 120.0


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


def publish(socket: str, level: str, size: int, count: int) -> None:
    with Client.connect(socket) as client:
        _say({"epoch": client._core.source_epoch})  # pyright: ignore[reportPrivateUsage] - what readers know it by
        pad = "x" * size
        with client.publisher(level=level, batch_bytes=16 * 1024, window_bytes=256 * 1024) as publisher:
            for number in range(count):
                publisher.publish("load/one", {"n": number, "pad": pad})
                if number % 256 == 0 and select.select([sys.stdin], [], [], 0)[0]:
                    break
        _say({"sent": publisher.acknowledged})


async def subscribe(socket: str, how_many: int, count: int, credit: int) -> None:
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
                event = await subscription.next(NEXT_WITHIN_S)
                if event is None:
                    wrong.append(f"subscriber {name} has no more after {number}")
                    return number
                if event.data["n"] != number or event.offset <= offset:
                    wrong.append(f"subscriber {name} got {event.data['n']} @{event.offset}, not {number}")
                offset = event.offset
            return count

    read = await asyncio.gather(*(one(name) for name in range(how_many)))
    _say({"read": read, "wrong": wrong[:5]})


def main(verb: str, socket: str, *arguments: str) -> None:
    if verb == "publish":
        publish(socket, arguments[0], int(arguments[1]), int(arguments[2]))
    else:
        asyncio.run(subscribe(socket, int(arguments[0]), int(arguments[1]), int(arguments[2])))


if __name__ == "__main__":
    main(*sys.argv[1:])
