"""The beacons of a minion: a process beside it, started again when it ends."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sylvite.core.event import pack_data
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.opts import make_opts
from sylvite.functions.data import plain
from sylvite.functions.grains_file import grains_of

PAUSE_S = (1.0, 60.0)
SETTLED_S = 60.0
STOP_S = 5.0
T = TypeVar("T")
logger = logging.getLogger("sylvite.beacons")


@asynccontextmanager
async def running_beacons(configuration: Configuration[MinionOptions], socket: Path) -> AsyncGenerator[None]:
    """Keep the beacons of a minion going, as its options say them, also those that are read again by SIGHUP."""

    def task_data() -> bytes | None:
        opts = make_opts(configuration.loaded)
        if not opts["beacons"]:
            return None
        logged = {name: opts[name] for name in ("log_level", "log_format", "log_file", "log_level_logfile")}
        return pack_data(plain({"opts": opts, "grains": grains_of(opts), "socket": str(socket), **logged}))

    keeper = Keeper(task_data)
    configuration.on_change(lambda _: keeper.restart())
    keeping = asyncio.create_task(keeper.run(), name="minion: beacons")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


class Keeper:
    """Keeps the process running.  `task_data`: returns what it is told at its start; None: there is nothing to run."""

    def __init__(self, task_data: Callable[[], bytes | None]) -> None:
        self._task_data = task_data
        self._changed = asyncio.Event()

    def restart(self) -> None:
        """Let it be another process, which sees the options as they are now."""
        self._changed.set()

    async def run(self) -> None:
        loop, pause_s = asyncio.get_running_loop(), PAUSE_S[0]
        while True:
            self._changed.clear()
            task_data = self._task_data()
            if task_data is None:
                await self._changed.wait()
                continue
            began_s = loop.time()
            code = await self._unless_changed(_once(task_data))
            if code is None:
                continue
            pause_s = PAUSE_S[0] if loop.time() - began_s > SETTLED_S else pause_s
            logger.error("the beacons have ended with exit code %d; they are started again in %g s", code, pause_s)
            await self._unless_changed(asyncio.sleep(pause_s))
            pause_s = min(2 * pause_s, PAUSE_S[1])

    async def _unless_changed(self, doing: Coroutine[Any, Any, T]) -> T | None:
        """Return what it returns; None where the options have changed meanwhile, and it was ended for that."""
        task, changed = asyncio.create_task(doing), asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait([task, changed], return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            for each in (task, changed):
                each.cancel()
            await asyncio.gather(task, changed, return_exceptions=True)


async def _once(task_data: bytes) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "sylvite.daemons.beacon_process",
        stdin=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        await process.communicate(task_data)
        return await process.wait()
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        logger.error("a beacon does not stop: it is killed")
        process.kill()
        await process.wait()
