"""The minions of all masters: what `minions.db` says goes to the others, and what they say into `others.db`.  Decisions: cluster/minions.py.

It runs in the process of the bridge.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from nats.aio.msg import Msg

from sylvite.cluster import words
from sylvite.cluster.ending import end_all, first_to_end
from sylvite.cluster.minions import GRAINS, PRESENCE, SO_IT_IS, Changes, Others, Ours, encode_grains, encode_record
from sylvite.cluster.shared import Shared
from sylvite.cluster.stream import node_of, say_subject
from sylvite.errors import SylviteError
from sylvite.jobs import others as others_file
from sylvite.jobs.known_minions import merge
from sylvite.jobs.minions import FILE, MinionReader, MinionRecord, read_minions
from sylvite.jobs.others import Grains, Key, OthersStore, open_others

LOOK_S = 0.3
BEAT_S = 5.0
"""So often it is written that we go on, also where nothing has changed."""
SAY_SO_S = 10.0
"""So often it is said that what is there of ours is so: who has not heard it, waits no longer."""
AGAIN_S = 2.0
PUTS_AT_ONCE = 32
T = TypeVar("T")
logger = logging.getLogger("sylvite.cluster.minions")


class SharedMinions:
    """Made by `open`; `run` and `share` do it, in tasks of their own.  `knows_all`: set while it is known what all others say."""

    def __init__(self, folder: Path, node: str) -> None:
        self.node = node
        self.knows_all = asyncio.Event()
        self.others = Others(node, (), time.monotonic())
        self._thread = ThreadPoolExecutor(1, "minions")
        self._own = _OwnFile(folder / FILE)
        self._records: list[MinionRecord] = []
        self._everybody: tuple[list[MinionRecord], int, dict[str, MinionRecord]] = ([], -1, {})
        self._unwritten: list[Changes] = []
        self._beat_s = 0.0
        self._masters: list[str] = []
        self._store: OthersStore

    @classmethod
    async def open(cls, folder: Path, node: str) -> Self:
        """`folder`: of the data of the master.

        Raises:
            JobStoreFailed, JobStoreInUse, DiskFull: the file cannot be used.
        """
        found = cls(folder, node)
        try:
            found._store = await found._do(lambda: open_others(folder / others_file.FILE))
            found.others = Others(node, await found._do(found._store.records), time.monotonic())
        except BaseException:
            found._thread.shutdown()
            raise
        return found

    async def close(self) -> None:
        await self._do(self._own.close)
        await self._do(self._store.close)
        self._thread.shutdown()

    def everybody(self) -> dict[str, MinionRecord]:
        """Return one record for each minion of all masters, by id."""
        own, version, _ = self._everybody
        if own is not self._records or version != self.others.version:
            found = merge([*self._records, *self.others.records(time.time_ns())])
            self._everybody = self._records, self.others.version, found
        return self._everybody[2]

    # -- This master's files -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read and write the files until it is cancelled, also while we are not connected."""
        while True:
            self.others.look(time.monotonic())
            try:
                self._records = await self._do(self._own.records)
                await self._write()
            except SylviteError as error:
                logger.error("what other masters say of minions could not be written yet: %s", error)
                await asyncio.sleep(AGAIN_S)
            except Exception:
                # The bridge goes on without it.
                logger.exception("the files of minions could not be looked after")
                await asyncio.sleep(AGAIN_S)
            await asyncio.sleep(LOOK_S)

    async def _write(self) -> None:
        now_ns, now_s, masters = time.time_ns(), time.monotonic(), self.others.masters()
        changes = self.others.take_changes(now_ns)
        if any(changes):
            self._unwritten.append(changes)
        if not self._unwritten and masters == self._masters and now_s < self._beat_s:
            return
        await self._do(lambda: _write_all(self._store, self._unwritten, masters, now_ns))
        self._unwritten.clear()
        self._masters, self._beat_s = masters, now_s + BEAT_S

    async def _do(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # -- The others --------------------------------------------------------------------------------------------------

    async def share(self, shared: Shared) -> None:
        """Share while a connection lasts: until it is cancelled.  Raises ClusterError."""
        ours, connection = Ours(), shared.connection
        complete = {PRESENCE: self.knows_all, GRAINS: asyncio.Event()}
        with connection.asking("listening to other masters"):
            self.others.connected(time.monotonic())
            said = await connection.nats.subscribe(say_subject(connection.settings), cb=self._heard)  # type: ignore[reportUnknownMemberType] - nats-py leaves a type in it open
        work = [self._watch(shared, part, ours, done) for part, done in complete.items()]
        work.append(self._put_all(shared, ours, complete.values()))
        try:
            await first_to_end(*work, name="cluster: minions")
        finally:
            self.knows_all.clear()
            self.others.parted()
            if not connection.nats.is_closed:
                await said.unsubscribe()

    async def _heard(self, message: Msg) -> None:
        word = words.decode(message.data)
        if isinstance(word, words.At):
            self.others.hear(node_of(message.subject), time.monotonic(), leaving=word.leaving)

    async def _watch(self, shared: Shared, part: str, ours: Ours, complete: asyncio.Event) -> None:
        """Take what all say; what is not said by the time that all of it was, nobody says."""
        seen: set[Key] = set()

        def began() -> None:
            seen.clear()
            complete.clear()
            ours.forget(part)

        async with aclosing(shared.watch(part, began)) as entries:
            async for entry in entries:
                if entry is None:
                    if part == PRESENCE:
                        self.others.keep_only(seen)
                    complete.set()
                elif entry.node == self.node and entry.item != SO_IT_IS:
                    ours.take(part, entry.item, entry.value)
                else:
                    self.others.take(part, entry)
                    if not complete.is_set():
                        seen.add((entry.node, entry.item))

    async def _put_all(self, shared: Shared, ours: Ours, complete: Iterable[asyncio.Event]) -> None:
        """Put what the others are to know of ours, as it changes.  Raises ClusterError."""
        turns = asyncio.Semaphore(PUTS_AT_ONCE)

        async def put(part: str, item: str, value: bytes | None) -> None:
            forgotten = ours.forgotten
            await (shared.delete(part, item) if value is None else shared.put(part, item, value))
            if forgotten == ours.forgotten:
                ours.take(part, item, value)

        async def put_record(record: MinionRecord) -> None:
            async with turns:
                await put(PRESENCE, record.id, encode_record(record))

        async def put_grains(minion: str) -> None:
            async with turns:
                if (grains := await self._do(lambda: self._own.grains_of(minion))) is not None:
                    await put(GRAINS, minion, encode_grains(grains))

        done: tuple[list[MinionRecord], int] = ([], -1)
        said = (-1, 0.0)
        while True:
            for event in complete:
                await event.wait()
            records, version, forgotten, now_s = self._records, ours.version, ours.forgotten, time.monotonic()
            if records is not done[0] or version != done[1]:
                done = records, version
                await _all(put_record(record) for record in ours.differing(records))
                await _all(put(part, item, None) for part, item in ours.superfluous(records))
                await _all(put_grains(minion) for minion in ours.without_grains(records))
            if forgotten != said[0] or now_s - said[1] > SAY_SO_S:
                await shared.put(PRESENCE, SO_IT_IS, b"")
                said = forgotten, now_s
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def sharing_minions(folder: Path, node: str) -> AsyncGenerator[SharedMinions]:
    """Have the files looked after while this lasts.  Raises: as `SharedMinions.open`."""
    minions = await SharedMinions.open(folder, node)
    task = asyncio.create_task(minions.run(), name="cluster: files of minions")
    try:
        yield minions
    finally:
        await end_all((task,))
        await minions.close()


class _OwnFile:
    """`minions.db`, which the link makes and writes; read again where it has changed, or is another one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: MinionReader | None = None
        self._inode = self._version = 0
        self._records: list[MinionRecord] = []

    def records(self) -> list[MinionRecord]:
        """Return what it says; as before where it cannot be read."""
        try:
            inode = self._path.stat().st_ino
            if self._reader is None or inode != self._inode:
                self.close()
                self._reader, self._inode, self._version = read_minions(self._path), inode, 0
            version = self._reader.version()
            if version != self._version:
                self._records, self._version = self._reader.records(), version
        except (OSError, SylviteError) as error:
            logger.debug("what this master knows of minions cannot be read: %s", error)
        return self._records

    def grains_of(self, minion: str) -> Grains | None:
        """Return the grains of a minion; None where there are none, or they cannot be read at the moment."""
        try:
            found = None if self._reader is None else self._reader.packed_grains_of(minion)
        except SylviteError as error:
            logger.debug("the grains of %s cannot be read: %s", minion, error)
            return None
        return None if found is None else Grains(*found)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _write_all(store: OthersStore, all_changes: list[Changes], masters: list[str], now_ns: int) -> None:
    for changes in all_changes or [Changes([], [], [])]:
        store.write(*changes, masters, now_ns)


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it; raise the first error once all has ended."""
    for found in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(found, BaseException):
            raise found
