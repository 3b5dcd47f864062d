"""The job store on a bad day: killed writers, full disks, and files that are not what they should be."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sylvite.errors import DiskFull, JobStoreFailed, JobStoreInUse
from sylvite.jobs.store import VERSION, JobStore, open_jobs, read_jobs
from sylvite.jobs.values import Arrival, Return
from tests.jobs.stores import JID, NOW_NS, fill, job, take

WRITER = """
import sys
from pathlib import Path
from sylvite.jobs.store import open_jobs
from sylvite.jobs.values import Job, Return
store = open_jobs(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    jid = f"20261123224730{number:06}"
    store.add(Job(jid, "test.ping", (), "*", "glob", "root", ("web1", "web2")), number)
    print("added", jid, flush=True)
    store.take([Return(jid, "web1", number), Return(jid, "web2", "x" * (number % 5000))], number)
    print("taken", jid, flush=True)
    number += 1
"""


@pytest.mark.parametrize("lines", [1, 40])
def test_a_killed_writer_loses_nothing_that_it_was_told_is_kept(path: Path, lines: int) -> None:
    """Three times in a row, each time at another place; the next writer goes on at once."""
    for start in (0, 1000, 2000):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        assert writer.stdout is not None
        told = [writer.stdout.readline().split() for _ in range(lines)]
        writer.kill()
        told += [line.split() for line in writer.communicate()[0].splitlines()]
        with open_jobs(path) as store:
            for what, jid in told:
                found = store.find(jid)
                assert found.expected == 2
                if what == "taken":
                    assert next(answer.value for answer in store.answers(jid)) == int(jid[-6:])
                    assert found.returned == 2
            # A transaction is there as a whole, or not at all.
            assert all(each.returned in (0, 2) for each in store.page(count=1000))


def test_a_full_disk_is_said_and_costs_nothing_of_what_is_there(store: JobStore) -> None:
    """The database may take no more pages; then it may again."""
    store.add(job(), NOW_NS)
    connection: sqlite3.Connection = store._connection  # pyright: ignore[reportPrivateUsage] - the seam for the fault
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    before = store.kept_bytes
    for _ in range(2):
        with pytest.raises(DiskFull, match="the disk is full"):
            store.take([Return(JID, "web1", "x" * 100_000), Return(JID, "web2", 1)], NOW_NS)
    assert store.answers(JID) == []
    assert store.kept_bytes == before
    connection.execute("PRAGMA max_page_count = 1000000")
    assert take(store, "web1", "x" * 100_000) is Arrival.EXPECTED


def test_one_process_writes_and_others_read_meanwhile(store: JobStore, path: Path) -> None:
    store.add(job(), NOW_NS)
    with read_jobs(path) as reader:
        take(store, "web1")
        assert [answer.minion for answer in reader.answers(JID)] == ["web1"]
        with pytest.raises(JobStoreInUse, match=f"in use by process {os.getpid()}"):
            open_jobs(path)
        take(store, "web2")
        assert not reader.find(JID).is_active
    store.close()
    with open_jobs(path) as again:
        assert again.find(JID).returned == 2


def test_files_are_for_their_owner_alone(store: JobStore, path: Path) -> None:
    store.add(job(), NOW_NS)
    modes = {found.name: found.stat().st_mode & 0o777 for found in path.parent.iterdir()}
    assert set(modes) >= {"jobs.db", "jobs.db.lock"}
    assert set(modes.values()) == {0o600}


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_public(path: Path) -> None:
    path.touch(mode=0o600)
    path.chmod(0o644)


def make_second_name(path: Path) -> None:
    path.touch(mode=0o600)
    os.link(path, path.with_name("other"))


def make_text(path: Path) -> None:
    path.touch(mode=0o600)
    path.write_text("not a database, but long enough to be taken for one" * 100)


def make_foreign(path: Path) -> None:
    path.touch(mode=0o600)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (a)")
    connection.close()


def make_newer(path: Path) -> None:
    open_jobs(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_link, "is a link"), (make_public, "can be used by others"), (make_second_name, "another name elsewhere"),
        (os.mkfifo, "is no regular file"), (Path.mkdir, "is a directory"), (make_text, "is damaged"),
        (make_foreign, "is a file of another program"), (make_newer, "has version 2"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_ours_is_left_as_it_is(path: Path, make: Any, reason: str) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for _ in range(2):
        with pytest.raises(JobStoreFailed, match=reason):
            open_jobs(path)
    assert before is None or path.read_bytes() == before


def test_a_damaged_file_is_told_with_a_cure(path: Path) -> None:
    with open_jobs(path) as store:
        fill(store, 60)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(JobStoreFailed, match="is damaged"), open_jobs(path) as store:
        store.page()


def test_there_is_nothing_to_read_where_nobody_has_written(path: Path) -> None:
    with pytest.raises(JobStoreFailed, match="cannot be used"):
        read_jobs(path)
    assert not path.exists()
