"""Presence of all masters' minions, told once: by the one whose bridge has the lease `presence`.  Decisions: link/told.py."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from sylvite.client.async_client import AsyncClient
from sylvite.cluster.leases import Lease, Leases
from sylvite.cluster.shared import Shared
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.shared_minions import SharedMinions
from sylvite.errors import LeaseLost
from sylvite.jobs.minions import STARTED_ANEW, STOPPED
from sylvite.link.presence import Change
from sylvite.link.told import CHANGE, PRESENT, Told

LEASE = "presence"
LOOK_S = 0.5
BACK_S = 60.0
"""And three times as long as it takes from one `present` to the next: so far back the last one is looked for first."""
FAR_BACK = "24h"
logger = logging.getLogger("sylvite.cluster.presence")


class SharedPresence:
    """`configuration`: says whether presence is told at all, and how often; it may change."""

    def __init__(self, bus: AsyncClient, configuration: Configuration[MasterOptions], minions: SharedMinions) -> None:
        self._bus, self._configuration, self._minions = bus, configuration, minions

    async def share(self, shared: Shared) -> None:
        """Tell while the lease is ours, until this is cancelled.  Raises SylviteError: begin anew."""
        leases = Leases(shared.connection)
        while True:
            if self._is_wanted and self._minions.knows_all.is_set():
                async with leases.hold(LEASE) as lease:
                    await self._compete(lease)
            await asyncio.sleep(LOOK_S)

    @property
    def _is_wanted(self) -> bool:
        return self._configuration.options.presence_events

    async def _compete(self, lease: Lease) -> None:
        while self._is_wanted:
            try:
                lease.fence()
                await self._tell(lease)
            except LeaseLost:
                await asyncio.sleep(LOOK_S)

    async def _tell(self, lease: Lease) -> None:
        """Raises LeaseLost: another master tells from now on."""
        told = await self._read_back()
        next_s = 0.0
        logger.info("this master tells who is present from now on")
        while self._is_wanted:
            now_s = time.monotonic()
            if (change := self._look(told, now_s)) is not None:
                await self._publish(lease, CHANGE, {"new": change.new, "lost": change.lost})
            if now_s >= next_s:
                next_s = now_s + self._configuration.options.loop_interval_s
                await self._publish(lease, PRESENT, {"present": told.present()})
            await asyncio.sleep(LOOK_S)

    def _look(self, told: Told, now_s: float) -> Change | None:
        if not self._minions.knows_all.is_set():
            return None
        records = self._minions.everybody().values()
        here = {record.id for record in records if record.is_present}
        # Of a link that was stopped, or a master that has said goodbye: it may be back in a moment, and they with it.
        expected = {
            record.id
            for record in records
            if not record.is_present
            and (record.reason in (STARTED_ANEW, STOPPED) or self._minions.others.has_left(record.master))
        }
        return told.look(here, expected, now_s)

    async def _publish(self, lease: Lease, tag: str, data: dict[str, Any]) -> None:
        lease.fence()
        await self._bus.publish(tag, data)

    async def _read_back(self) -> Told:
        """Return what was told last, by whichever master: the log has it."""
        told = Told()
        for since in (f"{3 * self._configuration.options.loop_interval_s + BACK_S:.0f}s", FAR_BACK):
            events = await self._bus.subscribe(
                exact=(CHANGE, PRESENT), since=since, until_end=True, on_gap=lambda _: None
            )
            async for event in events:
                told.hear(event.tag, event.data)
            if told.is_known:
                break
        return told
