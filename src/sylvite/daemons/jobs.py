"""The jobs of a minion: what runs them, in its process and beside it."""

from __future__ import annotations

import resource
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sylvite.client.async_client import AsyncClient
from sylvite.core.event import EVENT_BYTES_MAX
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.opts import make_opts
from sylvite.daemons.precautions import secure_folder
from sylvite.functions.data import plain
from sylvite.functions.grains_file import grains_of
from sylvite.jobs import desk, proc
from sylvite.jobs import worker_messages as say
from sylvite.jobs.running import JobRunner, Settings
from sylvite.jobs.workers import Workers


@asynccontextmanager
async def running_jobs(configuration: Configuration[MinionOptions], socket: Path) -> AsyncGenerator[None]:
    """Run what is published on the bus of a minion, until the end.  What is read again by SIGHUP, functions see.

    Raises:
        SylviteError: there is no bus, or others could write to the folder of the jobs that run.
    """
    options = configuration.options
    folder = options.cachedir / proc.FOLDER
    secure_folder(folder, "cachedir")
    settings = Settings(options.id, folder, options.minion_jid_queue_hwm, options.process_count_max)
    _allow_files(settings.at_once or desk.AT_ONCE)
    async with AsyncClient.connect(socket, name=f"jobs:{options.id}") as bus:
        event_bytes_max = min(bus.welcome.event_bytes_max, EVENT_BYTES_MAX)

        def begin() -> bytes:
            opts = make_opts(configuration.loaded)
            return say.encode(say.Begin(plain(opts), plain(grains_of(opts)), str(socket), event_bytes_max))

        def grains() -> Mapping[str, Any]:
            return grains_of(make_opts(configuration.loaded))

        def change(changed: MinionOptions) -> None:
            runner.timeout_s = changed.job_timeout_s
            runner.refresh()

        workers = Workers(begin, event_bytes_max)
        runner = JobRunner(bus, workers, settings, grains, timeout_s=options.job_timeout_s)
        configuration.on_change(change)
        await runner.start()
        try:
            yield
        finally:
            await runner.stop()


def _allow_files(jobs: int) -> None:
    """Let the process open as many more files as it may have jobs: the bus is not to lack them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft + 2 * jobs, hard), hard))
    except (OSError, ValueError):
        pass  # The system does not let us: then a job that finds no descriptor says so.
