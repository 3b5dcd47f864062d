"""JobRunner: a minion's jobs, from `salt/job/<jid>/publish` on its bus to their returns there.  asyncio.

Each job is a task here and a process beside it, so that a function that hangs, dies or never stops talking costs only its own job.  What is kept
in memory of a job is its publication, and of what it says one message.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sylvite.client.async_client import AsyncClient
from sylvite.client.async_subscription import AsyncSubscription
from sylvite.core import known_tags
from sylvite.core.event import Event
from sylvite.jobs import answers, proc
from sylvite.jobs import worker_messages as say
from sylvite.jobs.answers import Failure
from sylvite.jobs.desk import Begin, Desk, Ignore, Job, Refuse, Wait
from sylvite.jobs.nursery_end import BadWorker, Worker
from sylvite.jobs.outgoing import publish_for_sure
from sylvite.jobs.workers import Workers

PUBLISHED = "salt/job/*/publish"
REFRESH = ("module_refresh", "grains_refresh")
REFRESHED = "/salt/minion/minion_mod_refresh_complete"
GRACE_S = 5.0
"""Between a TERM and the KILL that follows it."""
LINGER_S = 5.0
"""How long a worker may take to end once it has returned."""
STOP_S = 10.0
logger = logging.getLogger("sylvite.jobs")


class Settings(msgspec.Struct, frozen=True):
    """`at_once`: how many jobs run at a time.  `folder`: of the files of those that run."""

    minion: str
    folder: Path
    remembered: int = 100
    at_once: int | None = None


class JobRunner:
    """`timeout_s`: how long a job may run that begins from now on; None: as long as it likes."""

    def __init__(
        self,
        bus: AsyncClient,
        workers: Workers,
        settings: Settings,
        grains: Callable[[], Mapping[str, Any]],
        *,
        timeout_s: float | None = None,
    ) -> None:
        """`grains`: returns those of this minion, by which targets are matched, as they are by then."""
        self.timeout_s = timeout_s
        self._bus, self._workers, self._settings = bus, workers, settings
        self._look, self._grains = grains, grains()
        self._desk = Desk(settings.minion, remembered=settings.remembered, at_once=settings.at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_work: dict[str, Worker] = {}
        self._senders: frozenset[str] = frozenset()
        self._listed: set[str] = set()
        """Jobs that wait, and have a record."""
        self._is_stopping = False
        self._refresh_wanted, self._notify = asyncio.Event(), False
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take jobs from now on.  Raises SylviteError: there is no bus."""
        proc.drop_all(self._settings.folder)
        self._workers.start()
        # Whoever else may publish here, by the policy, is not to have anything run as this user.
        self._senders = frozenset((self._bus.welcome.sender, "uid:0"))
        subscription = await self._bus.subscribe(fnmatch=PUBLISHED, exact=REFRESH, on_gap=_missed)
        self._loops = [
            asyncio.create_task(self._listen(subscription), name="jobs: listen"),
            asyncio.create_task(self._refresh(), name="jobs: refresh"),
        ]

    async def stop(self) -> None:
        """Take no more jobs, end those that run, and publish that."""
        self._is_stopping = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._workers.refuse("the minion was stopped")
        for job in self._desk.drop_waiting():
            self._spawn(self._answer(job, Failure("The minion was stopped before this job had begun")))
        for worker in list(self._at_work.values()):
            self._spawn(_end(worker))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._workers.stop()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="jobs: one job")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- Taking jobs -------------------------------------------------------------------------------------------------

    async def _listen(self, subscription: AsyncSubscription) -> None:
        async for event in subscription:
            try:
                await self._hear(event)
            except Exception:
                # The next job is not to suffer for this one.
                logger.exception("%s could not be taken", event.tag)

    async def _hear(self, event: Event) -> None:
        if event.sender not in self._senders:
            logger.warning("%s of %s is not heeded: it is another user's", event.tag, event.sender)
        elif event.tag in REFRESH:
            self._notify = self._notify or event.tag == "module_refresh"
            self._refresh_wanted.set()
        else:
            await self._take(event)

    async def _take(self, event: Event) -> None:
        match self._desk.decide(event.tag, event.data, self._grains):
            case Begin(job):
                self._spawn(self._run(job))
            case Wait(job):
                self._keep(job)
                logger.info("job %s waits: as many as may are running", job.jid)
            case Refuse(job, reason):
                logger.warning("job %s is not done: %s", job.jid, reason)
                # Waited for: so however many are refused, they do not pile up here.
                await self._answer(job, Failure(reason))
            case Ignore(reason):
                if reason is not None:
                    logger.warning("%s", reason)

    def _keep(self, job: Job) -> None:
        """Have a job that waits be found, and ended, as those that run."""
        try:
            proc.keep_record(self._settings.folder, job.publication, None)
        except OSError as error:
            logger.error("job %s cannot be shown as waiting: %s", job.jid, error)
        else:
            self._listed.add(job.jid)

    def _next(self, jid: str) -> None:
        following = self._desk.done(jid)
        while following is not None:
            is_listed = following.jid in self._listed
            self._listed.discard(following.jid)
            # Whoever takes the record away decides whether the job begins.
            if not is_listed or proc.drop_record(self._settings.folder, following.jid):
                self._spawn(self._run(following))
                return
            self._spawn(self._answer(following, Failure("The job was ended while it waited", 143)))
            following = self._desk.done(following.jid)

    # -- One job -----------------------------------------------------------------------------------------------------

    async def _run(self, job: Job) -> None:
        try:
            publication = job.publication
            if publication.get("start_event"):
                await self._publish(known_tags.OUTBOX, answers.start_event(self._settings.minion, publication))
            try:
                worker = await self._workers.run()
            except OSError as error:
                await self._answer(job, Failure(f"The job cannot be started: {error}"))
            else:
                await self._follow(job, worker)
        except Exception:
            logger.exception("job %s could not be run", job.jid)
            await self._answer(job, Failure("The minion could not run this job; its log says why"))
        finally:
            proc.drop_record(self._settings.folder, job.jid)
            if not self._is_stopping:
                self._next(job.jid)

    async def _follow(self, job: Job, worker: Worker) -> None:
        following = _Following(self, job.jid)
        self._at_work[job.jid] = worker
        limit = asyncio.create_task(self._limit(worker, following), name="jobs: time limit")
        try:
            try:
                await worker.follow(job.packed, following.take)
            except BadWorker as error:
                logger.error("job %s is ended: %s", job.jid, error)
                following.came = following.came or Failure(f"The process of this job was ended: {error}")
            if not following.came and not await worker.gone(LINGER_S):
                following.came = Failure(
                    "The function has closed the way back, and was ended: it cannot return any more"
                )
            await _end_if_there(worker, following)
            await self._answer(job, following.came or self._why(worker, following))
            if not await worker.gone(LINGER_S):
                await worker.kill()
        finally:
            limit.cancel()
            self._at_work.pop(job.jid, None)
            worker.close()

    def _why(self, worker: Worker, following: _Following) -> Failure:
        """Return what is said where the function has not returned."""
        if following.late_s is not None:
            return Failure(f"Timed out after {following.late_s:g} seconds (job_timeout), and was ended", 124)
        if self._is_stopping:
            return Failure("The minion was stopped before this job had ended")
        if worker.refused is not None:
            return Failure(f"The job cannot be started: {worker.refused}")
        return answers.how_it_ended(worker.ended.status if worker.ended is not None else None)

    async def _limit(self, worker: Worker, following: _Following) -> None:
        limit_s = self.timeout_s
        if limit_s is None:
            return
        await asyncio.sleep(limit_s)
        following.late_s = limit_s
        await _end(worker)

    # -- Publishing --------------------------------------------------------------------------------------------------

    async def tell_progress(self, jid: str, progress: say.Progress) -> None:
        event = answers.progress_event(self._settings.minion, jid, progress.number, progress.item)
        await self._publish(known_tags.OUTBOX, event)

    async def _answer(self, job: Job, came: say.Returned | Failure) -> None:
        """Publish the return of a job, and what its functions have raised."""
        publication = job.publication
        if isinstance(came, say.Returned):
            for raised in came.errors:
                await self._tell_error(raised)
        elif came.is_crash:
            await self._tell_error(came.text)
        await self._publish(known_tags.RETURN, answers.return_load(self._settings.minion, publication, came))

    async def _tell_error(self, message: str) -> None:
        await self._publish(answers.ERROR_TAG, answers.error_data(message))
        await self._publish(known_tags.OUTBOX, answers.error_event(message))

    async def _publish(self, tag: str, data: dict[str, Any]) -> None:
        await publish_for_sure(self._bus, tag, data)

    # -- Refreshing --------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Have options, grains and modules looked at again, and told when that is done."""
        self._notify = True
        self._refresh_wanted.set()

    async def _refresh(self) -> None:
        """Look at grains and modules again whenever somebody asks for it; what is asked meanwhile is done behind it."""
        while True:
            await self._refresh_wanted.wait()
            self._refresh_wanted.clear()
            notify, self._notify = self._notify, False
            try:
                self._grains = self._look()
                if await self._workers.renew() and notify:
                    await self._publish(REFRESHED, {"complete": True})
            except Exception:
                logger.exception("grains and modules stay as they were")


class _Following:
    """What has come of one job so far.  `late_s`: it has run for as long as it may, which is this."""

    def __init__(self, runner: JobRunner, jid: str) -> None:
        self.came: say.Returned | Failure | None = None
        self.late_s: float | None = None
        self._runner, self._jid = runner, jid
        self._notes = 0

    async def take(self, message: say.FromWorker) -> bool:
        match message:
            case say.Returned():
                self.came = message
                return False
            case say.Progress():
                await self._runner.tell_progress(self._jid, message)
            case say.Note(level, name, text) if self._notes <= say.NOTES_MAX:
                self._notes += 1
                logging.getLogger(name).log(level, "%s", text[: 2 * say.NOTE_CHARACTERS_MAX])
            case say.Note():
                pass  # Somebody else writes to the stream, without our limit.
        return True


async def _end(worker: Worker) -> None:
    """End a worker and all that it has started: in order, and a moment later at once."""
    await worker.signal(signal.SIGTERM)
    if not await worker.gone(GRACE_S):
        await worker.kill()


async def _end_if_there(worker: Worker, following: _Following) -> None:
    if isinstance(following.came, Failure):
        await worker.kill()
        await worker.gone(LINGER_S)


def _missed(gap: object) -> None:
    logger.error("jobs may have been missed: %s", gap)
