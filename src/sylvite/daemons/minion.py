"""A minion: its broker, and beside it, in the same process, the link to its master."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from sylvite.auth.enrolment import TOKEN_CHARACTERS_MAX, Token, parse_token
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.daemons import broker
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.jobs import running_jobs
from sylvite.daemons.masters import KnownMasters
from sylvite.daemons.options.computing import master_addresses
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.precautions import check_file
from sylvite.errors import InvalidSetting, SylviteError
from sylvite.link.minion_end import OUTBOX_TAG, MinionEnd

logger = logging.getLogger("sylvite.minion")


class Start(msgspec.Struct, frozen=True):
    """What a start is told beside the options.  `token`: lets the minion in at its first time."""

    token: Token | None = None
    trust_first: bool = False
    ready_fd: int | None = None


def read_token(path: Path) -> Token:
    """Return the token in a file.

    Raises:
        InvalidSetting: it cannot be read, or others may write it.  BadToken: it is none.
    """
    check_file(path, "token")
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return parse_token(file.read(TOKEN_CHARACTERS_MAX + 1))
    except OSError as error:
        raise InvalidSetting("token", str(path), f"cannot be read: {error.strerror}") from error


def main(configuration: Configuration[MinionOptions], start: Start) -> int:
    """Run a minion until SIGTERM or SIGINT; return the exit code.

    Raises:
        SylviteError: it could not start.
    """
    told = broker.options_of(configuration.options, start.ready_fd)
    return broker.main(told, lambda socket: _beside(configuration, start, socket), configuration)


@asynccontextmanager
async def _beside(configuration: Configuration[MinionOptions], start: Start, socket: Path) -> AsyncGenerator[None]:
    # Jobs are taken before the master can send any.
    async with running_jobs(configuration, socket), _linked(configuration.options, start, socket):
        yield


def _is_alone(options: MinionOptions) -> bool:
    is_local = options.file_client == "local" and not options.use_master_when_local
    return options.master_type == "disable" or is_local


@asynccontextmanager
async def _linked(options: MinionOptions, start: Start, socket: Path) -> AsyncGenerator[None]:
    if _is_alone(options):
        logger.info("no master: events stay on this machine")
        yield
        return
    masters = master_addresses(options)
    with KeyFolder(options.pki_dir, make=True) as folder:
        pair, is_new = load_or_make_pair(folder, "minion")
    known = KnownMasters(options.pki_dir)
    pins = known.pins(options.master_finger, start.token, trust_first=start.trust_first)
    logger.info("minion %s has the key %s%s", options.id, pair.fingerprint, ", made now" if is_new else "")
    async with AsyncClient.connect(socket, name=f"minion:{options.id}") as bus:
        greeting = _Greeting(options, bus)
        end = MinionEnd(
            bus, pair, options.id, masters, pins, token=start.token, wait_s=options.acceptance_wait_time_s,
            keep_pins=known.keep, on_up=greeting.say,
        )  # fmt: skip
        await end.start()
        try:
            yield
        finally:
            await greeting.stop()
            await end.stop()


class _Greeting:
    """The events that say that a minion is there: each time a master has let it in (spec/salt-events.md 3.2)."""

    def __init__(self, options: MinionOptions, bus: AsyncClient) -> None:
        self._options, self._bus = options, bus
        self._tasks: set[asyncio.Task[None]] = set()

    def say(self) -> None:
        task = asyncio.create_task(self._publish(), name="minion: start events")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _publish(self) -> None:
        id_ = self._options.id
        text = f"Minion {id_} started at {time.asctime()}"
        tags = ["minion_start"] if self._options.enable_legacy_startup_events else []
        try:
            for tag in (*tags, f"salt/minion/{id_}/start"):
                await self._bus.publish(OUTBOX_TAG, {"tag": tag, "data": text, "events": None, "pretag": None})
        except SylviteError as error:
            logger.error("the start could not be told to the master: %s", error)
