"""The files of the jobs: opened with care, locked by their writer, and each failure told as ours.

SQLite with a write-ahead log and `synchronous=FULL`: after a kill or a power cut the file holds every transaction that was
committed, and nothing of one that was not.  Readers read while the writer writes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, Self, TypeVar

from sylvite.errors import DiskFull, InvalidSetting, JobStoreFailed, JobStoreInUse

BUSY_S = 5.0
Store = TypeVar("Store")


class Kind(NamedTuple):
    """What a file holds.

    `application`: tells it from any other of SQLite.  `cure`: what helps where it is damaged.  `synchronous`: of the
    pragma; FULL where each transaction has to survive a power cut.
    """

    application: int
    version: int
    schema: str
    cure: str
    synchronous: str = "FULL"


class WriteLock:
    """The right to write, held while the process lives or until `release`.  The lock (flock) on PATH.lock alone counts."""

    def __init__(self, path: Path) -> None:
        """Raises:
        JobStoreInUse: another process has it.
        JobStoreFailed: the lock cannot be taken, or is no file of ours.
        """
        self._path = path.with_name(f"{path.name}.lock")
        self._descriptor = _open_own(self._path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise JobStoreInUse(
                f"{path} is in use by process {holder or '?'}: one process writes to it at a time"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        # The file stays: who takes it away could take it from somebody who has just opened it.
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def check_folder(folder: Path) -> None:
    """Raises InvalidSetting: there is no such data folder."""
    if not folder.is_dir():
        raise InvalidSetting(
            "dir", str(folder), "is no folder; say with --dir where the data of the broker or the master is"
        )


class FileReader:
    """Looks things up in a file of a `kind`.  Every call may raise JobStoreFailed.  One thread at a time."""

    kind: ClassVar[Kind]

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path, self._connection = path, connection

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises JobStoreFailed: there is none, or it cannot be used."""
        return cls(path, open_to_read(path, cls.kind))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _failures(self) -> contextlib.AbstractContextManager[None]:
        return failures(self._path, self.kind)


def open_locked(path: Path, kind: Kind, make: Callable[[Path, sqlite3.Connection, WriteLock], Store]) -> Store:
    """Take the right to write to a file, open it, and return what `make` makes of that.

    Raises:
        JobStoreInUse: another process writes to it.
        JobStoreFailed: it is not ours, damaged, or of a newer version; it is left as it is.
    """
    lock = WriteLock(path)
    try:
        return make(path, open_to_write(path, kind), lock)
    except BaseException:
        lock.release()
        raise


def open_to_write(path: Path, kind: Kind) -> sqlite3.Connection:
    """Open the file, and make it if there is none.  The caller has the lock.

    Raises:
        JobStoreFailed: it is not ours, damaged, or of a newer version; it is left as it is.
    """
    _make_own(path)
    with failures(path, kind):
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        with failures(path, kind):
            if _is_empty(connection):
                # Before anything else is written: a page of another size cannot be changed later.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(
                    f"BEGIN; {kind.schema} PRAGMA application_id = {kind.application}; "
                    f"PRAGMA user_version = {kind.version}; COMMIT;"
                )
            _check(connection, path, kind)
            for pragma in (
                "journal_mode = WAL",
                f"synchronous = {kind.synchronous}",
                "foreign_keys = ON",
                "journal_size_limit = 4194304",
            ):
                connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path, kind: Kind) -> sqlite3.Connection:
    """Open what another process may be writing to.

    Raises:
        JobStoreFailed: there is none, or it is damaged, or of a newer version.
    """
    with failures(path, kind):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", timeout=BUSY_S, isolation_level=None, uri=True
        )
        try:
            if _is_empty(connection):
                raise JobStoreFailed(f"{path} is empty: nothing has been written to it yet")
            _check(connection, path, kind)
        except BaseException:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def failures(path: Path, kind: Kind) -> Generator[None]:
    """Tell what SQLite raises as an error of ours.

    Raises:
        DiskFull: nothing of the transaction was written.
        JobStoreFailed: everything else.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise DiskFull(f"{path}: the disk is full; it is written again once there is space") from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise JobStoreFailed(f"{path} is damaged ({error}); {kind.cure}") from error
        raise JobStoreFailed(f"{path} cannot be used: {error}") from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """All of it is committed at the end, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some failures SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _is_empty(connection: sqlite3.Connection) -> bool:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return pages == 0 or tables == 0


def _check(connection: sqlite3.Connection, path: Path, kind: Kind) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != kind.application:
        raise JobStoreFailed(f"{path} is a file of another program; choose another place, or move it away")
    if version != kind.version:
        raise JobStoreFailed(
            f"{path} has version {version}, and this program knows version {kind.version}; it is left as it is"
        )


def _make_own(path: Path) -> None:
    """Make an empty file for us alone, or make sure that the one that is there is one, without opening it.

    A process that closes a file loses all its locks of it (fcntl(2)), those of its other connections to it too: another
    process would then take itself for the last one, and take the write-ahead log away.

    Raises:
        JobStoreFailed: it is not, or the system refuses.
    """
    try:
        status = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        os.close(_open_own(path))
        return
    except OSError as error:
        raise JobStoreFailed(f"{path} cannot be opened: {(error.strerror or '').lower()}") from error
    if (wrong := _what_is_wrong(status)) is not None:
        raise JobStoreFailed(f"{path} is not safe: it {wrong}")


def _open_own(path: Path) -> int:
    """Open a file, or make it for us alone; of one that is there make sure that it is a file of ours alone.

    Raises:
        JobStoreFailed: it is not, or the system refuses.
    """
    # Without O_NONBLOCK a FIFO of that name would keep us for ever.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{path}: the disk is full; it is written again once there is space") from error
        reason = "is a link" if error.errno == errno.ELOOP else (error.strerror or "").lower()
        raise JobStoreFailed(f"{path} cannot be opened: {reason}") from error
    status = os.fstat(descriptor)
    wrong = _what_is_wrong(status)
    if wrong is None:
        return descriptor
    os.close(descriptor)
    raise JobStoreFailed(f"{path} is not safe: it {wrong}")


def _what_is_wrong(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFLNK: "is a link", stat.S_IFDIR: "is a directory"}
        return kinds.get(stat.S_IFMT(status.st_mode), "is no regular file")
    if status.st_uid != os.geteuid():
        return f"belongs to uid {status.st_uid}"
    if status.st_nlink > 1:
        return "has another name elsewhere"
    if status.st_mode & 0o077:
        return (
            f"can be used by others; `chmod 600` it after a look at what is in it (mode {status.st_mode & 0o777:04o})"
        )
    return None
