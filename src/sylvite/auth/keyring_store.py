"""The file of the keyring: SQLite, one transaction for each change, every commit synced.

    keys        each key that was shown under an id, with its state
    ids         the epoch of each id that ever had an accepted key: it stays when the key goes
    barred      fingerprints that were revoked: for ever
    due         changes whose event is not announced yet, in order
    expected    fingerprints that will be accepted for an id
    tokens      one-time tokens, as MAC
    successors  keys that minions have announced as their next ones
    former      keys that have a successor, and until when they still count
    shared      what masters say together of an id, and what the tables said when that was written (auth/keyring_sharing.py)
    learned     keys that wait at another master
    followed    those of `former` that another master was the first to replace: it says when they end

What must never be so is refused by an index, whatever the code above does: an id with two keys, a key with two ids.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Generator
from typing import Any

from sylvite.auth.keyring_folder import KeyFolder
from sylvite.auth.keyring_values import KeyringBusy, KeyringFailed, KeyringNotUnderstood

NAME = "keyring.db"
BUSY_S = 5.0
APPLICATION_ID = 0x53594B52  # "SYKR"
VERSION = 2

Connect = Callable[[str], sqlite3.Connection]
"""From a URI to a connection: the seam for faults."""

_SCHEMA = (
    """CREATE TABLE keys (
        id TEXT NOT NULL, fingerprint TEXT NOT NULL, public BLOB NOT NULL CHECK (length(public) = 32),
        state TEXT NOT NULL CHECK (state IN ('pending', 'accepted', 'rejected', 'denied', 'revoked')),
        epoch INTEGER NOT NULL, address TEXT NOT NULL,
        made_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL, seen_ns INTEGER NOT NULL,
        PRIMARY KEY (id, fingerprint)
    ) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX one_key_of_an_id ON keys (id) WHERE state IN ('pending', 'accepted', 'rejected')",
    "CREATE UNIQUE INDEX one_id_of_a_key ON keys (fingerprint) WHERE state != 'denied'",
    "CREATE INDEX fingerprints ON keys (fingerprint)",
    "CREATE INDEX strangers ON keys (address, seen_ns) WHERE state IN ('pending', 'denied')",
    # An accepted key does not count while the event of that is due.
    """CREATE VIEW records AS SELECT
        id, fingerprint, public, state, epoch,
        state = 'accepted' AND NOT EXISTS (
            SELECT 1 FROM due WHERE due.fingerprint = keys.fingerprint AND due.act = 'accepted'
        ) AS counts,
        address, made_ns, changed_ns, seen_ns
    FROM keys""",
    "CREATE TABLE ids (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE barred (fingerprint TEXT PRIMARY KEY, id TEXT NOT NULL, epoch INTEGER NOT NULL, at_ns INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE due (
        number INTEGER PRIMARY KEY AUTOINCREMENT, act TEXT NOT NULL, id TEXT NOT NULL, epoch INTEGER NOT NULL,
        fingerprint TEXT NOT NULL, public BLOB NOT NULL, at_ns INTEGER NOT NULL
    )""",
    "CREATE INDEX due_keys ON due (fingerprint)",
    "CREATE TABLE expected (id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, made_ns INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE tokens (id TEXT PRIMARY KEY, mac BLOB NOT NULL, made_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE successors (
        id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, public BLOB NOT NULL, former TEXT NOT NULL, made_ns INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE former (
        fingerprint TEXT PRIMARY KEY, id TEXT NOT NULL, epoch INTEGER NOT NULL, public BLOB NOT NULL, until_ns INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE TABLE revision (number INTEGER NOT NULL)",
    "INSERT INTO revision VALUES (0)",
    f"PRAGMA application_id = {APPLICATION_ID}",
)
_MIGRATIONS = (
    (
        "CREATE TABLE shared (id TEXT PRIMARY KEY, record BLOB NOT NULL, view BLOB NOT NULL) WITHOUT ROWID",
        """CREATE TABLE learned (
            id TEXT NOT NULL, fingerprint TEXT NOT NULL, node TEXT NOT NULL, made_ns INTEGER NOT NULL, PRIMARY KEY (id, fingerprint)
        ) WITHOUT ROWID""",
        "CREATE TABLE followed (fingerprint TEXT PRIMARY KEY) WITHOUT ROWID",
        "CREATE INDEX barred_ids ON barred (id)",
        "CREATE INDEX former_ids ON former (id)",
    ),
)
"""What makes a file of version 1 one of version 2, and so on."""


def connect(uri: str) -> sqlite3.Connection:
    """Return a connection in which nothing begins or ends a transaction but what we say."""
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)


class Store:
    """The database, opened.  It belongs to one thread."""

    def __init__(self, folder: KeyFolder, connect_: Connect = connect) -> None:
        """Open it; make it where it is not there.

        Raises:
            InvalidSetting: a file of it is not ours alone.
            KeyringNotUnderstood, KeyringBusy, KeyringFailed
        """
        self._path = folder.path / NAME
        # Two processes that make it at once would each see half of what the other one does.
        with folder.locked():
            if not folder.check(NAME):
                folder.write(NAME, b"")
            for beside in (f"{NAME}-wal", f"{NAME}-shm"):
                folder.check(beside)
            with self._translated():
                self._connection = connect_(f"{self._path.resolve().as_uri()}?mode=rw")
                try:
                    self._set_up()
                except BaseException:
                    self._connection.close()
                    raise

    def close(self) -> None:
        with self._translated():
            self._connection.close()

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return what a query finds.  Raises: KeyringBusy, KeyringFailed, KeyringNotUnderstood."""
        with self._translated():
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> Any:
        """Return the first row, or None.  Raises: as `rows`."""
        found = self.rows(query, *values)
        return found[0] if found else None

    def change(self, query: str, *values: object) -> int:
        """Return how many rows were changed; for use within `writing`.  Raises sqlite3.Error, which `writing` translates."""
        return self._connection.execute(query, values).rowcount

    @contextlib.contextmanager
    def writing(self) -> Generator[None]:
        """One transaction: all of what is done in it is there and synced at its end, or, with any error, nothing.

        Raises:
            KeyringBusy: another process has not ended its own in time.
            KeyringFailed: the disk failed.  Where it failed at the very end, it may come out as done after a crash.
        """
        with self._translated():
            # Immediate: what is read in it cannot change before it writes.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):  # The first error is the one that says something.
                        self._connection.execute("ROLLBACK")
                raise

    def problems(self) -> list[str]:
        """Return what is wrong with the file, in SQLite's words."""
        return [each for (each,) in self.rows("PRAGMA integrity_check") if each != "ok"]

    def _set_up(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA trusted_schema = OFF")
        application = execute("PRAGMA application_id").fetchone()[0]
        version = execute("PRAGMA user_version").fetchone()[0]
        tables = execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        is_new = (application, version, tables) == (0, 0, 0)
        if not is_new and (application != APPLICATION_ID or not 0 < version <= VERSION):
            what = f"of version {version}" if application == APPLICATION_ID else "of another program"
            raise KeyringNotUnderstood(f"{self._path} is {what}, and left as it is; move it away, or use what made it")
        execute("PRAGMA journal_mode = WAL")
        # A build of SQLite may come with NORMAL, which leaves the last commits to chance when the power fails.
        execute("PRAGMA synchronous = FULL")
        if version < VERSION:
            with self.writing():
                for statement in _SCHEMA if is_new else ():
                    execute(statement)
                for migration in _MIGRATIONS[0 if is_new else version - 1 :]:
                    for statement in migration:
                        execute(statement)
                execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._read(error) from error

    def _read(self, error: sqlite3.Error) -> KeyringBusy | KeyringFailed | KeyringNotUnderstood:
        # Extended codes have the plain one in their lowest byte (sqlite.org/rescode.html).
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return KeyringBusy(f"another process is writing to {self._path}; try again")
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return KeyringNotUnderstood(f"{self._path} is damaged, or no keyring: {error}; put it back from a copy")
        return KeyringFailed(f"{self._path}: {error}; look with `sylvite keys list` at what was done")
