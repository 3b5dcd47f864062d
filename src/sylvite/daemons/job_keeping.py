"""The keeping of jobs, as a process of its own: it brings the events of jobs into `jobs.db`, where they can be looked up.

It also finds out which jobs are waited for no more: jobs/watching.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from sylvite.client.async_client import AsyncClient
from sylvite.client.async_subscription import AsyncSubscription
from sylvite.core.event import Event, Gap
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.precautions import secure_process
from sylvite.daemons.process import log_as, on_signals, run, say_ready
from sylvite.daemons.systemd import notify
from sylvite.errors import DiskFull, NoSuchJob, SylviteError
from sylvite.jobs.active import RUNNING
from sylvite.jobs.async_returns import publish
from sylvite.jobs.client_core import JOBS_FILE, JobCore, MasterPlace
from sylvite.jobs.keeping import CURSOR, TAGS, Keeper
from sylvite.jobs.known_minions import read_known
from sylvite.jobs.minions import FILE, MinionRecord
from sylvite.jobs.store import NANOSECONDS, PAGE_JOBS_MAX, JobStore, JobStoreSettings, open_jobs
from sylvite.jobs.watching import Watch

AT_ONCE = 1000
"""Events that are kept with one another, where so many wait."""
FULL_S = 5.0
"""When a disk that was full is tried again."""
WATCH_S = 2.0
"""How often it is looked whether jobs are due to be looked at."""
logger = logging.getLogger("sylvite.jobs")


def main(configuration: Configuration[MasterOptions], socket: Path, *, ready_fd: int | None = None) -> int:
    """Keep jobs until SIGTERM or SIGINT; return the exit code.  `socket`: of the bus that they are on.

    Raises:
        SylviteError: it could not start, or cannot go on: no bus, or a store that cannot be used.
    """
    secure_process()
    log_as(configuration)
    return run(_serve(configuration, socket, ready_fd))


async def _serve(configuration: Configuration[MasterOptions], socket: Path, ready_fd: int | None) -> int:
    options = configuration.options
    stopping = asyncio.Event()
    on_signals(stopping.set, configuration.reload)
    async with AsyncExitStack() as stack:
        store = stack.enter_context(_opened(options, ready_fd))
        bus = await stack.enter_async_context(AsyncClient.connect(socket, name="jobs keep"))
        events = await bus.subscribe(regex=TAGS, cursor=CURSOR, since="oldest", ack="manual", on_gap=_tell)
        configuration.on_change(lambda changed: store.configure(_settings(changed)))
        say_ready(ready_fd)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(_keep(store, events), name="jobs: keep"),
            asyncio.create_task(_prune(store, configuration), name="jobs: prune"),
            asyncio.create_task(_watch(store, events, bus, configuration), name="jobs: watch"),
            asyncio.create_task(stopping.wait(), name="jobs: until it stops"),
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()  # Where the store or the bus has failed, that is how this process ends.
    return 0


def _opened(options: MasterOptions, ready_fd: int | None) -> JobStore:
    """Open the store.  Raises JobStoreFailed, DiskFull."""
    try:
        return open_jobs(options.data_dir / JOBS_FILE, _settings(options))
    except SylviteError:
        # The others do not need it: a master whose store is damaged starts all the same, and this part again and again.
        say_ready(ready_fd)
        raise


def _settings(options: MasterOptions) -> JobStoreSettings:
    return JobStoreSettings(keep_s=options.keep_jobs_s, keep_bytes=options.keep_jobs_bytes)


def _tell(gap: Gap) -> None:
    logger.warning("jobs or returns may not be kept: %s", gap)


async def _keep(store: JobStore, subscription: AsyncSubscription) -> None:
    keeper = Keeper(store)
    while (first := await subscription.next()) is not None:
        events = [first]
        while len(events) < AT_ONCE and subscription.has_more():
            if (event := await subscription.next(0.0)) is not None:
                events.append(event)
        await _take(keeper, events)
        await subscription.ack(events[-1])


async def _take(keeper: Keeper, events: list[Event]) -> None:
    while True:
        try:
            keeper.take(events)
        except DiskFull as error:
            logger.error("%s; they wait in the event log", error)
            await asyncio.sleep(FULL_S)
        else:
            return


async def _prune(store: JobStore, configuration: Configuration[MasterOptions]) -> None:
    while True:
        try:
            if count := store.prune(time.time_ns()):
                logger.info("%d jobs were forgotten: they are too old", count)
        except DiskFull as error:
            logger.error("%s", error)
        await asyncio.sleep(max(configuration.options.loop_interval_s, 1.0))


async def _watch(
    store: JobStore, events: AsyncSubscription, bus: AsyncClient, configuration: Configuration[MasterOptions]
) -> None:
    core = JobCore(MasterPlace.of(configuration.options))
    watch = Watch(_answer_s(configuration.options), time.time_ns())
    told = ""
    while True:
        await asyncio.sleep(WATCH_S)
        watch.answer_s = _answer_s(configuration.options)
        if events.has_more():
            continue  # What has come may say of jobs that they have ended.
        try:
            await _look(store, watch, bus, core, configuration.options.cluster.node or configuration.options.id)
            told = ""
        except SylviteError as error:
            if str(error) != told:
                logger.warning("it cannot be found out which jobs still run: %s", error)
            told = str(error)


def _answer_s(options: MasterOptions) -> float:
    return options.timeout_s + options.gather_job_timeout_s


async def _look(store: JobStore, watch: Watch, bus: AsyncClient, core: JobCore, node: str) -> None:
    """Ask minions of jobs that may have ended, give them the time to answer, and end what has.  Raises SylviteError."""
    now_ns = time.time_ns()
    due = watch.due(store.overdue(now_ns - int(watch.answer_s * NANOSECONDS)), now_ns)
    if not due:
        return
    records, asks = await asyncio.to_thread(_known, core.place, node)
    look = watch.look(due, records, now_ns)
    for jid in look.ended:
        with contextlib.suppress(NoSuchJob):  # It was forgotten meanwhile.
            store.end(jid, now_ns)
    if not look.ask:
        return
    if asks:
        question = core.roll_call(look.ask)
        await publish(bus, question)
        jids = [question.jid]
        await asyncio.sleep(core.place.gather_s)
    else:
        await asyncio.sleep(core.place.gather_s + 2 * WATCH_S)
        jids = _roll_calls(store, now_ns - int(WATCH_S * NANOSECONDS))
    watch.hear({each.minion: each.value for jid in jids for each in store.answers(jid)}, time.time_ns())


def _roll_calls(store: JobStore, since_ns: int) -> list[str]:
    """Return the jobs by which another master has asked minions what they run, the oldest first: we have the answers too."""
    asked = [each for each in store.page(count=PAGE_JOBS_MAX) if each.job.fun == RUNNING]
    return [each.job.jid for each in reversed(asked) if each.published_ns >= since_ns]


def _known(place: MasterPlace, node: str) -> tuple[list[MinionRecord] | None, bool]:
    """Return what is known of minions, None where nothing is: this bus has no link; and whether this master asks them.

    Of several masters that keep the same jobs one asks, and all hear.
    """
    path = place.data_dir / FILE
    if not path.exists():
        return None, True
    with read_known(path) as reader:
        return reader.records(), reader.asks(node)
