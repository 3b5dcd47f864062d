"""Sharing: all kinds of what masters share, beside the bridge.  One that fails begins again; it ends nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from sylvite.cluster.connection import Connection
from sylvite.cluster.ending import first_to_end
from sylvite.cluster.shared import Shared
from sylvite.errors import SylviteError

AGAIN_S = (1.0, 30.0)

Share = Callable[[Shared], Awaitable[None]]
"""Shares one kind of things for as long as the connection lasts: until it is cancelled."""

logger = logging.getLogger("sylvite.cluster")


async def share_all(connection: Connection, node: str, kinds: Mapping[str, Share]) -> None:
    """Share all that `kinds` names, until this is cancelled."""
    shared = Shared(connection, node)
    work = [_keep_sharing(shared, name, share) for name, share in kinds.items()]
    await first_to_end(*work, asyncio.Event().wait(), name="cluster: sharing")


async def _keep_sharing(shared: Shared, name: str, share: Share) -> None:
    pause_s, told = AGAIN_S[0], ""
    while True:
        try:
            await share(shared)
        except SylviteError as error:
            if str(error) != told:
                logger.warning("%s are not shared at the moment: %s", name, error)
            told = str(error)
        except Exception:
            # What goes wrong with one kind must take neither the others away nor the events of the bridge.
            logger.exception("%s are not shared at the moment", name)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, AGAIN_S[1])
