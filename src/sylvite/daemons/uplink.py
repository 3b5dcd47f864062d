"""The uplink of a minion, beside its broker: the way to its master, and what it tells of itself there."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sylvite.auth import rollover
from sylvite.auth.enrolment import Token
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair, load_pair, private_name
from sylvite.auth.keyring_values import NotAccepted
from sylvite.auth.keys import KeyPair
from sylvite.client.async_client import AsyncClient
from sylvite.core.event import pack_data
from sylvite.core.known_tags import OUTBOX
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.masters import KnownMasters
from sylvite.daemons.options.computing import master_addresses
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.opts import make_opts
from sylvite.errors import SylviteError
from sylvite.functions.data import plain
from sylvite.functions.grains_file import grains_of
from sylvite.link.minion_end import MinionEnd
from sylvite.link.patience import PatienceSettings

PAIR = "minion"
"""The name of its keys in `pki_dir`."""
LOOK_S = 1.0
REFRESH_TAGS = ("grains_refresh", "module_refresh")
logger = logging.getLogger("sylvite.minion")


class Uplink:
    """`given_up`: why the minion has stopped by itself, where it has."""

    def __init__(self, configuration: Configuration[MinionOptions], token: Token | None, *, trust_first: bool) -> None:
        self.given_up: SylviteError | None = None
        self._configuration = configuration
        self._token, self._trust_first = token, trust_first

    @asynccontextmanager
    async def running(self, socket: Path) -> AsyncGenerator[None]:
        """Keep the way to the master, from the bus with this socket.

        Raises:
            SylviteError: the keys, or what is known of masters, cannot be used.
        """
        options = self._configuration.options
        if _is_alone(options):
            logger.info("no master: events stay on this machine")
            yield
            return
        masters = master_addresses(options)
        if options.random_master:
            random.shuffle(masters)
        with KeyFolder(options.pki_dir, make=True) as folder:
            pair, is_new = load_or_make_pair(folder, PAIR)
        known = KnownMasters(options.pki_dir)
        pins = known.pins(options.master_finger, self._token, trust_first=self._trust_first)
        logger.info("minion %s has the key %s%s", options.id, pair.fingerprint, ", made now" if is_new else "")
        async with AsyncClient.connect(socket, name=f"minion:{options.id}") as bus:
            end = MinionEnd(
                bus, pair, options.id, masters, pins, token=self._token, patience=_patience(options),
                verdict_s=options.auth_timeout_s, keep_pins=known.keep, on_up=lambda: news.greet(),
                on_renewed=partial(_keep_renewed, options.pki_dir),
            )  # fmt: skip
            news = _News(self._configuration, bus, end)
            await news.start()
            await end.start()
            watching = [
                asyncio.create_task(self._watch(end, NotAccepted(pair.fingerprint, "rejected by its master"))),
                asyncio.create_task(_renew(end, options.pki_dir)),
            ]
            try:
                yield
            finally:
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)
                await news.stop()
                await end.stop()

    async def _watch(self, end: MinionEnd, error: SylviteError) -> None:
        await end.is_over.wait()
        self.given_up = end.stranger or error
        signal.raise_signal(signal.SIGTERM)  # In order, as if somebody had told it to.


async def _renew(end: MinionEnd, pki: Path) -> None:
    """Take up the key that `sylvite keys renew` has made."""
    name, seen = rollover.next_name(PAIR), False
    while True:
        is_there = (pki / private_name(name)).exists()
        if is_there and not seen:
            try:
                with KeyFolder(pki) as folder:
                    end.renew(load_pair(folder, name))
            except SylviteError as error:
                logger.error("the next key of this minion cannot be used: %s", error)
        seen = is_there
        await asyncio.sleep(LOOK_S)


def _keep_renewed(pki: Path, pair: KeyPair) -> None:
    try:
        with KeyFolder(pki) as folder:
            rollover.finish(folder, PAIR)
    except (OSError, SylviteError) as error:
        # The next start offers it again, and gets in with it.
        logger.error("the key %s is in use, and could not be put in its place: %s", pair.fingerprint, error)


def _is_alone(options: MinionOptions) -> bool:
    is_local = options.file_client == "local" and not options.use_master_when_local
    return options.master_type == "disable" or is_local


def _patience(options: MinionOptions) -> PatienceSettings:
    return PatienceSettings(
        recon_default_s=options.recon_default_s,
        recon_max_s=options.recon_max_s,
        recon_randomize=options.recon_randomize,
        acceptance_wait_time_s=options.acceptance_wait_time_s,
        acceptance_wait_time_max_s=options.acceptance_wait_time_max_s,
        rejected_retry=options.rejected_retry,
        wrong_master_retry=options.wrong_master_retry,
    )


class _News:
    """What a minion tells its master of itself: its grains, that it has started, that it lives (spec/salt-events.md 3.2)."""

    def __init__(self, configuration: Configuration[MinionOptions], bus: AsyncClient, end: MinionEnd) -> None:
        self._configuration, self._bus, self._end = configuration, bus, end
        self._grains: dict[str, Any] = {}
        self._are_known = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        refreshes = await self._bus.subscribe(exact=REFRESH_TAGS)

        async def listen() -> None:
            async for _ in refreshes:
                await self._collect()

        self._spawn(self._collect(), "grains")
        self._spawn(listen(), "refreshes")
        self._configuration.on_change(lambda _: self._spawn(self._collect(), "grains"))
        if self._configuration.options.ping_interval_s:
            self._spawn(self._ping(self._configuration.options.ping_interval_s), "pings")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def greet(self) -> None:
        """A master has let the minion in."""
        self._spawn(self._greet(), "start events")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"minion: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _collect(self) -> None:
        opts = make_opts(self._configuration.loaded)
        try:
            self._grains = await asyncio.to_thread(lambda: plain(grains_of(opts)))
            self._end.tell(pack_data(self._grains))
        except SylviteError as error:
            logger.error("the grains cannot be told to the master: %s", error)
        finally:
            self._are_known.set()

    async def _greet(self) -> None:
        options = self._configuration.options
        text = f"Minion {options.id} started at {time.asctime()}"
        event: dict[str, Any] = {"data": text, "events": None, "pretag": None}
        if options.start_event_grains:
            await self._are_known.wait()
            event["grains"] = {name: self._grains[name] for name in options.start_event_grains if name in self._grains}
        if options.enable_legacy_startup_events:
            await self._publish({"tag": "minion_start", **event})
        await self._publish({"tag": f"salt/minion/{options.id}/start", **event})

    async def _ping(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            # One that waits in the outbox would say that the minion lived then, and not that it does.
            if self._end.is_up:
                await self._publish({"tag": "minion_ping", "data": "ping", "events": None, "pretag": None})

    async def _publish(self, event: dict[str, Any]) -> None:
        try:
            await self._bus.publish(OUTBOX, event)
        except SylviteError as error:
            logger.error("%s could not be told to the master: %s", event["tag"], error)
