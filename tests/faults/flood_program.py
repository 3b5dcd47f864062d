"""Publishers of other users, as processes of their own.  Each begins with a line of input.

flood SOCKET UID LEVEL SIZE SECONDS   as much as it can: {"ready": …}, {"sent": …, "acknowledged": …, "dropped": …}
pace SOCKET UID LEVEL RATE SECONDS    so many a second, each when it is due: {"ready": …}, {"late_ms": […]}, from when an
                                      event was due until it was answered, in order
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from sylvite.client.async_client import AsyncClient
from sylvite.client.sync_client import Client

ANSWERED_WITHIN_S = 120.0
LOOK_AT_CLOCK_EVERY = 64


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


def become(uid: int) -> None:
    """Be somebody else from now on.  What has to be imported is imported: that one may read none of it."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def flood(socket: str, level: str, size: int, seconds: float) -> None:
    pad = "x" * size
    with Client.connect(socket) as client:
        _say({"ready": client.welcome.sender})
        sys.stdin.readline()
        end = time.monotonic() + seconds
        number = 0
        with client.publisher(level=level, timeout_s=ANSWERED_WITHIN_S) as publisher:
            while number % LOOK_AT_CLOCK_EVERY or time.monotonic() < end:
                publisher.publish("flood/one", {"n": number, "pad": pad})
                number += 1
        client.ask("cursors")  # Answered behind all that was published.
        _say({"sent": publisher.published, "acknowledged": publisher.acknowledged, "dropped": client.dropped})


async def pace(socket: str, level: str, rate: float, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncClient.connect(socket) as bus:
        _say({"ready": bus.welcome.sender})
        sys.stdin.readline()
        began = loop.time()

        async def one(number: int, due: float) -> float:
            await bus.publish("pace/one", {"n": number}, level=level, timeout_s=ANSWERED_WITHIN_S)
            return loop.time() - due

        tasks: list[asyncio.Task[float]] = []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(due - loop.time(), 0))
            tasks.append(asyncio.create_task(one(number, due)))
        _say({"late_ms": [round(1000 * late_s, 3) for late_s in await asyncio.gather(*tasks)]})


def main(verb: str, socket: str, uid: str, level: str, *numbers: str) -> None:
    become(int(uid))
    if verb == "flood":
        flood(socket, level, int(numbers[0]), float(numbers[1]))
    else:
        asyncio.run(pace(socket, level, float(numbers[0]), float(numbers[1])))


if __name__ == "__main__":
    main(*sys.argv[1:])
