"""The webhooks of one data directory: those that were added by command, how each of them does, and what is dead.

A SQLite file, `webhooks.db`.  The part that posts and the command line both write to it; each sees soon what the other has
done.  Where each webhook is in the log, its cursor at the broker knows.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from sylvite.auth.webhooks import Secret
from sylvite.errors import InvalidInput, SylviteError
from sylvite.export.settings import Webhook, WebhookSettings
from sylvite.jobs.database import Kind, check_folder, failures, open_to_write, transaction

FILE = "webhooks.db"
WEBHOOKS_MAX = 1000
DEAD_MAX, DEAD_BYTES_MAX = 10_000, 256 * 1024 * 1024
"""Of one webhook.  When there are so many, or they take so much, it goes on trying: nothing is thrown away to make room."""

_KIND = Kind(
    application=0x53595748,  # "SYWH"
    version=1,
    schema="""
    CREATE TABLE webhooks (
        name TEXT PRIMARY KEY, settings TEXT NOT NULL, secrets TEXT NOT NULL, made_ns INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE states (
        name TEXT PRIMARY KEY, ended TEXT NOT NULL DEFAULT '', event TEXT NOT NULL DEFAULT '', attempts INTEGER NOT NULL DEFAULT 0,
        first_ns INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT ''
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE dead (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, event TEXT NOT NULL, tag TEXT NOT NULL, body BLOB NOT NULL,
        attempts INTEGER NOT NULL, first_ns INTEGER NOT NULL, dead_ns INTEGER NOT NULL, reason TEXT NOT NULL, UNIQUE (name, event)
    ) STRICT;""",
    cure="move it away: webhooks that were added by command have to be added again, and what is dead is in it alone",
)


class NoSuchWebhook(SylviteError):
    code = "no_such_webhook"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no webhook {name[:80]!r}; `sylvite webhooks list` shows those that there are")
        self.name = name


class NotTaken(SylviteError):
    code = "webhook_not_taken"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"webhook {name!r}: {reason}")
        self.name, self.reason = name, reason


class State(msgspec.Struct, frozen=True):
    """How a webhook does.  `ended`: why it posts no more.  `event`: the one that is tried and was not taken yet."""

    ended: str = ""
    event: str = ""
    attempts: int = 0
    first_ns: int = 0
    reason: str = ""


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that was not taken in time: what is posted of it, and why it was not taken."""

    id: int
    name: str
    event: str
    tag: str
    body: bytes
    attempts: int
    first_ns: int
    dead_ns: int
    reason: str


class Added(NamedTuple):
    webhook: Webhook
    made_ns: int


class WebhookStore:
    """One thread at a time.  Every call may raise JobStoreFailed, DiskFull."""

    def __init__(self, folder: Path) -> None:
        """Raises InvalidSetting: there is no such folder."""
        check_folder(folder)
        self.path = folder / FILE
        self._connection: sqlite3.Connection = open_to_write(self.path, _KIND)
        self._version = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def has_changed(self) -> bool:
        """Say whether another process has written since the last call."""
        with failures(self.path, _KIND):
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        changed, self._version = version != self._version, version
        return changed

    # -- Webhooks ----------------------------------------------------------------------------------------------------

    def add(self, webhook: Webhook, now_ns: int) -> None:
        """Raises InvalidInput: there is one of that name, or there are too many."""
        with self._writing():
            (count,) = self._connection.execute("SELECT count(*) FROM webhooks").fetchone()
            if count >= WEBHOOKS_MAX:
                raise InvalidInput(f"there are {WEBHOOKS_MAX} webhooks; remove some that are not needed")
            settings = msgspec.json.encode(webhook.settings).decode()
            secrets = msgspec.json.encode([secret.reveal() for secret in webhook.secrets]).decode()
            row = (webhook.name, settings, secrets, now_ns)
            if not self._change("INSERT INTO webhooks VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", *row):
                raise InvalidInput(f"there is a webhook {webhook.name!r} already; remove it first")
            # One of the same name that was posting when it was removed may have left its state behind.
            self._change("DELETE FROM states WHERE name = ?", webhook.name)

    def remove(self, name: str) -> int:
        """Forget a webhook and what is dead of it; return how many events that was.  Raises NoSuchWebhook."""
        with self._writing():
            if not self._change("DELETE FROM webhooks WHERE name = ?", name):
                raise NoSuchWebhook(name)
            self._change("DELETE FROM states WHERE name = ?", name)
            return self._change("DELETE FROM dead WHERE name = ?", name)

    def added(self) -> list[Added]:
        """Return those that were added by command."""
        found: list[Added] = []
        for name, settings, secrets, made_ns in self._rows("SELECT * FROM webhooks ORDER BY name"):
            kept = tuple(map(Secret, msgspec.json.decode(secrets, type=list[str])))
            read = msgspec.json.decode(settings, type=WebhookSettings)
            found.append(Added(Webhook(name, read, kept), made_ns))
        return found

    # -- How they do -------------------------------------------------------------------------------------------------

    def states(self) -> Mapping[str, State]:
        rows = self._rows("SELECT name, ended, event, attempts, first_ns, reason FROM states")
        return {name: State(*rest) for name, *rest in rows}

    def failed(self, name: str, event: str, attempts: int, first_ns: int, reason: str) -> None:
        """An event was not taken, and is tried again."""
        with self._writing():
            self._change(
                "INSERT OR REPLACE INTO states VALUES (?, '', ?, ?, ?, ?)", name, event, attempts, first_ns, reason
            )

    def taken(self, name: str) -> None:
        """What was not taken before, is now."""
        with self._writing():
            self._change("DELETE FROM states WHERE name = ?", name)

    def end(self, name: str, reason: str) -> None:
        """It posts no more, until somebody lets it begin again."""
        with self._writing():
            self._change("INSERT OR REPLACE INTO states (name, ended) VALUES (?, ?)", name, reason)

    def begin(self, name: str) -> None:
        """It posts again, where it had ended."""
        self.taken(name)

    # -- Dead letters ------------------------------------------------------------------------------------------

    def bury(
        self, name: str, event: str, tag: str, body: bytes, *, attempts: int, first_ns: int, now_ns: int, reason: str
    ) -> bool:
        """Keep an event as a dead letter, once; return False where there are so many that it cannot be."""
        with self._writing():
            count, size = self._connection.execute(
                "SELECT count(*), coalesce(sum(length(body)), 0) FROM dead WHERE name = ?", (name,)
            ).fetchone()
            if count >= DEAD_MAX or size + len(body) > DEAD_BYTES_MAX:
                return False
            self._change(
                "INSERT INTO dead (name, event, tag, body, attempts, first_ns, dead_ns, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                name, event, tag, body, attempts, first_ns, now_ns, reason,
            )  # fmt: skip
            self._change("DELETE FROM states WHERE name = ?", name)
        return True

    def dead(self, name: str | None = None) -> list[DeadLetter]:
        """Return what is dead, oldest first, of one webhook or of all."""
        rows = self._rows("SELECT * FROM dead WHERE name = coalesce(?, name) ORDER BY id", name)
        return [DeadLetter(*row) for row in rows]

    def count_dead(self) -> Mapping[str, int]:
        return dict(self._rows("SELECT name, count(*) FROM dead GROUP BY name"))

    def drop_dead(self, id_: int) -> None:
        with self._writing():
            self._change("DELETE FROM dead WHERE id = ?", id_)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with failures(self.path, _KIND):
            return self._connection.execute(query, values).fetchall()

    def _change(self, statement: str, *values: object) -> int:
        return self._connection.execute(statement, values).rowcount

    @contextlib.contextmanager
    def _writing(self) -> Generator[None]:
        with failures(self.path, _KIND), transaction(self._connection):
            yield
