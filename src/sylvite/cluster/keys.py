"""Keys: what this master's keyring and those of the others say of minions becomes the same.

keys    in the bucket (shared.py): what was decided of each id, by whoever knows it best (auth/shared_keys.py says how two agree)
asks    the keys that wait at each master
The keyring is this master's own and is used by others meanwhile, who need no cluster for that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from sylvite.auth import shared_keys
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_sharing import SharedKeyring, Waiting
from sylvite.auth.shared_keys import Record
from sylvite.cluster.ending import first_to_end
from sylvite.cluster.joined import Joined
from sylvite.cluster.shared import Entry, Shared

KEYS, ASKS = "keys", "asks"
LOOK_S = 0.25
AT_ONCE = 256
"""So many ids are taken in by one transaction."""
BUSY = 4.0
"""How much longer than a look at the keyring the pause behind it is, at least."""

P = ParamSpec("P")
R = TypeVar("R")
_decode_waiting = msgspec.msgpack.Decoder(Waiting).decode
_encode = msgspec.msgpack.Encoder().encode

logger = logging.getLogger("sylvite.cluster.keys")


class Keys:
    """`folder`: of the keyring.  `share`: for sharing.py."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def share(self, shared: Shared) -> None:
        """Share until it is cancelled.  Raises SylviteError: the keyring or the servers fail."""
        thread = ThreadPoolExecutor(1, "keys")
        try:
            await _Round(self._folder, shared, thread).run()
        finally:
            thread.shutdown(wait=False)


class _Round:
    """From one beginning to its end.  The thread has the keyring, for each of its calls waits for the disk."""

    def __init__(self, folder: Path, shared: Shared, thread: ThreadPoolExecutor) -> None:
        self._folder, self._shared, self._thread = folder, shared, thread
        self._keyring: SharedKeyring
        self._wakes = asyncio.Event()
        self._ours: dict[str, Record] = {}
        self._look_at_s = 0.0
        self._due: frozenset[str] = frozenset()
        self._said: Mapping[str, Waiting] = {}
        self._out: set[str] = set()
        self._records = Joined(shared.node, KEYS, shared_keys.decode, shared_keys.encode, shared_keys.join)
        self._waiting = _Asks()

    async def run(self) -> None:
        opened = await self._do(partial(Keyring.open, self._folder, make=True))
        try:
            self._keyring = SharedKeyring(opened, self._shared.node)
            self._ours = await self._do(self._keyring.known)
            await first_to_end(
                self._watch(KEYS, self._records), self._watch(ASKS, self._waiting), self._work(), name="cluster: keys"
            )
        finally:
            await asyncio.shield(self._do(opened.close))

    async def _do(self, do: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(do, *given, **named))

    async def _watch(self, part: str, seen: Joined[Record] | _Asks) -> None:
        async with aclosing(self._shared.watch(part, seen.begin)) as entries:
            async for entry in entries:
                seen.see(entry)
                self._wakes.set()

    async def _work(self) -> None:
        while True:
            self._wakes.clear()
            await self._take_records()
            await self._take_asks()
            if time.monotonic() >= self._look_at_s:
                await self._look()
                await self._put()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wakes.wait()
            except TimeoutError:
                pass

    async def _look(self) -> None:
        """See what was changed here.  A pass over many keys takes its time; the bridge has other things to do as well."""
        began_s = time.monotonic()
        shown = await self._do(self._keyring.look)
        ended_s = time.monotonic()
        self._look_at_s = ended_s + BUSY * (ended_s - began_s)
        if shown is not None:
            self._ours.update(shown.records)
            self._out.update(shown.records)
            self._due, self._said = shown.due, shown.waiting

    # -- In ------------------------------------------------------------------------------------------------------------

    async def _take_records(self) -> None:
        while incoming := self._records.take(AT_ONCE):
            self._out.update(incoming)
            news = {id_: record for id_, record in incoming.items() if self._is_new(id_, record)}
            if news:
                changed = await self._do(self._keyring.take, news, time.time_ns())
                self._ours.update(changed)
                self._out.update(changed)

    def _is_new(self, id_: str, record: Record) -> bool:
        known = self._ours.get(id_)
        return known is None or shared_keys.join(known, record) != known

    async def _take_asks(self) -> None:
        for entry in self._waiting.take():
            if entry.node != self._shared.node:
                await self._do(self._keyring.take_waiting, entry.node, entry.item, _read_waiting(entry))
        if self._waiting.has_just_ended():
            for node, id_ in await self._do(self._keyring.learned):
                if (node, id_) not in self._waiting.values:
                    await self._do(self._keyring.take_waiting, node, id_, Waiting())

    # -- Out -----------------------------------------------------------------------------------------------------------

    async def _put(self) -> None:
        """Write what the bucket lacks, once we know what is in it."""
        if self._records.is_whole:
            if self._records.has_just_ended():
                self._out.update(self._ours)
            self._out.update(self._records.lacking())
            await self._put_records()
        if self._waiting.is_whole:
            await self._put_asks()

    async def _put_records(self) -> None:
        there = self._records.there
        self._out = {id_ for id_ in self._out if id_ in self._ours and self._ours[id_] != there.get(id_)}
        if await self._records.put(self._shared, self._ours, sorted(self._out - self._due)):
            self._out &= self._due

    async def _put_asks(self) -> None:
        node, there = self._shared.node, self._waiting.values
        asks = {(node, id_): _encode(found) for id_, found in self._said.items()}
        began = self._waiting.began
        for place in [place for place, value in asks.items() if there.get(place) != value]:
            await self._shared.put(ASKS, place[1], asks[place])
            if self._waiting.began != began:
                return
            there[place] = asks[place]
        for place in [place for place in there if place[0] == node and place not in asks]:
            await self._shared.delete(ASKS, place[1])
            there.pop(place, None)


class _Asks:
    """`values`: what each master says of the keys that wait there, by master and id.  `is_whole`: we know all of it."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], bytes] = {}
        self.began = 0
        self.is_whole = False
        self._has_ended = False
        self._new: dict[tuple[str, str], Entry] = {}

    def begin(self) -> None:
        self.values.clear()
        self._new.clear()
        self.began += 1
        self.is_whole = self._has_ended = False

    def see(self, entry: Entry | None) -> None:
        if entry is None:
            self.is_whole = self._has_ended = True
            return
        place = (entry.node, entry.item)
        if entry.value is None:
            self.values.pop(place, None)
        else:
            self.values[place] = entry.value
        self._new[place] = entry

    def take(self) -> list[Entry]:
        """Return what has come since it was taken."""
        new, self._new = self._new, {}
        return list(new.values())

    def has_just_ended(self) -> bool:
        ended, self._has_ended = self._has_ended, False
        return ended


def _read_waiting(entry: Entry) -> Waiting:
    try:
        return Waiting() if entry.value is None else _decode_waiting(entry.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        logger.warning("which keys wait at %s cannot be read: %s", entry.node, error)
        return Waiting()
