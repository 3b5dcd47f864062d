"""The job store: each job with the minions that are expected to answer, and their returns as they come.

One process writes, any number read (`read_jobs`).  A minion answers a job once: a return that comes again, or too
late, or from a minion that was not asked, is told apart from the others.  What is kept is bounded: by the size of one
return, by age, and by the size of all of it.  The file: jobs/database.py.  What the runners print: jobs/listing.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sylvite.core.event import EVENT_BYTES_MAX, pack_data, unpack_data
from sylvite.errors import EventTooBig, InvalidData, InvalidInput, NoSuchJob
from sylvite.jobs.database import FileReader, Kind, WriteLock, open_locked, transaction
from sylvite.jobs.jid import parse_jid
from sylvite.jobs.matchers import IDS_MAX
from sylvite.jobs.values import Answer, Arrival, Job, Listed, Return, Taken

NANOSECONDS = 1_000_000_000
PAGE_JOBS_MAX = 1000
PRUNED_AT_ONCE = 1000
_MINION_BYTES = 64
"""About what a minion that has not answered takes."""
VERSION = 1
JOBS = Kind(
    application=0x53594A42,  # `SYJB`
    version=VERSION,
    schema="""
CREATE TABLE jobs (
    jid TEXT PRIMARY KEY,
    published_ns INTEGER NOT NULL,
    closed_ns INTEGER,
    expected INTEGER NOT NULL,
    returned INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX active ON jobs (jid) WHERE closed_ns IS NULL;
CREATE INDEX age ON jobs (published_ns);
CREATE TABLE minions (
    jid TEXT NOT NULL REFERENCES jobs ON DELETE CASCADE,
    minion TEXT NOT NULL,
    returned_ns INTEGER,
    content BLOB,
    late INTEGER NOT NULL DEFAULT 0,
    repeats INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (jid, minion)
) STRICT, WITHOUT ROWID;
""",
    cure="move it away to begin with an empty one: the events of all jobs are in the event log",
)


class JobStoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept.  `return_bytes`: of one return, packed.  `keep_s`, `keep_bytes`: beyond them the oldest jobs go."""

    return_bytes: int = EVENT_BYTES_MAX
    keep_s: float | None = 86_400.0
    keep_bytes: int | None = 1024 * 1024 * 1024


class JobReader(FileReader):
    """Looks jobs up."""

    kind = JOBS

    def find(self, jid: str) -> Listed:
        """Raises NoSuchJob."""
        with self._failures():
            row = self._connection.execute(_FIND, (jid,)).fetchone()
            if row is None:
                raise NoSuchJob(jid)
            query = "SELECT minion FROM minions WHERE jid = ? ORDER BY minion"
            minions = [minion for (minion,) in self._connection.execute(query, (jid,))]
        return _listed(row, minions)

    def answers(self, jid: str) -> list[Answer]:
        """Return what has come, by minion.  Empty for a job that is not known."""
        query = (
            "SELECT minion, returned_ns, content, late, repeats FROM minions "
            "WHERE jid = ? AND returned_ns IS NOT NULL ORDER BY minion"
        )
        with self._failures():
            return [_answer(row) for row in self._connection.execute(query, (jid,))]

    def waiting(self, jid: str) -> list[str]:
        """Return the ids of the minions that have not answered."""
        query = "SELECT minion FROM minions WHERE jid = ? AND returned_ns IS NULL ORDER BY minion"
        with self._failures():
            return [minion for (minion,) in self._connection.execute(query, (jid,))]

    def returned(self, jid: str) -> list[str]:
        """Return the ids of those that have."""
        query = "SELECT minion FROM minions WHERE jid = ? AND returned_ns IS NOT NULL ORDER BY minion"
        with self._failures():
            return [minion for (minion,) in self._connection.execute(query, (jid,))]

    def page(
        self, *, before: str | None = None, count: int = 50, wanted: Callable[[Job], bool] | None = None
    ) -> list[Listed]:
        """Return up to `count` jobs, the newest first; for the next page give the last jid of this one as `before`.

        `wanted`: only those.  At most PAGE_JOBS_MAX.  Their minions are left out: `find` has them.
        """
        return self._select(_PAGE, before, count, wanted)

    def active(self, *, count: int = PAGE_JOBS_MAX) -> list[Listed]:
        """Return the jobs that are waited for, the newest first."""
        return self._select(_ACTIVE, None, count, None)

    def overdue(self, published_ns: int, *, count: int = PAGE_JOBS_MAX) -> list[Listed]:
        """Return the jobs of before this moment that are waited for, the oldest first; of their minions those that are."""
        found: list[Listed] = []
        with self._failures():
            for row in self._connection.execute(_OVERDUE, (published_ns, count)).fetchall():
                listed = _listed(row, ())
                job = msgspec.structs.replace(listed.job, minions=tuple(self.waiting(listed.job.jid)))
                found.append(msgspec.structs.replace(listed, job=job))
        return found

    def _select(self, query: str, before: str | None, count: int, wanted: Callable[[Job], bool] | None) -> list[Listed]:
        found: list[Listed] = []
        with self._failures():
            rows = self._connection.execute(query, (before if before is not None else _BEHIND_ALL,))
            for row in rows:
                if len(found) >= min(count, PAGE_JOBS_MAX):
                    break
                listed = _listed(row, ())
                if wanted is None or wanted(listed.job):
                    found.append(listed)
        return found


def read_jobs(path: Path) -> JobReader:
    """Open a store to look jobs up, beside the process that writes to it.

    Raises:
        JobStoreFailed: there is none, or it cannot be used.
    """
    return JobReader.read(path)


class JobStore(JobReader):
    """Writes jobs and returns.  Made by `open_jobs`.  What a call has returned from survives a power cut."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriteLock, settings: JobStoreSettings) -> None:
        super().__init__(path, connection)
        self._lock, self._settings = lock, settings
        with self._failures():
            (self._bytes,) = connection.execute("SELECT coalesce(sum(bytes), 0) FROM jobs").fetchone()

    @property
    def kept_bytes(self) -> int:
        """About what is kept, without what SQLite adds."""
        return self._bytes

    def configure(self, settings: JobStoreSettings) -> None:
        """Keep so much from now on."""
        self._settings = settings

    def add(self, job: Job, now_ns: int) -> None:
        """Keep a job that is published.  One that is there gets these minions as well: the steps of a batch share a jid.

        Raises:
            InvalidJid: its id is none.
            InvalidInput: too many minions, or arguments that no event could carry.
        """
        parse_jid(job.jid)
        if len(job.minions) > IDS_MAX:
            raise InvalidInput(f"a job has at most {IDS_MAX} minions, not {len(job.minions)}")
        content = pack_data(msgspec.to_builtins(msgspec.structs.replace(job, minions=())))
        with self._failures(), transaction(self._connection):
            new = self._change(
                "INSERT INTO jobs VALUES (?, ?, NULL, 0, 0, ?, ?) ON CONFLICT DO NOTHING",
                (job.jid, now_ns, len(content), content),
            )
            added = sum(
                self._change(
                    "INSERT INTO minions (jid, minion) VALUES (?, ?) ON CONFLICT DO NOTHING", (job.jid, minion)
                )
                for minion in job.minions
            )
            self._change(
                "UPDATE jobs SET expected = expected + :added, bytes = bytes + :bytes, "
                "closed_ns = CASE WHEN returned >= expected + :added THEN coalesce(closed_ns, :now) "
                "WHEN :added = 0 THEN closed_ns END WHERE jid = :jid",
                {"added": added, "bytes": added * _MINION_BYTES, "now": now_ns, "jid": job.jid},
            )
        self._grow(new * len(content) + added * _MINION_BYTES)

    def take(self, returns: Sequence[Return], now_ns: int) -> list[Taken]:
        """Keep returns, all of them in one transaction, and say of each how it stands to its job."""
        packed = [self._pack(found) for found in returns]
        with self._failures(), transaction(self._connection):
            taken = [self._take(*each, now_ns) for each in zip(returns, packed, strict=True)]
        kept = (Arrival.EXPECTED, Arrival.LATE, Arrival.REFUSED)
        self._grow(sum(len(each[0]) for each, done in zip(packed, taken, strict=True) if done.arrival in kept))
        return taken

    def end(self, jid: str, now_ns: int) -> None:
        """Wait no more for the minions that have not answered.  Raises NoSuchJob."""
        with self._failures(), transaction(self._connection):
            if not self._change("UPDATE jobs SET closed_ns = coalesce(closed_ns, ?) WHERE jid = ?", (now_ns, jid)):
                raise NoSuchJob(jid)

    def prune(self, now_ns: int) -> int:
        """Forget jobs that are too old, and say how many.

        At most PRUNED_AT_ONCE a call: after a jump of the clock the operator has time to see what happens.
        """
        keep_s = self._settings.keep_s
        if keep_s is None:
            return 0
        before_ns = now_ns - int(keep_s * NANOSECONDS)
        with self._failures(), transaction(self._connection):
            found = self._connection.execute(_DELETE_OLDEST, (before_ns, PRUNED_AT_ONCE)).fetchall()
        self._bytes -= sum(size for (size,) in found)
        return len(found)

    def close(self) -> None:
        super().close()
        self._lock.release()

    def _pack(self, found: Return) -> tuple[bytes, str | None]:
        """Return what is kept of a return, and why its value is not part of it."""
        facts: dict[str, Any] = {"retcode": found.retcode, "success": found.success, "out": found.out}
        try:
            return pack_data({"value": found.value, **facts}, bytes_max=self._settings.return_bytes), None
        except EventTooBig as error:
            refused = (
                f"the return has {error.size} bytes; the limit is {error.limit}. "
                "Let the function write large content to a file, and return where it is"
            )
        except InvalidData as error:
            refused = f"the return cannot be kept: {error}"
        if found.out is not None and len(found.out) > _OUT_CHARACTERS_MAX:
            facts["out"] = None
        return pack_data({"refused": refused[:_REASON_CHARACTERS_MAX], **facts}), refused

    def _take(self, found: Return, packed: tuple[bytes, str | None], now_ns: int) -> Taken:
        job = self._connection.execute("SELECT closed_ns FROM jobs WHERE jid = ?", (found.jid,)).fetchone()
        if job is None:
            return Taken(Arrival.UNKNOWN)
        key = (found.jid, found.minion)
        row = self._connection.execute("SELECT returned_ns FROM minions WHERE jid = ? AND minion = ?", key).fetchone()
        if row is None:
            return Taken(Arrival.UNEXPECTED)
        if row[0] is not None:
            self._change("UPDATE minions SET repeats = repeats + 1 WHERE jid = ? AND minion = ?", key)
            return Taken(Arrival.REPEATED)
        content, refused = packed
        late = job[0] is not None
        self._change(
            "UPDATE minions SET returned_ns = ?, content = ?, late = ? WHERE jid = ? AND minion = ?",
            (now_ns, content, late, *key),
        )
        self._change(
            "UPDATE jobs SET returned = returned + 1, bytes = bytes + :bytes, "
            "closed_ns = CASE WHEN returned + 1 >= expected THEN coalesce(closed_ns, :now) ELSE closed_ns END "
            "WHERE jid = :jid",
            {"bytes": len(content), "now": now_ns, "jid": found.jid},
        )
        if refused is not None:
            return Taken(Arrival.REFUSED, refused)
        return Taken(Arrival.LATE if late else Arrival.EXPECTED)

    def _change(self, statement: str, values: Sequence[object] | dict[str, object]) -> int:
        """Return how many rows were changed."""
        return self._connection.execute(statement, values).rowcount

    def _grow(self, size: int) -> None:
        """Count what was added, and forget the oldest jobs where it is too much; never the newest one."""
        self._bytes += size
        limit = self._settings.keep_bytes
        if limit is None or self._bytes <= limit:
            return
        with self._failures(), transaction(self._connection):
            (newest,) = self._connection.execute("SELECT max(jid) FROM jobs").fetchone()
            oldest = self._connection.execute("SELECT jid, bytes FROM jobs ORDER BY published_ns, jid")
            doomed: list[str] = []
            left = self._bytes
            while left > limit and (row := oldest.fetchone()) is not None:
                if row[0] != newest:
                    doomed.append(row[0])
                    left -= row[1]
            oldest.close()
            self._connection.executemany("DELETE FROM jobs WHERE jid = ?", [(jid,) for jid in doomed])
        self._bytes = left


def open_jobs(path: Path, settings: JobStoreSettings = JobStoreSettings()) -> JobStore:  # noqa: B008 - it is frozen
    """Open a store to write to, and make it if there is none.

    Raises:
        JobStoreInUse: another process writes to it.
        JobStoreFailed: it is not ours, damaged, or of a newer version; it is left as it is.
    """
    return open_locked(path, JOBS, lambda path, connection, lock: JobStore(path, connection, lock, settings))


_OUT_CHARACTERS_MAX = 64
_REASON_CHARACTERS_MAX = 512
_FIND = "SELECT content, published_ns, closed_ns, expected, returned FROM jobs WHERE jid = ?"
_PAGE = "SELECT content, published_ns, closed_ns, expected, returned FROM jobs WHERE jid < ? ORDER BY jid DESC"
_ACTIVE = (
    "SELECT content, published_ns, closed_ns, expected, returned FROM jobs "
    "WHERE closed_ns IS NULL AND jid < ? ORDER BY jid DESC"
)
_OVERDUE = (
    "SELECT content, published_ns, closed_ns, expected, returned FROM jobs "
    "WHERE closed_ns IS NULL AND published_ns < ? ORDER BY jid LIMIT ?"
)
_BEHIND_ALL = "~"
"""Sorts behind every jid."""
_DELETE_OLDEST = (
    "DELETE FROM jobs WHERE jid IN (SELECT jid FROM jobs WHERE published_ns < ? ORDER BY published_ns LIMIT ?) "
    "RETURNING bytes"
)


def _listed(row: Sequence[Any], minions: Sequence[str]) -> Listed:
    content, published_ns, closed_ns, expected, returned = row
    job = msgspec.convert({**unpack_data(content), "minions": minions}, Job)
    return Listed(job, published_ns, closed_ns, expected, returned)


def _answer(row: Sequence[Any]) -> Answer:
    minion, returned_ns, content, late, repeats = row
    found = unpack_data(content)
    return Answer(
        minion, returned_ns, found.get("value"), found["retcode"], found["success"], found["out"], found.get("refused"),
        bool(late), repeats,
    )  # fmt: skip
