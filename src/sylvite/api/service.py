"""Service: what all entries of the interface share, and what is looked after while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from sylvite.api.access import Access, Caller
from sylvite.api.counts import Counts
from sylvite.api.crowd import Crowd
from sylvite.api.hooks import Hooks
from sylvite.api.problems import NotFound
from sylvite.api.publishing import Publishing
from sylvite.api.reading import Reading
from sylvite.api.streaming import Streams
from sylvite.api.tail import Tail
from sylvite.api.tokens import LOOK_S, TokenStore
from sylvite.api.turns import Turns
from sylvite.client.async_client import AsyncClient
from sylvite.client.start import Since
from sylvite.core.pattern import Filter
from sylvite.daemons.options.rest import RestCherrypy
from sylvite.errors import SylviteError
from sylvite.jobs.client_core import KEYS, JobCore, MasterPlace

logger = logging.getLogger("sylvite.api")


class Service:
    """`place`: of the master that the bus belongs to; of a broker alone there are no keys, no minions and no jobs there."""

    def __init__(self, bus: AsyncClient, tokens: TokenStore, place: MasterPlace, limits: RestCherrypy) -> None:
        self.bus, self.place = bus, place
        # One for all requests: it makes job ids, of which no two are the same.
        self.jobs = JobCore(place)
        self.crowd = Crowd(limits.connections_per_address, limits.connections_per_token)
        self.access = Access(tokens, limits, self.crowd)
        self.publishing = Publishing(bus)
        self.tail = Tail(bus)
        self.turns = Turns(limits.replay_bytes_per_s, limits.histories_per_token)
        self.streams = Streams(limits.streams_per_token)
        self.counts = Counts()
        self.hooks = Hooks(bus)

    @property
    def keys(self) -> Path:
        """Where the keys of minions are.  Raises NotFound: the bus is of no master."""
        folder = self.place.data_dir / KEYS
        if not folder.is_dir():
            raise NotFound("this bus is of no master: there are no keys of minions, and nobody to run a job")
        return folder

    def reading(self, caller: Caller, wanted: Filter, since: Since = None) -> Reading:
        """Return a way through the history for one who calls.  Raises InvalidPattern."""
        return Reading(self.bus, self.tail, self.turns, caller, wanted, since)

    async def look_after(self) -> None:
        """End streams whose token was revoked or has run out, within a second."""
        tokens = self.access.tokens
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                tokens.refresh()
            except SylviteError as error:
                # Those that are known go on: a disk that cannot be read for the moment must not log everybody out.
                logger.error("the tokens cannot be looked at: %s", error)
            self.end_streams()

    def end_streams(self) -> None:
        """End those whose token does not count any more; whoever has just revoked one need not wait for the next look."""
        self.streams.check(partial(self.access.tokens.still_counts, now_ns=time.time_ns()))


@asynccontextmanager
async def serving(place: MasterPlace, limits: RestCherrypy) -> AsyncGenerator[Service]:
    """Connect to the bus and open the tokens.

    Raises:
        SylviteError: there is no bus, or the tokens cannot be used.
    """
    with TokenStore(place.data_dir) as tokens:
        async with AsyncClient.connect(place.socket, name="api") as bus:
            service = Service(bus, tokens, place, limits)
            looking = asyncio.create_task(service.look_after(), name="api: tokens")
            try:
                yield service
            finally:
                service.hooks.close()
                looking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await looking
