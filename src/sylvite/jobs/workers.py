"""Workers: there is always a nursery that forks them.  One that dies is started again; a new one takes the place of an old one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sylvite.errors import SylviteError
from sylvite.jobs.nursery_end import Nursery, Worker

PAUSE_S = (0.2, 30.0)
"""Before a nursery is started again: at first, and at most; it doubles."""
SETTLED_S = 60.0
READY_S = 60.0
"""How long a nursery may take to load the library."""
WAIT_S = 30.0
"""How long a job waits for a nursery that does not come up."""
logger = logging.getLogger("sylvite.jobs")


class Workers:
    """`begin`: makes what a nursery is told, as it is by then; `event_bytes_max`: of the minion's broker."""

    def __init__(self, begin: Callable[[], bytes], event_bytes_max: int) -> None:
        self._begin, self._event_bytes_max = begin, event_bytes_max
        self._nursery: Nursery | None = None
        self._changed = asyncio.Condition()
        self._retiring: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._renewing = asyncio.Lock()
        self._refused: str | None = None

    def start(self) -> None:
        """Start a nursery, and again whenever it dies.  Jobs that come before it is ready wait for it."""
        self._keeping = asyncio.create_task(self._keep(), name="jobs: keep a nursery")

    async def _new(self) -> Nursery | None:
        """Return a nursery that is ready; None where it does not come up.

        Raises:
            OSError: it cannot be started.  SylviteError: what it is to know cannot be read.
        """
        nursery = await Nursery.start(self._begin(), self._event_bytes_max)
        is_there = False
        try:
            async with asyncio.timeout(READY_S):
                is_there = await nursery.ready
        except TimeoutError:
            logger.error("the process that runs jobs is not ready within %g s, and is ended", READY_S)
        finally:
            if not is_there:
                await nursery.close()
        return nursery if is_there else None

    async def _put(self, nursery: Nursery | None) -> None:
        async with self._changed:
            self._nursery = nursery
            self._changed.notify_all()

    async def run(self) -> Worker:
        """Return a worker for a job.  Raises OSError: there is none to be had."""
        while True:
            nursery = await self._living()
            try:
                return await nursery.run()
            except BrokenPipeError:
                continue  # It has just died, and has not been told of the job.

    async def _living(self) -> Nursery:
        async with self._changed:
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._changed.wait_for(self._is_settled)
            except TimeoutError:
                raise OSError("the process that runs the jobs of this minion does not come up") from None
            if self._refused is not None:
                raise OSError(self._refused)
            assert self._nursery is not None
            return self._nursery

    def _is_settled(self) -> bool:
        is_there = self._nursery is not None and not self._nursery.gone.is_set()
        return is_there or self._refused is not None

    async def refuse(self, reason: str) -> None:
        """Have no worker from now on, also who waits for one."""
        async with self._changed:
            self._refused = reason
            self._changed.notify_all()

    @property
    def nursery(self) -> Nursery | None:
        return self._nursery

    async def renew(self) -> bool:
        """Have modules, options and grains read again by a new nursery; jobs that run go on.  Return whether it is there."""
        async with self._renewing:
            former = self._nursery
            try:
                nursery = await self._new()
            except (OSError, SylviteError) as error:
                logger.error("jobs run with what they had: %s", error)
                return False
            if nursery is None:
                logger.error("jobs run with what they had: the new process for them does not come up")
                return False
            await self._put(nursery)
            if former is not None:
                self._retire(former)
            return True

    def _retire(self, nursery: Nursery) -> None:
        task = asyncio.create_task(_close_when_idle(nursery), name="jobs: former nursery")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _keep(self) -> None:
        loop, pause_s = asyncio.get_running_loop(), PAUSE_S[0]
        while True:
            began_s = loop.time()
            if self._nursery is None:
                await self._again()
            nursery = self._nursery
            if nursery is not None:
                await nursery.gone.wait()
                if nursery is not self._nursery:
                    continue  # It was retired; there is another one.
                await self._put(None)
                await nursery.close()
            pause_s = PAUSE_S[0] if loop.time() - began_s > SETTLED_S else pause_s
            logger.error("the process that runs jobs has died; it is started again in %g s", pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S[1])

    async def _again(self) -> None:
        async with self._renewing:
            try:
                await self._put(await self._new())
            except (OSError, SylviteError) as error:
                logger.error("the process that runs jobs cannot be started: %s", error)
            except Exception:
                # Whatever it is, it is tried again: without this nobody would.
                logger.exception("the process that runs jobs cannot be started")

    async def stop(self) -> None:
        """End all nurseries, and all jobs with them."""
        tasks = [*self._retiring, *([self._keeping] if self._keeping is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        nursery, self._nursery = self._nursery, None
        if nursery is not None:
            await nursery.close()


async def _close_when_idle(nursery: Nursery) -> None:
    try:
        while nursery.workers and not nursery.gone.is_set():
            worker = next(iter(nursery.workers.values()))
            await worker.gone(SETTLED_S)
    finally:
        await nursery.close()
