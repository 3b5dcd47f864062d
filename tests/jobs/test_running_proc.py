"""Files of jobs that run, and the signals that reach all of a job."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sylvite.errors import InvalidJid
from sylvite.jobs import proc

JID = "20261123224730000001"
JOB: dict[str, Any] = {
    "jid": JID,
    "fun": "test.echo",
    "arg": ["secret"],
    "tgt": "*",
    "tgt_type": "glob",
    "ret": "",
    "user": "root",
}


def test_a_job_is_shown_as_salt_shows_it(tmp_path: Path) -> None:
    """And only its user may read it: arguments may be secrets."""
    proc.keep_record(tmp_path, {**JOB, "to": 5, "metadata": {"a": 1}}, os.getpid())
    (found,) = proc.read_records(tmp_path)
    assert found.shown == {**JOB, "metadata": {"a": 1}, "pid": os.getpid()}
    assert (tmp_path / JID).stat().st_mode & 0o777 == 0o600
    assert proc.drop_record(tmp_path, JID) is True
    assert proc.drop_record(tmp_path, JID) is False
    assert proc.read_records(tmp_path) == []


def test_a_process_that_got_the_number_of_a_job_is_not_the_job(tmp_path: Path) -> None:
    proc.keep_record(tmp_path, JOB, os.getpid())
    record = msgspec.msgpack.decode((tmp_path / JID).read_bytes())
    (tmp_path / JID).write_bytes(msgspec.msgpack.encode({**record, "begun": record["begun"] - 1}))
    assert proc.read_records(tmp_path) == []
    assert proc.signal_tree(os.getpid(), record["begun"] - 1, signal.SIGKILL) is False


def test_a_job_whose_process_has_ended_does_not_run(tmp_path: Path) -> None:
    """Nor does one that nobody has waited for yet."""
    with subprocess.Popen(["sleep", "60"]) as process:
        proc.keep_record(tmp_path, JOB, process.pid)
        assert [job.pid for job in proc.read_records(tmp_path)] == [process.pid]
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert proc.read_records(tmp_path) == []
        process.wait()
    assert proc.read_records(tmp_path) == []


def test_a_job_that_waits_has_no_process(tmp_path: Path) -> None:
    proc.keep_record(tmp_path, JOB, None)
    (found,) = proc.read_records(tmp_path)
    assert (found.pid, found.shown["pid"]) == (None, None)


def test_files_of_others_are_no_jobs(tmp_path: Path) -> None:
    for name in ("notes", "../x", JID[:-1] + "2"):
        (tmp_path / name.replace("/", "_")).write_bytes(b"\xff\x00")
    (tmp_path / (JID[:-1] + "3")).write_bytes(msgspec.msgpack.encode([1]))
    (tmp_path / (JID[:-1] + "4")).write_bytes(msgspec.msgpack.encode({"jid": JID, "pid": 1, "begun": 1}))
    (tmp_path / (JID[:-1] + "5")).symlink_to("/etc/passwd")
    (tmp_path / (JID[:-1] + "6")).mkdir()
    os.mkfifo(tmp_path / (JID[:-1] + "7"))
    assert proc.read_records(tmp_path) == []
    assert proc.read_records(tmp_path / "nowhere") == []
    proc.drop_all(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [JID[:-1] + "6"]


def test_a_jid_is_never_a_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidJid):
        proc.keep_record(tmp_path, {**JOB, "jid": "../x"}, None)


PROGRAM = """
import os, subprocess, sys, time
inner = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"], start_new_session=True, stdout=subprocess.PIPE)
inner.stdout.readline()
print(inner.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that leads a session, and one that it has started in another session."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as outer:
        assert outer.stdout is not None
        inner = int(outer.stdout.readline())
        yield outer, inner
        for pid in (outer.pid, inner):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # That is what the test was about.


def ended(pid: int) -> bool:
    return proc.begun_of(pid) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_reaches_all_that_a_process_has_started(
    family: tuple[subprocess.Popen[str], int], number: int
) -> None:
    outer, inner = family
    descriptor = os.pidfd_open(inner)
    begun = proc.begun_of(outer.pid)
    assert begun is not None
    assert proc.signal_tree(outer.pid, begun, number) is True
    outer.wait(30)
    try:
        assert select.select([descriptor], [], [], 30)[0]
    finally:
        os.close(descriptor)
    assert ended(inner)


def test_control_a_signal_to_the_group_does_not(family: tuple[subprocess.Popen[str], int]) -> None:
    """So that the test above shows something."""
    outer, inner = family
    os.killpg(outer.pid, signal.SIGKILL)
    outer.wait(30)
    assert not ended(inner)
