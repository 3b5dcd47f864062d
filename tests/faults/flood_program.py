"""Publishers of other users, as processes of their own.  Each begins with a line of input.

flood SOCKET UID LEVEL SIZE SECONDS   as much as it can: {"ready": …}, {"sent": …, "acknowledged": …, "dropped": …}
pace SOCKET UID LEVEL RATE SECONDS    so many a second, whatever becomes of those before: {"ready": …}, {"took_ms": […]},
                                      from each call until its answer
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

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

        async def one(number: int) -> float:
            called = loop.time()
            await bus.publish("pace/one", {"n": number}, level=level, timeout_s=ANSWERED_WITHIN_S)
            return loop.time() - called

        tasks: list[asyncio.Task[float]] = []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(began + number / rate - loop.time(), 0))
            tasks.append(asyncio.create_task(one(number)))
        _say({"took_ms": [round(1000 * took_s, 3) for took_s in await asyncio.gather(*tasks)]})


def main(verb: str, path: str, uid: str, level: str, *numbers: str) -> None:
    # From here, the path is only a name: whatever folders are above it, and closed to others.
    os.chdir(Path(path).parent)
    socket = Path(path).name
    become(int(uid))
    if verb == "flood":
        flood(socket, level, int(numbers[0]), float(numbers[1]))
    else:
        asyncio.run(pace(socket, level, float(numbers[0]), float(numbers[1])))


if __name__ == "__main__":
    main(*sys.argv[1:])
