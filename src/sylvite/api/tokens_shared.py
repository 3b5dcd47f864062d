"""Tokens of all masters: one that was made on any counts on all, one that was taken back on any counts on none.

What travels is what is kept of a token, its hash, never the secret.  Of each there is a record in the bucket of what masters share
(cluster/shared.py); of two the one counts that says it was taken back.  Links of the console stay where they were made.

tokens_shared.db    which tokens this master knows to be shared: one of them that is in tokens.db no more was taken back here
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import msgspec

from sylvite.api.tokens import LIFE_S_MAX, NoSuchToken, TokenCopy, TokenStore
from sylvite.cluster.ending import first_to_end
from sylvite.cluster.joined import Joined
from sylvite.cluster.shared import Shared
from sylvite.errors import InvalidInput
from sylvite.jobs.database import Kind, failures, open_to_write, transaction

NAME = "tokens_shared.db"
PART = "tokens"
LOOK_S = 0.25
AT_ONCE = 256
UNTIL_NS_MAX = int((LIFE_S_MAX + 86_400.0) * 1e9)
"""No token lives for longer; clocks may differ by a day."""
_KIND = Kind(
    application=0x53595453,  # "SYTS"
    version=1,
    schema="CREATE TABLE known (id TEXT PRIMARY KEY, until_ns INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;",
    cure="stop the master and move it away: what was taken back elsewhere is taken back here again",
)

P = ParamSpec("P")
R = TypeVar("R")
logger = logging.getLogger("sylvite.cluster.tokens")


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What a master tells of a token.  `copy`: nothing where it was taken back."""

    until_ns: int
    copy: TokenCopy | None


encode: Callable[[Told], bytes] = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Told)


def decode(value: bytes) -> Told:
    """Raises ValueError: it tells of no token."""
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it tells of no token: {error}") from error


def join(one: Told, other: Told) -> Told:
    """Return what two masters say together: it was taken back, where one of them says so."""
    if one.copy is None or other.copy is None:
        return Told(max(one.until_ns, other.until_ns), None)
    return max(one, other, key=lambda told: (told.until_ns, encode(told)))


class SharedTokens:
    """The tokens of one data directory, and what is known of all.  It belongs to one thread; each call may raise JobStoreFailed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._store = TokenStore(folder)
        self._has_looked = False
        try:
            self._file: sqlite3.Connection = open_to_write(self._path, _KIND)
            self._known = self._read()
        except BaseException:
            self._store.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        try:
            self._file.close()
        finally:
            self._store.close()

    def known(self) -> dict[str, Told]:
        """Return what is known to be shared, also of tokens that were taken back and would still count otherwise."""
        return dict(self._known)

    def look(self, now_ns: int) -> dict[str, Told]:
        """Note what was made and taken back here since the last time; return that."""
        if not self._store.refresh() and self._has_looked:
            return {}
        self._has_looked = True
        copies, there = self._store.copies(now_ns), self._store.ids()
        changed = {id_: Told(copy.until_ns, copy) for id_, copy in copies.items() if id_ not in self._known}
        for id_, told in self._known.items():
            if told.copy is None and id_ in there:
                self._take_back(id_)  # We have stopped before that was done.
            elif told.copy is not None and id_ not in there and told.until_ns > now_ns:
                changed[id_] = Told(told.until_ns, None)
        self.note(changed, [id_ for id_, told in self._known.items() if told.until_ns <= now_ns])
        return changed

    def take(self, incoming: Mapping[str, Told], now_ns: int) -> dict[str, Told]:
        """Take in what other masters tell; return what has changed by that, or before."""
        changed = self.look(now_ns)  # What was taken back here meanwhile stays so.
        for id_, told in incoming.items():
            known = self._known.get(id_)
            joined = told if known is None else join(known, told)
            if joined != known and now_ns < told.until_ns <= now_ns + UNTIL_NS_MAX and self._apply(id_, joined, now_ns):
                changed[id_] = joined
        return changed

    def _apply(self, id_: str, told: Told, now_ns: int) -> bool:
        """Whenever it is cut in between: what is known to count is there, and what is there and known not to, goes."""
        if told.copy is None:
            self.note({id_: told})
            self._take_back(id_)
            return True
        try:
            self._store.learn(id_, told.copy, now_ns)
        except InvalidInput as error:
            logger.warning("a token of another master does not count here: %s", error)
            return False
        self.note({id_: told})
        return True

    def _read(self) -> dict[str, Told]:
        with failures(self._path, _KIND):
            return {id_: decode(record) for id_, record in self._file.execute("SELECT id, record FROM known")}

    def _take_back(self, id_: str) -> None:
        try:
            self._store.revoke(id_)
        except NoSuchToken:
            pass  # It has never come here.

    def note(self, changed: Mapping[str, Told], over: Collection[str] = ()) -> None:
        """Keep what is known of these tokens, and forget others."""
        if not changed and not over:
            return
        with failures(self._path, _KIND), transaction(self._file):
            self._file.executemany("DELETE FROM known WHERE id = ?", [(id_,) for id_ in over])
            self._file.executemany(
                "REPLACE INTO known VALUES (?, ?, ?)",
                [(id_, told.until_ns, encode(told)) for id_, told in changed.items()],
            )
        for id_ in over:
            self._known.pop(id_, None)
        self._known.update(changed)


class Tokens:
    """`folder`: the data of the master.  `share`: for cluster/sharing.py."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def share(self, shared: Shared) -> None:
        """Share until it is cancelled.  Raises SylviteError: the files or the servers fail."""
        with ThreadPoolExecutor(1, "tokens") as thread:
            await _Round(self._folder, shared, thread).run()


class _Round:
    """From one beginning to its end."""

    def __init__(self, folder: Path, shared: Shared, thread: ThreadPoolExecutor) -> None:
        self._folder, self._shared, self._thread = folder, shared, thread
        self._tokens: SharedTokens
        self._told = Joined(shared.node, PART, decode, encode, join)
        self._wakes = asyncio.Event()
        self._ours: dict[str, Told] = {}
        self._out: set[str] = set()

    async def run(self) -> None:
        self._tokens = await self._do(partial(SharedTokens, self._folder))
        try:
            self._ours = await self._do(self._tokens.known)
            await first_to_end(self._watch(), self._work(), name="cluster: tokens")
        finally:
            await asyncio.shield(self._do(self._tokens.close))

    async def _do(self, do: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(do, *given, **named))

    async def _watch(self) -> None:
        async with aclosing(self._shared.watch(PART, self._told.begin)) as entries:
            async for entry in entries:
                self._told.see(entry)
                self._wakes.set()

    async def _work(self) -> None:
        while True:
            self._wakes.clear()
            now_ns = time.time_ns()
            while incoming := self._told.take(AT_ONCE):
                self._changed(await self._do(self._tokens.take, incoming, now_ns))
                self._out.update(incoming)
            self._changed(await self._do(self._tokens.look, now_ns))
            if self._told.is_whole:
                await self._put(now_ns)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wakes.wait()
            except TimeoutError:
                pass

    def _changed(self, changed: Mapping[str, Told]) -> None:
        self._ours.update(changed)
        self._out.update(changed)

    async def _put(self, now_ns: int) -> None:
        """Write what the bucket lacks; take away what counts no more anyway."""
        if self._told.has_just_ended():
            self._out.update(self._ours)
        self._out.update(self._told.lacking())
        for id_ in [id_ for id_, told in self._ours.items() if told.until_ns <= now_ns]:
            del self._ours[id_]
        there = self._told.there
        self._out = {id_ for id_ in self._out if id_ in self._ours and self._ours[id_] != there.get(id_)}
        if await self._told.put(self._shared, self._ours, sorted(self._out)):
            self._out.clear()
            over = [id_ for id_ in sorted(self._told.mine) if there[id_].until_ns <= now_ns]
            await self._told.delete(self._shared, over)
