"""Webhooks out, as a process of its own: it posts the events of every webhook that is configured or was added by command."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Generator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from sylvite.client.async_client import AsyncClient
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.webhooks import WebhookOut
from sylvite.daemons.precautions import secure_process
from sylvite.daemons.process import log_as, on_signals, run, say_ready
from sylvite.daemons.secret_files import read_secrets
from sylvite.daemons.systemd import notify
from sylvite.errors import InvalidSetting, SylviteError
from sylvite.export.sending import Open, Sender, log_of
from sylvite.export.settings import Webhook
from sylvite.export.store import State, WebhookStore
from sylvite.jobs.database import WriteLock

LOOK_S = 0.5
"""How soon it is seen that a webhook was added, removed or changed."""
AGAIN_S = 5.0
"""When one that has failed for a reason of ours (the bus, the disk) is begun again."""
logger = logging.getLogger("sylvite.webhooks")


def main(configuration: Configuration[MasterOptions], socket: Path, *, ready_fd: int | None = None) -> int:
    """Post events until SIGTERM or SIGINT; return the exit code.  `socket`: of the bus that they are on.

    Raises:
        SylviteError: it could not start: no bus, a store that cannot be used or is in use, a webhook that cannot be.
    """
    secure_process()
    log_as(configuration)
    return run(_serve(configuration, socket, ready_fd))


async def _serve(configuration: Configuration[MasterOptions], socket: Path, ready_fd: int | None) -> int:
    stopping = asyncio.Event()
    on_signals(stopping.set, configuration.reload)
    with _opened(configuration.options.data_dir, ready_fd) as store:
        async with AsyncClient.connect(socket, name="webhooks") as bus, _source(configuration.options, bus) as open_:
            webhooks = Webhooks(bus, open_, store)
            webhooks.follow(configuration)
            say_ready(ready_fd)
            tasks = [asyncio.create_task(each) for each in (webhooks.look_after(), stopping.wait())]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            notify("STOPPING=1")
            for task in tasks:
                task.cancel()
            await webhooks.stop()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()  # Where the store has failed, that is how this process ends.
    return 0


@contextlib.asynccontextmanager
async def _source(options: MasterOptions, bus: AsyncClient) -> AsyncGenerator[Open]:
    """Make what opens the source of a webhook: this master's log, or in a cluster those of all masters together.

    Raises InvalidSetting: nats-py is not there.
    """
    settings = options.cluster
    if not settings:
        yield log_of(bus)
        return
    try:
        from sylvite.daemons.shared_webhooks import SharedWebhooks
    except ModuleNotFoundError as error:
        reason = "is not installed; install sylvite with its extra: sylvite[cluster]"
        raise InvalidSetting("cluster", str(error.name), reason) from error
    shared = SharedWebhooks(bus, msgspec.structs.replace(settings, node=settings.node or options.id))
    try:
        yield shared.open
    finally:
        await shared.close()


@contextlib.contextmanager
def _opened(folder: Path, ready_fd: int | None) -> Generator[WebhookStore]:
    """Open the store, as the one process that posts.  Raises JobStoreFailed, JobStoreInUse."""
    with contextlib.ExitStack() as stack:
        try:
            store = stack.enter_context(WebhookStore(folder))
            stack.callback(WriteLock(store.path).release)
        except SylviteError:
            # The others do not need it: a master whose store is damaged starts all the same, and this part again and again.
            say_ready(ready_fd)
            raise
        yield store


class _Running(NamedTuple):
    webhook: Webhook
    task: asyncio.Task[None]


class Webhooks:
    """Those that run: a task for each, so that none holds up another."""

    def __init__(self, bus: AsyncClient, open_: Open, store: WebhookStore) -> None:
        self._bus, self._open, self._store = bus, open_, store
        self._configured: Mapping[str, Webhook] = {}
        self._running: dict[str, _Running] = {}
        self._changed = True

    def follow(self, configuration: Configuration[MasterOptions]) -> None:
        """Take what the options of a master say, also once they are read again."""
        self._take(configuration.options)
        configuration.on_change(self._take)

    def _take(self, options: MasterOptions) -> None:
        found: dict[str, Webhook] = {}
        for name, settings in options.webhooks_out.items():
            try:
                found[name] = read_webhook_out(name, settings)
            except InvalidSetting as error:
                # One that is wrong costs itself alone, and where it was right before, not even that.
                logger.error("webhook %s: %s", name, error)
                if name in self._configured:
                    found[name] = self._configured[name]
        self._configured, self._changed = found, True

    async def look_after(self) -> None:
        """Begin and end webhooks as they come and go.  Raises JobStoreFailed."""
        while True:
            if self._store.has_changed() or self._changed:
                self._changed = False
                await self._refresh()
            for running in self._running.values():
                if running.task.done() and not running.task.cancelled():
                    running.task.result()  # A mistake of ours ends the process, which is then started again.
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        for name in list(self._running):
            await self._end(name)

    async def _refresh(self) -> None:
        wanted = {each.webhook.name: each.webhook for each in self._store.added()}
        for name in wanted.keys() & self._configured.keys():
            logger.error("webhook %s is configured, and was also added by command: what is configured counts", name)
        wanted |= self._configured
        states = self._store.states()
        for name, running in list(self._running.items()):
            if wanted.get(name) != running.webhook or running.task.done():
                await self._end(name)
        for name, webhook in wanted.items():
            if name not in self._running and not states.get(name, State()).ended:
                task = asyncio.create_task(self._keep(webhook), name=f"webhook {name}")
                self._running[name] = _Running(webhook, task)

    async def _end(self, name: str) -> None:
        task = self._running.pop(name).task
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _keep(self, webhook: Webhook) -> None:
        while True:
            try:
                state = self._store.states().get(webhook.name, State())
                await Sender(self._bus, self._open, self._store, webhook, state).run()
                return
            except InvalidSetting as error:
                logger.error("webhook %s cannot be: %s", webhook.name, error)
                return
            except SylviteError as error:
                logger.error("webhook %s: %s; it begins again in %g s", webhook.name, error, AGAIN_S)
                await asyncio.sleep(AGAIN_S)


def read_webhook_out(name: str, settings: WebhookOut) -> Webhook:
    """Return a webhook of a master's file, with its secrets.  Raises InvalidSetting."""
    secrets = read_secrets(Path(settings.secret_file), "standard", f"webhooks_out.{name}.secret_file")
    return Webhook(name, settings, secrets)
