"""Ending tasks that may not hear it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any

AGAIN_S = 1.0
TRIES = 10
logger = logging.getLogger("sylvite.cluster")


async def first_to_end(*work: Coroutine[Any, Any, Any], name: str) -> None:
    """Run all until one of them ends, and end the others.  A TaskGroup would wait for ever for one that does not hear it.

    Raises:
        what that one has raised.
    """
    tasks = [asyncio.create_task(each, name=name) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end_all(tasks)


async def end_all(tasks: Collection[asyncio.Task[Any]], *, again_s: float = AGAIN_S) -> None:
    """Cancel tasks until they have ended; who takes no notice of it many times is left alone.

    asyncio.wait_for and nats-py swallow it where it comes at the wrong moment: the task goes on, and
    whoever waits for its end would wait for ever.
    """
    left = set(tasks)
    for _ in range(TRIES):
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=again_s)
    for task in left:
        logger.error("the task %s does not end, and is left alone", task.get_name())
    for task in set(tasks) - left:
        if not task.cancelled():
            task.exception()  # Whoever waited for it first has raised it.
