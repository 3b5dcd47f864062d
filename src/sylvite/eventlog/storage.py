"""Storage: the few file-system calls that the log makes.  The seam for faults: `sylvite.testing.storage` has a double.

Paths are names inside one folder, opened relative to its descriptor and never through a link, so that nothing planted
in the folder leads out of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sylvite.errors import InvalidSetting, LogInUse, LogNotUnderstood


class File(Protocol):
    """An open file.  Every call may raise OSError."""

    def write_at(self, position: int, parts: Sequence[bytes]) -> None:
        """Write all of `parts`, one after the other, from `position` on; whole, or OSError."""
        ...

    def read_at(self, position: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer only where the file ends."""
        ...

    def reserve(self, end: int) -> None:
        """Make sure that the disk has room up to byte `end`.  What was not written reads as zeros."""
        ...

    def sync(self) -> None:
        """Return when the content survives power loss."""
        ...

    def truncate(self, size: int) -> None: ...
    def size(self) -> int: ...

    def forget(self) -> None:
        """Let the system forget what it holds of this file in memory, so that reading asks the disk."""
        ...

    def close(self) -> None: ...


class Storage(Protocol):
    """A folder of files.  Every call may raise OSError."""

    def open(self, name: str, *, create: bool = False, write: bool = False) -> File:
        """Open a file; `create` makes a new one and refuses one that is there."""
        ...

    def names(self, folder: str = "") -> list[str]: ...
    def make_folder(self, name: str) -> None: ...
    def rename(self, old: str, new: str) -> None: ...
    def remove(self, name: str) -> None: ...

    def sync_folder(self, folder: str = "") -> None:
        """Return when names made, changed and removed in the folder survive power loss."""
        ...

    def free_bytes(self) -> int: ...

    def lock(self) -> None:
        """Hold the folder until `close`.  Raises LogInUse: another process holds it."""
        ...

    def close(self) -> None: ...


class DiskFile:
    """A file of the operating system."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write_at(self, position: int, parts: Sequence[bytes]) -> None:
        wanted = sum(map(len, parts))
        written = os.pwritev(self._descriptor, parts[:_PARTS_MAX], position)
        if written < wanted:
            # More parts than one call takes, or a short write (a signal, a nearly full disk).
            rest = memoryview(b"".join(parts))[written:]
            while rest:
                position_now = position + wanted - len(rest)
                rest = rest[os.pwrite(self._descriptor, rest, position_now) :]

    def read_at(self, position: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, position)
        while data and len(data) < size:
            more = os.pread(self._descriptor, size - len(data), position + len(data))
            if not more:
                break
            data += more
        return data

    def reserve(self, end: int) -> None:
        start = os.fstat(self._descriptor).st_size
        if end > start:
            os.posix_fallocate(self._descriptor, start, end - start)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def forget(self) -> None:
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        os.close(self._descriptor)


_PARTS_MAX = 1024  # IOV_MAX on Linux


class DiskStorage:
    """A folder of the operating system, private to its owner.

    Raises:
        InvalidSetting: the folder belongs to somebody else or others may write to it; with `open` and `lock`: a file in
            it does, or has another name elsewhere.
    """

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock: int | None = None
        self._is_own = create
        status = os.fstat(self._descriptor)
        if create and (status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
            os.close(self._descriptor)
            raise InvalidSetting(
                "log folder",
                str(folder),
                "must belong to the user that runs the broker, and nobody else may write to it",
            )
        if create and status.st_mode & 0o077:
            # The log of a copy, say: what it holds is for nobody else to read.
            os.fchmod(self._descriptor, 0o700)

    def open(self, name: str, *, create: bool = False, write: bool = False) -> File:
        flags = os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_RDWR if write or create else os.O_RDONLY)
        if create:
            flags |= os.O_CREAT | os.O_EXCL
        # Without O_NONBLOCK a FIFO of that name would keep us for ever; for a file it means nothing.
        descriptor = os.open(name, flags | os.O_NONBLOCK, 0o600, dir_fd=self._descriptor)
        try:
            self._check_file(descriptor, name, write=write or create)
        except BaseException:
            os.close(descriptor)
            raise
        return DiskFile(descriptor)

    def _check_file(self, descriptor: int, name: str, *, write: bool) -> None:
        """What is in the folder may be older than the rights that it has now.  Raises LogNotUnderstood, InvalidSetting."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise LogNotUnderstood(f"{self.folder / name} is not a regular file")
        if not self._is_own:
            return
        if status.st_uid not in (0, os.geteuid()):
            raise InvalidSetting(
                "log folder",
                str(self.folder),
                f"holds {name}, which belongs to uid {status.st_uid}; give it to the broker's user",
            )
        if write and status.st_nlink > 1:
            raise InvalidSetting(
                "log folder",
                str(self.folder),
                f"holds {name}, which has another name elsewhere; put a copy in its place",
            )

    def names(self, folder: str = "") -> list[str]:
        return sorted(os.listdir(self.folder / folder if folder else self._descriptor))

    def make_folder(self, name: str) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=self._descriptor)
        except FileExistsError:
            return

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self._descriptor)

    def sync_folder(self, folder: str = "") -> None:
        if not folder:
            os.fsync(self._descriptor)
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self) -> int:
        status = os.fstatvfs(self._descriptor)
        return status.f_bavail * status.f_frsize

    def lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open("lock", flags, 0o600, dir_fd=self._descriptor)
        try:
            self._check_file(descriptor, "lock", write=True)
            # The folder too: whoever deletes the file must not let a second broker in.
            for each in (descriptor, self._descriptor):
                fcntl.flock(each, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise LogInUse(
                f"the log in {self.folder} is in use by process {holder}. One broker owns a log: stop that one first"
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        os.close(self._descriptor)


def read_whole(storage: Storage, name: str, *, bytes_max: int = 64 * 1024 * 1024) -> bytes:
    file = storage.open(name)
    try:
        return file.read_at(0, min(file.size(), bytes_max))
    finally:
        file.close()


def write_whole(storage: Storage, name: str, content: bytes, *, sync: bool = True) -> None:
    """Put a file in place so that a crash leaves the old content or the new, never a mixture.

    Without `sync` that holds for the death of the process; a power cut may leave anything.
    """
    temporary = name + ".new"
    try:
        storage.remove(temporary)
    except FileNotFoundError:
        pass  # The usual case: no earlier attempt was cut short.
    file = storage.open(temporary, create=True)
    try:
        file.write_at(0, [content])
        if sync:
            file.sync()
    finally:
        file.close()
    storage.rename(temporary, name)
    if sync:
        storage.sync_folder()


def is_full(error: OSError) -> bool:
    """Say whether the disk (or a quota, or a read-only mount) takes nothing more, without being broken."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
