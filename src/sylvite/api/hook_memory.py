"""Which deliveries have come before: each makes one event, also where its sender tries again, or somebody replays it.

Before a delivery is published, the source under which it is published is kept; the broker knows sources that it has taken.
So a kill at any moment leaves either no event, or one that the next try is answered with.
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

from sylvite.client.core import new_source_epoch
from sylvite.jobs.database import Kind, failures, open_to_write, transaction

NAME = "hooks.db"
KEEP_S = 24 * 3600.0
"""For how long a delivery is known; what is signed with a time is refused long before."""
DELIVERIES_MAX = 1_000_000
"""Beyond it the oldest are forgotten: some 100 MiB."""

_KIND = Kind(
    application=0x5359484B,  # "SYHK"
    version=1,
    schema="""CREATE TABLE deliveries (
        key BLOB PRIMARY KEY CHECK (length(key) = 32), source_epoch INTEGER NOT NULL, until_ns INTEGER NOT NULL,
        offset INTEGER, epoch TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX age ON deliveries (until_ns);""",
    cure="move it away: deliveries of the last day may then make a second event, where their senders try again",
)


class Known(NamedTuple):
    """The source of a delivery, and where its event is, once that is known."""

    source_epoch: int
    offset: int | None = None
    epoch: int | None = None


class Memory:
    """One file.  One thread at a time.  Every call may raise JobStoreFailed, DiskFull."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._connection: sqlite3.Connection = open_to_write(self._path, _KIND)
        with failures(self._path, _KIND):
            (self._count,) = self._connection.execute("SELECT count(*) FROM deliveries").fetchone()

    def close(self) -> None:
        self._connection.close()

    def begin(self, hook: str, key: bytes, now_ns: int) -> Known:
        """Return what is known of a delivery; of one that is new, keep under which source it is published."""
        hashed = _hash(hook, key)
        with failures(self._path, _KIND), transaction(self._connection):
            row = self._connection.execute(
                "SELECT source_epoch, offset, epoch FROM deliveries WHERE key = ? AND until_ns > ?", (hashed, now_ns)
            ).fetchone()
            if row is not None:
                source_epoch, offset, epoch = row
                return Known(source_epoch, offset, None if epoch is None else int(epoch, 16))
            self._forget(now_ns)
            source_epoch = new_source_epoch()
            self._connection.execute(
                "INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?, NULL, NULL)",
                (hashed, source_epoch, now_ns + int(KEEP_S * 1e9)),
            )
        self._count += 1
        return Known(source_epoch)

    def end(self, hook: str, key: bytes, offset: int, epoch: int) -> None:
        """Keep where the event of a delivery is."""
        with failures(self._path, _KIND), transaction(self._connection):
            self._connection.execute(
                "UPDATE deliveries SET offset = ?, epoch = ? WHERE key = ?", (offset, f"{epoch:x}", _hash(hook, key))
            )

    def _forget(self, now_ns: int) -> None:
        too_many = max(0, self._count + 1 - DELIVERIES_MAX)
        gone = self._connection.execute("DELETE FROM deliveries WHERE until_ns <= ?", (now_ns,)).rowcount
        if too_many > gone:
            gone += self._connection.execute(
                "DELETE FROM deliveries WHERE key IN (SELECT key FROM deliveries ORDER BY until_ns LIMIT ?)",
                (too_many - gone,),
            ).rowcount
        self._count -= gone


def _hash(hook: str, key: bytes) -> bytes:
    return hashlib.blake2b(hook.encode() + b"\n" + key, digest_size=32).digest()
