"""A storage in memory that can tear, fill up and fail at call n, and that can lose its power.

It keeps apart what a program sees (the kernel's memory) and what would survive: `sync` and `sync_folder` move the one
into the other, and `after_power_cut` returns a storage with only what was sure, and as much of the rest as a seed says.
`sylvite.testing.power_cut` enumerates what may be left, instead of drawing it.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, TypeVar

import msgspec

from sylvite.errors import LogInUse
from sylvite.eventlog.storage import File, Storage

SECTOR = 512
WRITE_CALLS = frozenset(
    {"create", "write", "reserve", "sync", "truncate", "make_folder", "rename", "remove", "sync_folder"}
)
"""The calls of a WatchedStorage that change something."""

Moment = Literal["before", "after"]
Result = TypeVar("Result")


class Watched(Protocol):
    """Runs a call, with the watch around it."""

    def __call__(self, call: str, run: Callable[[], Result]) -> Result: ...


class Fault(msgspec.Struct):
    """Fail the `at`-th call (from 1) named `call` (any call if None), once or from then on."""

    error: int
    at: int = 1
    call: str | None = None
    sticky: bool = False
    torn: bool = False
    """A failing write leaves its first half behind."""
    happened: int = 0


class Inode:
    """A file without its names: content as seen, content as it would survive, and the writes between them, in order."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.sure = bytearray()
        self.open_writes: list[tuple[int, bytes]] = []  # (position, bytes); position -1: truncate to len

    def copy(self) -> Inode:
        other = Inode()
        other.seen[:], other.sure[:], other.open_writes[:] = self.seen, self.sure, self.open_writes
        return other

    def sectors(self, sector: int) -> dict[int, list[int]]:
        """Return which open writes, by number, have touched which sectors."""
        touched: dict[int, list[int]] = {}
        for number, (position, written) in enumerate(self.open_writes):
            for at in _sectors_of(position, written, sector):
                touched.setdefault(at, []).append(number)
        return touched

    def survivor(self, sector: int, arrived: Mapping[int, int], *, cut: bool) -> bytes:
        """Return the content that a power cut leaves: each sector as it was after so many of its writes, the first ones.

        A later write to a sector carries what earlier ones put there: the kernel writes whole pages of what it holds.
        `cut`: truncations have arrived too.
        """
        content = bytearray(self.sure)
        done: Counter[int] = Counter()
        for position, written in self.open_writes:
            if position < 0:
                if cut:
                    del content[len(written) :]
                continue
            for at in _sectors_of(position, written, sector):
                done[at] += 1
                if done[at] > arrived.get(at, 0):
                    continue
                first, last = max(position, at * sector), min(position + len(written), (at + 1) * sector)
                if len(content) < first:
                    content.extend(bytes(first - len(content)))
                content[first:last] = written[first - position : last - position]
        return bytes(content)

    def sync(self, asked: Sequence[tuple[int, bytes]] | None = None) -> None:
        """Make sure of all writes, or of these."""
        # Only what is still to be written: what a failed sync has forgotten stays lost, although it can be read.
        names = None if asked is None else set(map(id, asked))
        still_open: list[tuple[int, bytes]] = []
        for write in self.open_writes:
            position, written = write
            if names is not None and id(write) not in names:
                still_open.append(write)
            elif position < 0:
                del self.sure[len(written) :]
            else:
                if len(self.sure) < position:
                    self.sure.extend(bytes(position - len(self.sure)))
                self.sure[position : position + len(written)] = written
        self.open_writes[:] = still_open


class HeldSyncs:
    """Syncs that were asked for, and take effect with `arrive`: for what was written before they were asked for."""

    def __init__(self) -> None:
        self._effects: list[Callable[[], None]] = []

    def hold(self, effect: Callable[[], None]) -> None:
        self._effects.append(effect)

    def arrive(self) -> None:
        """The disk has answered."""
        for effect in self._effects:
            effect()
        self._effects.clear()


class MemoryFile:
    def __init__(self, storage: MemoryStorage, inode: Inode) -> None:
        self._storage, self._inode = storage, inode
        self._closed = False

    def _call(self, name: str) -> Fault | None:
        if self._closed:
            raise OSError(errno.EBADF, "closed")
        return self._storage.call(name)

    def write_at(self, position: int, parts: Sequence[bytes]) -> None:
        content = b"".join(parts)
        try:
            self._call("write")
            self._storage.take_space(self._inode, position + len(content))
        except OSError:
            if self._storage.tears:
                self._put(position, content[: len(content) // 2])
            raise
        self._put(position, content)

    def _put(self, position: int, content: bytes) -> None:
        seen = self._inode.seen
        if len(seen) < position:
            seen.extend(bytes(position - len(seen)))
        seen[position : position + len(content)] = content
        self._inode.open_writes.append((position, content))

    def read_at(self, position: int, size: int) -> bytes:
        self._call("read")
        return bytes(self._inode.seen[position : position + size])

    def reserve(self, end: int) -> None:
        self._call("reserve")
        self._storage.take_space(self._inode, end)
        if end > len(self._inode.seen):
            self._put(len(self._inode.seen), bytes(end - len(self._inode.seen)))

    def sync(self) -> None:
        try:
            self._call("sync")
        except OSError:
            # What a kernel does after a failed fsync: the pages count as clean, and never reach the disk.
            self._storage.take_effect(self._inode.open_writes.clear)
            raise
        if self._storage.syncs:
            inode, asked = self._inode, list(self._inode.open_writes)
            self._storage.take_effect(lambda: inode.sync(asked))

    def truncate(self, size: int) -> None:
        self._call("truncate")
        del self._inode.seen[size:]
        self._inode.open_writes.append((-1, bytes(size)))

    def size(self) -> int:
        self._call("size")
        return len(self._inode.seen)

    def forget(self) -> None:
        self._call("forget")

    def close(self) -> None:
        self._closed = True


class MemoryStorage:
    """A folder in memory.  `capacity`: bytes that fit, None for no limit.

    `syncs` off is the negative control of every durability test: sync then does nothing, and says nothing.
    """

    def __init__(self, *, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        self.syncs = True
        self.tears = False
        self._names: dict[str, Inode] = {}
        self._sure_names: dict[str, Inode] = {}
        self._open_names: list[dict[str, Inode]] = []
        """The names after each change that is not synced."""
        self._locked = False
        self._on_call = 0
        self._held: HeldSyncs | None = None

    # -- Syncs that take time ----------------------------------------------------------------------------------------

    @contextmanager
    def hold_syncs(self) -> Generator[HeldSyncs]:
        """Let what is synced inside take effect later, as where another thread waits for the disk."""
        held = self._held = HeldSyncs()
        try:
            yield held
        finally:
            self._held = None

    def take_effect(self, effect: Callable[[], None]) -> None:
        """Of a sync: now, or when it is told to."""
        if self._held is None:
            effect()
        else:
            self._held.hold(effect)

    # -- Faults ------------------------------------------------------------------------------------------------------

    def call(self, name: str) -> Fault | None:
        self.calls[name] += 1
        self._on_call += 1
        for fault in self.faults:
            count = self._on_call if fault.call is None else self.calls[name]
            if fault.call not in (None, name) or count < fault.at:
                continue
            if fault.happened and not fault.sticky:
                continue
            fault.happened += 1
            self.tears = fault.torn
            raise OSError(fault.error, errno.errorcode.get(fault.error, "fault"))
        return None

    def fail(
        self, error: int, *, at: int = 1, call: str | None = None, sticky: bool = False, torn: bool = False
    ) -> Fault:
        """Fail the `at`-th call from now on; the Fault returned says whether it happened."""
        already = self._on_call if call is None else self.calls[call]
        fault = Fault(error, already + at, call, sticky, torn)
        self.faults.append(fault)
        return fault

    def take_space(self, inode: Inode, end: int) -> None:
        if self.capacity is None:
            return
        used = sum(len(other.seen) for other in set(self._names.values()) if other is not inode)
        if used + max(end, len(inode.seen)) > self.capacity:
            raise OSError(errno.ENOSPC, "no space")

    def after_power_cut(self, rng: random.Random, *, sector: int = SECTOR) -> MemoryStorage:
        """Return what a machine finds after its power was cut now.

        Of the writes that were not synced, any sectors may have arrived, in any order; of the changes of names, any
        number of the first ones.
        """
        names = rng.choice((self._sure_names, rng.choice((self._sure_names, *self._open_names)), self._names))
        return self.left_by_power_cut(names, {id(inode): _drawn(inode, rng, sector) for inode in names.values()})

    def names_that_may_survive(self) -> list[dict[str, Inode]]:
        """Return the names that are sure, and those after each change that is not synced, in order."""
        return [self._sure_names, *self._open_names]

    def left_by_power_cut(self, names: Mapping[str, Inode], left: Mapping[int, bytes]) -> MemoryStorage:
        """Return a storage of these names; `left`, by the id of a file, says what is left where not all was sure."""
        after = MemoryStorage(capacity=self.capacity)
        for name, inode in names.items():
            copy = Inode()
            copy.seen[:] = copy.sure[:] = left.get(id(inode), inode.sure)
            after._names[name] = copy
        after._sure_names = dict(after._names)
        return after

    def after_kill(self) -> MemoryStorage:
        """Return what the next process finds after this one was killed: everything that was written."""
        after = MemoryStorage(capacity=self.capacity)
        after._names, after._sure_names = dict(self._names), dict(self._sure_names)
        after._open_names = list(self._open_names)
        return after

    def copy(self) -> MemoryStorage:
        """Return another storage of the same content, synced or not."""
        other = MemoryStorage(capacity=self.capacity)
        copies: dict[int, Inode] = {}

        def copied(names: dict[str, Inode]) -> dict[str, Inode]:
            return {name: copies.setdefault(id(inode), inode.copy()) for name, inode in names.items()}

        other._names, other._sure_names = copied(self._names), copied(self._sure_names)
        other._open_names = [copied(names) for names in self._open_names]
        return other

    # -- Storage -----------------------------------------------------------------------------------------------------

    def open(self, name: str, *, create: bool = False, write: bool = False) -> MemoryFile:
        del write
        self.call("open")
        if create:
            if name in self._names:
                raise FileExistsError(errno.EEXIST, "exists", name)
            self._names[name] = Inode()
            self._renamed()
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return MemoryFile(self, self._names[name])

    def names(self, folder: str = "") -> list[str]:
        self.call("names")
        prefix = folder + "/" if folder else ""
        found = {name[len(prefix) :].split("/")[0] for name in self._names if name.startswith(prefix)}
        return sorted(found)

    def make_folder(self, name: str) -> None:
        self.call("make_folder")
        del name

    def rename(self, old: str, new: str) -> None:
        self.call("rename")
        if old not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", old)
        self._names[new] = self._names.pop(old)
        self._renamed()

    def remove(self, name: str) -> None:
        self.call("remove")
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        del self._names[name]
        self._renamed()

    def _renamed(self) -> None:
        self._open_names.append(dict(self._names))

    def sync_folder(self, folder: str = "") -> None:
        del folder
        self.call("sync_folder")
        if self.syncs and self._open_names:
            newest = self._open_names[-1]
            self.take_effect(lambda: self._sync_names(newest))

    def _sync_names(self, newest: dict[str, Inode]) -> None:
        for at, names in enumerate(self._open_names):
            if names is newest:  # Else a later sync has taken them along.
                self._sure_names = dict(names)
                del self._open_names[: at + 1]
                return

    def free_bytes(self) -> int:
        self.call("free_bytes")
        if self.capacity is None:
            return 1 << 50
        return max(self.capacity - self.used_bytes(), 0)

    def used_bytes(self) -> int:
        """How much space the files take."""
        return sum(len(inode.seen) for inode in set(self._names.values()))

    def lock(self) -> None:
        if self._locked:
            raise LogInUse("this storage is in use")
        self._locked = True

    def close(self) -> None:
        self._locked = False

    def content(self, name: str) -> bytearray:
        """The bytes of a file, to look at or to damage."""
        return self._names[name].seen


def _sectors_of(position: int, written: bytes, sector: int) -> range:
    if position < 0 or not written:
        return range(0)
    return range(position // sector, (position + len(written) - 1) // sector + 1)


def _drawn(inode: Inode, rng: random.Random, sector: int) -> bytes:
    keep = rng.random()
    arrived: dict[int, int] = {}
    for at, writes in inode.sectors(sector).items():
        arrived[at] = (
            len(writes) if rng.random() < keep else rng.randrange(len(writes) + 1) if rng.random() < 0.3 else 0
        )
    truncated = any(position < 0 for position, _ in inode.open_writes)
    return inode.survivor(sector, arrived, cut=truncated and rng.random() < keep)


class WatchedStorage:
    """Another storage, and a watch over it: it is told of each call before and after, and may raise, or end the process.

    A file that is made is the call `create`, one that is opened `open`.
    """

    def __init__(self, storage: Storage, watch: Callable[[Moment, str], None]) -> None:
        self._storage, self._watch = storage, watch

    def _watched(self, call: str, run: Callable[[], Result]) -> Result:
        self._watch("before", call)
        result = run()
        self._watch("after", call)
        return result

    def open(self, name: str, *, create: bool = False, write: bool = False) -> File:
        call = "create" if create else "open"
        file = self._watched(call, lambda: self._storage.open(name, create=create, write=write))
        return WatchedFile(file, self._watched)

    def names(self, folder: str = "") -> list[str]:
        return self._watched("names", lambda: self._storage.names(folder))

    def make_folder(self, name: str) -> None:
        self._watched("make_folder", lambda: self._storage.make_folder(name))

    def rename(self, old: str, new: str) -> None:
        self._watched("rename", lambda: self._storage.rename(old, new))

    def remove(self, name: str) -> None:
        self._watched("remove", lambda: self._storage.remove(name))

    def sync_folder(self, folder: str = "") -> None:
        self._watched("sync_folder", lambda: self._storage.sync_folder(folder))

    def free_bytes(self) -> int:
        return self._watched("free_bytes", self._storage.free_bytes)

    def lock(self) -> None:
        self._watched("lock", self._storage.lock)

    def close(self) -> None:
        self._storage.close()


class WatchedFile:
    """A file of a WatchedStorage."""

    def __init__(self, file: File, watched: Watched) -> None:
        self._file, self._watched = file, watched

    def write_at(self, position: int, parts: Sequence[bytes]) -> None:
        self._watched("write", lambda: self._file.write_at(position, parts))

    def read_at(self, position: int, size: int) -> bytes:
        return self._watched("read", lambda: self._file.read_at(position, size))

    def reserve(self, end: int) -> None:
        self._watched("reserve", lambda: self._file.reserve(end))

    def sync(self) -> None:
        self._watched("sync", self._file.sync)

    def truncate(self, size: int) -> None:
        self._watched("truncate", lambda: self._file.truncate(size))

    def size(self) -> int:
        return self._watched("size", self._file.size)

    def forget(self) -> None:
        self._watched("forget", self._file.forget)

    def close(self) -> None:
        self._file.close()
