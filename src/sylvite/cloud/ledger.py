"""Ledger: the machines that were begun and are not finished, and those that were seen last.  SQLite, in a folder of ours.

A row is written before a machine is asked for, and goes only when it is finished or known to be gone. So what a crash,
a kill or a lost connection leaves behind at a provider is found again, and told.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from sylvite.cloud.errors import LedgerFailed, MachineUnfinished
from sylvite.cloud.files import private_folder
from sylvite.cloud.machine import Machine

BUSY_S = 30.0
"""How long to wait for another process that is just writing."""
_TABLES = (
    """CREATE TABLE IF NOT EXISTS unfinished (
    provider TEXT NOT NULL, name TEXT NOT NULL, profile TEXT NOT NULL, driver TEXT NOT NULL, instance_id TEXT,
    step TEXT NOT NULL, since_ns INTEGER NOT NULL, process TEXT NOT NULL, reason TEXT NOT NULL, left INTEGER,
    told INTEGER NOT NULL,
    PRIMARY KEY (provider, name)
) STRICT""",
    """CREATE TABLE IF NOT EXISTS seen (
    provider TEXT NOT NULL, id TEXT NOT NULL, facts BLOB NOT NULL, PRIMARY KEY (provider, id)
) STRICT""",
)


class Unfinished(msgspec.Struct, frozen=True):
    """`step`: the last one that was begun.  `reason`: why it went no further, empty while it goes on or nobody knows.

    `left`: whether it is at the provider, None where nobody knows.  `told`: whether there is an event that says so.
    `process`: which one is, or was, at it.
    """

    provider: str
    name: str
    profile: str
    driver: str
    instance_id: str | None
    step: str
    since_ns: int
    process: str
    reason: str
    left: bool | None
    told: bool

    @property
    def goes_on(self) -> bool:
        return not self.reason and self.process == process_name(int(self.process.partition(":")[0]))


_FIELDS = ", ".join(Unfinished.__struct_fields__)


class Ledger:
    """A context manager.  Every call is one transaction on disk."""

    def __init__(self, folder: Path) -> None:
        path = private_folder(folder, "state") / "cloud.db"
        # SQLite would give it the modes of the umask; its other files take those of this one. One that is there is not
        # opened: closing it would end the locks of our other connections to it (fcntl(2)).
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            if path.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from None
        self._path = path
        self._database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", *_TABLES):
                self._execute(statement)
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    # -- What is unfinished ------------------------------------------------------------------------------------------

    def begin(self, provider: str, name: str, profile: str, driver: str) -> None:
        """Raises MachineUnfinished: a machine of that name at that provider has been begun before."""
        with self._transaction():
            before = self.find(provider, name)
            if before is not None:
                raise MachineUnfinished(
                    f"{name} at {provider} was begun before, and got to {before.step}: see `sylvite cloud list`, and "
                    f"`sylvite cloud destroy {name}`"
                )
            self._execute(
                f"INSERT INTO unfinished ({_FIELDS}) VALUES (?, ?, ?, ?, NULL, 'creating', ?, ?, '', NULL, 0)",  # noqa: S608 - our own names
                (provider, name, profile, driver, time.time_ns(), process_name(os.getpid())),
            )

    def step(self, provider: str, name: str, step: str) -> None:
        self._set(provider, name, "step", step)

    def known(self, provider: str, name: str, instance_id: str) -> None:
        """The machine exists, and has this id."""
        self._set(provider, name, "instance_id", instance_id)

    def stopped(self, provider: str, name: str, reason: str, *, left: bool | None) -> None:
        self._set(provider, name, "reason", reason)
        self._set(provider, name, "left", left)

    def told(self, provider: str, name: str) -> None:
        self._set(provider, name, "told", 1)

    def settle(self, provider: str, name: str) -> None:
        """It is finished, or not there: there is nothing left to remember."""
        self._execute("DELETE FROM unfinished WHERE provider = ? AND name = ?", (provider, name))

    def settle_machine(self, machine: Machine) -> None:
        """This machine is gone; another of its name, that was begun too, is not."""
        for one in self.unfinished():
            same = one.name == machine.name if one.instance_id is None else one.instance_id == machine.id
            if one.provider == machine.provider and same:
                self.settle(one.provider, one.name)

    def find(self, provider: str, name: str) -> Unfinished | None:
        return next((one for one in self.unfinished() if (one.provider, one.name) == (provider, name)), None)

    def unfinished(self) -> list[Unfinished]:
        rows = self._execute(f"SELECT {_FIELDS} FROM unfinished ORDER BY since_ns").fetchall()  # noqa: S608 - our own names
        return [
            msgspec.convert(dict(zip(Unfinished.__struct_fields__, row, strict=True)), Unfinished, strict=False)
            for row in rows
        ]

    def _set(self, provider: str, name: str, column: str, value: object) -> None:
        self._execute(
            f"UPDATE unfinished SET {column} = ? WHERE provider = ? AND name = ?",  # noqa: S608 - our own names
            (value, provider, name),
        )

    # -- What was seen last ------------------------------------------------------------------------------------------

    def seen(self, provider: str) -> dict[str, dict[str, Any]]:
        """Return the facts of the machines that were there last, by id."""
        rows = self._execute("SELECT id, facts FROM seen WHERE provider = ?", (provider,))
        return {identity: msgspec.msgpack.decode(facts) for identity, facts in rows}

    def saw(self, provider: str, machines: Iterable[Machine]) -> None:
        """These, and no others, are there."""
        with self._transaction():
            self._execute("DELETE FROM seen WHERE provider = ?", (provider,))
            for machine in machines:
                self.saw_one(machine)

    def saw_one(self, machine: Machine) -> None:
        self._execute(
            "INSERT OR REPLACE INTO seen VALUES (?, ?, ?)",
            (machine.provider, machine.id, msgspec.msgpack.encode(machine.facts())),
        )

    def forget(self, provider: str, instance_id: str) -> None:
        self._execute("DELETE FROM seen WHERE provider = ? AND id = ?", (provider, instance_id))

    def _execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Raises LedgerFailed."""
        try:
            return self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise LedgerFailed(f"what is unfinished cannot be kept or read ({self._path}): {error}") from error

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._execute("ROLLBACK")
            raise
        self._execute("COMMIT")


def process_name(pid: int) -> str:
    """Return what tells a process from any other that had or will have its number; of one that is gone, its number.

    Source: proc(5): the start time is field 22 of stat, 19 behind the name, which stands in brackets.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            started = file.read().rpartition(b")")[2].split()[19].decode()
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
    except (OSError, IndexError):
        return str(pid)
    return f"{pid}:{started}:{boot}"
