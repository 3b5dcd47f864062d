"""Roll: who is here and what is known of them: kept in `minions.db`, and told as events of presence."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sylvite.core.event import unpack_data
from sylvite.errors import EventTooBig, InvalidData, SylviteError
from sylvite.jobs.minions import STOPPED, MinionStore, open_minions
from sylvite.link.herald import Herald
from sylvite.link.presence import Presence
from sylvite.link.settings import LinkSettings

WRITE_EVERY_S = 0.2
"""News of so long are written, and told, together."""
NOTES_MAX = 200_000
"""That wait to be written, while the disk fails."""
NOT_BACK = "it has not come back since the link was started"
R = TypeVar("R")
Note = Callable[[MinionStore], object]
logger = logging.getLogger("sylvite.link")


class Roll:
    """Made by `Roll.open`; `run` writes and tells; closed at the end.  The file is written in a thread."""

    def __init__(self, herald: Herald, settings: LinkSettings) -> None:
        self.settings = settings
        self.has_more_to_forget = True
        self._herald = herald
        self._thread = ThreadPoolExecutor(1, "roll")
        self._presence = Presence((), time.monotonic())
        self._notes: list[Note] = []
        self._facts: dict[str, bytes] = {}
        self._gone: dict[str, tuple[str, int]] = {}
        """Why and when those have left that may be back in a moment."""
        self._store: MinionStore

    @classmethod
    async def open(cls, path: Path, herald: Herald, settings: LinkSettings) -> Roll:
        """Raises JobStoreFailed, JobStoreInUse: the file cannot be used; it is left as it is."""
        roll = cls(herald, settings)
        try:
            before = await roll._do(lambda: roll._open(path))
        except BaseException:
            roll._thread.shutdown()
            raise
        roll._presence = Presence(before, time.monotonic())
        return roll

    def _open(self, path: Path) -> list[str]:
        """Return who was here when the link last ran: they are expected back."""
        self._store = open_minions(path)
        self._store.all_left(time.time_ns())
        return self._store.awaited()

    async def close(self) -> None:
        """Write what is to be written; nobody is told that they are lost: they come back when the link does."""
        self._notes.append(lambda store: store.all_left(time.time_ns(), STOPPED))
        await self._write()
        await self._do(self._store.close)
        self._thread.shutdown()

    # -- News --------------------------------------------------------------------------------------------------------

    def came(self, minion: str, address: str) -> None:
        now_ns = time.time_ns()
        self._presence.came(minion)
        self._gone.pop(minion, None)
        self._notes.append(lambda store: store.came(minion, address, now_ns))

    def left(self, minion: str, reason: str) -> None:
        now_ns = time.time_ns()
        if self._presence.left(minion, time.monotonic()):
            # Written when it is told: a link that is killed in between then expects it back, and tells it lost.
            self._gone[minion] = (reason, now_ns)
        else:
            self._notes.append(lambda store: store.left(minion, reason, now_ns))

    def keep_facts(self, minion: str, packed: bytes) -> None:
        """Keep a minion's grains.  Of one that sends some again at once, the latest count."""
        if self.settings.minion_data_cache:
            self._facts[minion] = packed

    def keep_only(self, holders: frozenset[str]) -> None:
        """Forget minions that have no accepted key any more.

        One that is here is left for the next time: its session is about to end, or its key was accepted a moment ago.
        """
        self.has_more_to_forget = False

        def forget(store: MinionStore) -> None:
            others = [record for record in store.records() if record.id not in holders]
            self.has_more_to_forget = any(record.is_present for record in others)
            for record in others:
                if not record.is_present:
                    store.forget(record.id)

        self._notes.append(forget)

    # -- Work --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        next_s = 0.0
        while True:
            self._tell_changes()
            if (now_s := time.monotonic()) >= next_s:
                next_s = now_s + self.settings.loop_interval_s
                if self.settings.presence_events:
                    self._herald.tell("salt/presence/present", {"present": self._presence.present()})
            await self._write()
            await asyncio.sleep(WRITE_EVERY_S)

    def _tell_changes(self) -> None:
        change = self._presence.take(time.monotonic())
        if change is None:
            return
        for minion in change.lost:
            self._notes.append(self._note_of_lost(minion))
        if self.settings.presence_events:
            self._herald.tell("salt/presence/change", {"new": change.new, "lost": change.lost})

    def _note_of_lost(self, minion: str) -> Note:
        if (gone := self._gone.pop(minion, None)) is None:
            now_ns = time.time_ns()
            return lambda store: store.given_up(minion, NOT_BACK, now_ns)
        reason, at_ns = gone
        return lambda store: store.left(minion, reason, at_ns)

    async def _write(self) -> None:
        notes, self._notes = self._notes, []
        facts, self._facts = self._facts, {}
        if not (notes or facts):
            return
        try:
            kept = await self._do(lambda: self._keep(notes, facts))
        except SylviteError as error:
            logger.error("what is known of minions could not be written yet: %s", error)
            self._notes = (notes + self._notes)[:NOTES_MAX]
            self._facts = facts | self._facts
            return
        if self.settings.minion_data_cache_events:
            for minion in kept:
                self._herald.tell(f"minion/refresh/{minion}", {"Minion data cache refresh": minion})

    def _keep(self, notes: list[Note], facts: dict[str, bytes]) -> list[str]:
        """Return the minions whose grains were kept."""
        kept: list[str] = []
        now_ns = time.time_ns()
        with self._store.together():
            for note in notes:
                note(self._store)
            for minion, packed in facts.items():
                try:
                    # Whose grains they are, the channel says: a target may ask for this one.
                    self._store.keep_grains(minion, {**unpack_data(packed), "id": minion}, now_ns)
                except (InvalidData, EventTooBig) as error:
                    logger.warning("the grains of %s are not kept: %s", minion, error)
                    continue
                kept.append(minion)
        return kept

    async def _do(self, call: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
