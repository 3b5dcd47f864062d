"""Running the bridge from a Salt to a bus of ours, as a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import msgspec

from sylvite.client.async_client import AsyncClient
from sylvite.compat.bridge import Bridge
from sylvite.compat.endpoints import Endpoints
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.precautions import secure_process
from sylvite.daemons.process import log_as, on_signals, run, say_ready

logger = logging.getLogger("sylvite.bridge")


class Bridged(msgspec.Struct, frozen=True):
    """From where, to where.  `prefix`: stands before each tag."""

    salt: Endpoints
    bus: Path
    prefix: str = ""


def main(configuration: Configuration[MasterOptions], bridged: Bridged, *, ready_fd: int | None = None) -> int:
    """Copy until SIGTERM or SIGINT; return the exit code.

    Raises:
        SylviteError: it could not start, or cannot go on.
    """
    secure_process()
    log_as(configuration)
    return run(_serve(configuration, bridged, ready_fd))


async def _serve(configuration: Configuration[MasterOptions], bridged: Bridged, ready_fd: int | None) -> int:
    stopping = asyncio.Event()
    on_signals(stopping.set, configuration.reload)
    async with AsyncClient.connect(bridged.bus, name="bridge salt") as bus:
        bridge = Bridge(bus, bridged.salt, bridged.prefix)
        copying = asyncio.create_task(bridge.run())
        attached = asyncio.create_task(bridge.attached.wait())
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait((copying, attached, stopped), return_when=asyncio.FIRST_COMPLETED)
            if attached.done():
                say_ready(ready_fd)
            await asyncio.wait((copying, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (attached, stopped):
                task.cancel()
        if copying.done():
            _raise_one(copying)
        copying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await copying
        await bridge.detach()
        logger.info("%d events were copied", bridge.copied)
    return 0


def _raise_one(copying: asyncio.Task[None]) -> None:
    """Raise what has ended it: of a group of errors, the first."""
    try:
        copying.result()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
