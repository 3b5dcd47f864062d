"""Outgoing: publishing what must not be lost, also where the bus does not take it for a while."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from sylvite.errors import AckUnknown, EventTooBig, InvalidData, SylviteError
from sylvite.jobs.answers import without_value

PAUSE_S = (1.0, 30.0)
"""Before it is published again: at first, and at most; it doubles."""
logger = logging.getLogger("sylvite.jobs")


class Publishes(Protocol):
    """What is needed of an AsyncClient."""

    async def publish(self, tag: str, data: dict[str, Any]) -> Any: ...
    async def retry(self, error: AckUnknown) -> Any: ...


async def publish_for_sure(bus: Publishes, tag: str, data: dict[str, Any]) -> None:
    """Publish, once, and return when it is as safe as the policy wants: the disk may be full meanwhile.

    A return that fits into no event goes without its value, which then says so.
    """
    pause_s = PAUSE_S[0]
    unknown: AckUnknown | None = None
    while True:
        try:
            await (bus.publish(tag, data) if unknown is None else bus.retry(unknown))
            return
        except (EventTooBig, InvalidData) as error:
            if "return" not in data or data["fun_args"] == []:
                logger.error("%s cannot be published: %s", tag, error)
                return
            data = without_value(data, str(error))
            continue
        except AckUnknown as error:
            unknown = error
            logger.warning("%s waits: %s", tag, error)
        except SylviteError as error:
            unknown = None
            logger.warning("%s waits: %s", tag, error)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S[1])
