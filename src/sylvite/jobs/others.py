"""What the other masters of the cluster know of their minions: one file, `others.db`, beside `minions.db`.

One process writes, the bridge; any number read, through jobs/known_minions.py.  Nothing in it is of this master, and all of it is
brought again: so it may be lost.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from sylvite.errors import DiskFull, JobStoreFailed, JobStoreInUse
from sylvite.jobs.database import FileReader, Kind, WriteLock, open_locked, transaction
from sylvite.jobs.minions import MinionRecord

FILE = "others.db"
OTHERS = Kind(
    application=0x53594F54,  # `SYOT`
    version=1,
    schema="""
CREATE TABLE minions (
    master TEXT NOT NULL,
    id TEXT NOT NULL,
    grains BLOB,
    grains_ns INTEGER,
    connected_since_ns INTEGER,
    left_ns INTEGER,
    address TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (master, id)
) STRICT;
CREATE TABLE masters (master TEXT PRIMARY KEY) STRICT;
CREATE TABLE beat (at_ns INTEGER NOT NULL) STRICT;
""",
    cure="stop the bridge and move it away: the other masters say again what was in it",
    synchronous="NORMAL",
)
Key = tuple[str, str]
"""A master, and the id of a minion."""
logger = logging.getLogger("sylvite.jobs")


class Grains(NamedTuple):
    """Of a minion, packed; `at_ns`: when they came to its master."""

    at_ns: int
    packed: bytes


class OthersReader(FileReader):
    """Looks up."""

    kind = OTHERS

    def records(self) -> list[MinionRecord]:
        query = (
            "SELECT id, grains_ns, connected_since_ns, left_ns, address, reason, master FROM minions "
            "ORDER BY id, master"
        )
        with self._failures():
            return [MinionRecord(*row) for row in self._connection.execute(query)]

    def packed_grains(self, minion_id: str | None = None) -> list[tuple[str, int, bytes]]:
        """Return id, moment and packed grains of those that have sent any, or of one; from each master that has some."""
        query = "SELECT id, grains_ns, grains FROM minions WHERE grains IS NOT NULL AND (:id IS NULL OR id = :id)"
        with self._failures():
            return list(self._connection.execute(query, {"id": minion_id}))

    def masters(self) -> list[str]:
        """Return the masters that are here, without this one; sorted."""
        with self._failures():
            return [name for (name,) in self._connection.execute("SELECT master FROM masters ORDER BY master")]

    def beat_ns(self) -> int:
        """Return when the bridge has last said that it goes on; 0: never."""
        with self._failures():
            row = self._connection.execute("SELECT at_ns FROM beat").fetchone()
        return 0 if row is None else int(row[0])


def read_others(path: Path) -> OthersReader:
    """Raises JobStoreFailed: there is none, or it cannot be used."""
    return OthersReader.read(path)


class OthersStore(OthersReader):
    """Writes.  Made by `open_others`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriteLock) -> None:
        super().__init__(path, connection)
        self._lock = lock

    def write(
        self,
        records: Iterable[MinionRecord],
        grains: Iterable[tuple[Key, Grains]],
        gone: Iterable[Key],
        masters: Collection[str],
        now_ns: int,
    ) -> None:
        """Keep what has changed, and that we go on, in one transaction.

        `gone`: minions that their master knows no more.  `masters`: those that are here.
        """
        with self._failures(), transaction(self._connection):
            self._connection.executemany("DELETE FROM minions WHERE master = ? AND id = ?", list(gone))
            self._connection.executemany(
                "INSERT INTO minions (master, id, connected_since_ns, left_ns, address, reason) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (master, id) DO UPDATE SET connected_since_ns = excluded.connected_since_ns, "
                "left_ns = excluded.left_ns, address = excluded.address, reason = excluded.reason",
                [
                    (each.master, each.id, each.connected_since_ns, each.left_ns, each.address, each.reason)
                    for each in records
                ],
            )
            self._connection.executemany(
                "INSERT INTO minions (master, id, grains, grains_ns) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (master, id) DO UPDATE SET grains = excluded.grains, grains_ns = excluded.grains_ns",
                [(*key, found.packed, found.at_ns) for key, found in grains],
            )
            self._connection.execute("DELETE FROM masters")
            self._connection.executemany("INSERT INTO masters VALUES (?)", [(master,) for master in masters])
            self._connection.execute("DELETE FROM beat")
            self._connection.execute("INSERT INTO beat VALUES (?)", (now_ns,))

    def close(self) -> None:
        super().close()
        self._lock.release()


def open_others(path: Path) -> OthersStore:
    """Open the file to write to it, and make it if there is none; one that cannot be used is put aside.

    Raises:
        JobStoreInUse: another process writes to it.
        JobStoreFailed: the folder cannot be written to.
    """
    try:
        return open_locked(path, OTHERS, OthersStore)
    except (JobStoreInUse, DiskFull):
        raise
    except JobStoreFailed as error:
        logger.warning("%s; it is put aside, and filled again by the other masters", error)
    try:
        path.rename(path.with_name(f"{path.name}.bad"))
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
    except OSError as error:
        raise JobStoreFailed(f"{path} cannot be used, nor put aside: {error.strerror}") from error
    return open_locked(path, OTHERS, OthersStore)
