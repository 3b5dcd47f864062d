"""What the master knows of its minions: their grains, and who is here.  One file, `minions.db`, in its data directory.

One process writes, the link; any number read.  It decides whom a job is for before it is published, and no more than
that: who may speak for a minion is the keyring's to say.  What a power cut takes from it, minions say again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sylvite.core.event import pack_data, unpack_data
from sylvite.jobs.database import FileReader, Kind, WriteLock, open_locked, transaction

FILE = "minions.db"
GRAINS_BYTES_MAX = 256 * 1024
"""Of one minion's grains, packed."""
STARTED_ANEW = "the link was started anew"
STOPPED = "the link was stopped"
"""Reasons of leaving that are not the minion's: it is expected back."""
MINIONS = Kind(
    application=0x53594D49,  # `SYMI`
    version=1,
    schema="""
CREATE TABLE minions (
    id TEXT PRIMARY KEY,
    grains BLOB,
    grains_ns INTEGER,
    connected_since_ns INTEGER,
    left_ns INTEGER,
    address TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX present ON minions (id) WHERE connected_since_ns IS NOT NULL AND left_ns IS NULL;
""",
    cure="stop the link and move it away: minions that connect say again what was in it",
    synchronous="NORMAL",
)


class MinionRecord(msgspec.Struct, frozen=True):
    """What is known of a minion beside its grains.

    `grains_ns`: when they came; None where none have.  `connected_since_ns`: the latest time it came; None where it has
    not.  `left_ns`, `reason`: when and why it went; None while it is here.  `address`: where it came from.  `master`: the
    other master of the cluster that it came to; empty: this one.
    """

    id: str
    grains_ns: int | None
    connected_since_ns: int | None
    left_ns: int | None
    address: str
    reason: str
    master: str = ""

    @property
    def is_present(self) -> bool:
        return self.connected_since_ns is not None and self.left_ns is None


class MinionReader(FileReader):
    """Looks minions up."""

    kind = MINIONS

    def grains(self) -> dict[str, dict[str, Any]]:
        """Return the grains of those that have sent any, by id."""
        query = "SELECT id, grains FROM minions WHERE grains IS NOT NULL ORDER BY id"
        with self._failures():
            return {minion: unpack_data(packed) for minion, packed in self._connection.execute(query)}

    def grains_of(self, minion_id: str) -> dict[str, Any]:
        """Return the grains of one minion; empty where it has sent none."""
        query = "SELECT grains FROM minions WHERE id = ? AND grains IS NOT NULL"
        with self._failures():
            row = self._connection.execute(query, (minion_id,)).fetchone()
        return {} if row is None else unpack_data(row[0])

    def packed_grains(self) -> list[tuple[str, int, bytes]]:
        """Return id, moment and packed grains of those that have sent any; sorted by id."""
        query = "SELECT id, grains_ns, grains FROM minions WHERE grains IS NOT NULL ORDER BY id"
        with self._failures():
            return list(self._connection.execute(query))

    def packed_grains_of(self, minion_id: str) -> tuple[int, bytes] | None:
        """Return when the grains of one minion came, and these, packed; None where it has sent none."""
        query = "SELECT grains_ns, grains FROM minions WHERE id = ? AND grains IS NOT NULL"
        with self._failures():
            found: tuple[int, bytes] | None = self._connection.execute(query, (minion_id,)).fetchone()
        return found

    def version(self) -> int:
        """Return a number that is another one once somebody else has written to the file."""
        with self._failures():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def present(self) -> list[str]:
        """Return the ids of those that are here; sorted."""
        query = "SELECT id FROM minions WHERE connected_since_ns IS NOT NULL AND left_ns IS NULL ORDER BY id"
        with self._failures():
            return [minion for (minion,) in self._connection.execute(query)]

    def awaited(self) -> list[str]:
        """Return the ids of those that were here when the link ended, and are not back yet; sorted."""
        query = "SELECT id FROM minions WHERE left_ns IS NOT NULL AND reason IN (?, ?) ORDER BY id"
        with self._failures():
            return [minion for (minion,) in self._connection.execute(query, (STARTED_ANEW, STOPPED))]

    def records(self) -> list[MinionRecord]:
        """Return what is known of each; sorted by id."""
        query = "SELECT id, grains_ns, connected_since_ns, left_ns, address, reason FROM minions ORDER BY id"
        with self._failures():
            return [MinionRecord(*row) for row in self._connection.execute(query)]


def read_minions(path: Path) -> MinionReader:
    """Open the file to look minions up, beside the process that writes to it.

    Raises:
        JobStoreFailed: there is none, or it cannot be used.
    """
    return MinionReader.read(path)


class MinionStore(MinionReader):
    """Writes what is known.  Made by `open_minions`.  Within `together` many changes cost as much as one."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriteLock) -> None:
        super().__init__(path, connection)
        self._lock = lock

    @contextlib.contextmanager
    def together(self) -> Generator[None]:
        """All that is said within is kept in one transaction, or nothing of it."""
        with self._failures(), transaction(self._connection):
            yield

    def keep_grains(self, minion_id: str, grains: Mapping[str, Any], now_ns: int) -> None:
        """Keep a minion's grains in the place of those that it had.

        Raises:
            InvalidData, EventTooBig: they cannot be kept.
        """
        packed = pack_data(grains, bytes_max=GRAINS_BYTES_MAX)
        self._change(
            "INSERT INTO minions (id, grains, grains_ns) VALUES (:id, :grains, :now) "
            "ON CONFLICT (id) DO UPDATE SET grains = :grains, grains_ns = :now",
            {"id": minion_id, "grains": packed, "now": now_ns},
        )

    def came(self, minion_id: str, address: str, now_ns: int) -> None:
        """A minion is here, from now on."""
        self._change(
            "INSERT INTO minions (id, connected_since_ns, address) VALUES (:id, :now, :address) ON CONFLICT (id) "
            "DO UPDATE SET connected_since_ns = :now, left_ns = NULL, address = :address, reason = ''",
            {"id": minion_id, "address": address, "now": now_ns},
        )

    def left(self, minion_id: str, reason: str, now_ns: int) -> None:
        """A minion has gone; one that is not here stays as it is."""
        self._change(
            "UPDATE minions SET left_ns = :now, reason = :reason "
            "WHERE id = :id AND connected_since_ns IS NOT NULL AND left_ns IS NULL",
            {"id": minion_id, "reason": reason, "now": now_ns},
        )

    def all_left(self, now_ns: int, reason: str = STARTED_ANEW) -> None:
        """Nobody is here."""
        self._change(
            "UPDATE minions SET left_ns = :now, reason = :reason "
            "WHERE connected_since_ns IS NOT NULL AND left_ns IS NULL",
            {"reason": reason, "now": now_ns},
        )

    def given_up(self, minion_id: str, reason: str, now_ns: int) -> None:
        """A minion that `awaited` names is not expected back any more; any other stays as it is."""
        self._change(
            "UPDATE minions SET left_ns = :now, reason = :reason "
            "WHERE id = :id AND left_ns IS NOT NULL AND reason IN (:started, :stopped)",
            {"id": minion_id, "reason": reason, "now": now_ns, "started": STARTED_ANEW, "stopped": STOPPED},
        )

    def forget(self, minion_id: str) -> None:
        """Nothing is known of a minion any more."""
        self._change("DELETE FROM minions WHERE id = :id", {"id": minion_id})

    def close(self) -> None:
        super().close()
        self._lock.release()

    def _change(self, statement: str, values: dict[str, object]) -> None:
        with self._failures():
            self._connection.execute(statement, values)


def open_minions(path: Path) -> MinionStore:
    """Open the file to write to it, and make it if there is none.

    Raises:
        JobStoreInUse: another process writes to it.
        JobStoreFailed: it is not ours, damaged, or of a newer version; it is left as it is.
    """
    return open_locked(path, MINIONS, MinionStore)
