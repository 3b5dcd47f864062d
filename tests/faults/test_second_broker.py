"""A-13: a second broker on a log that has one, and what dead ones leave behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.report import control, report
from tests.faults.two_brokers import CONFIGURATION, REFUSED_WITHIN_S, TRY_AGAIN, Case, leave_socket


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a13")


def _same_folder(case: Case) -> None:
    with case.running():
        case.refused(case.first, TRY_AGAIN)


def _same_folder_ten_times(case: Case) -> None:
    with case.running():
        for _ in range(10):
            case.refused(case.first, TRY_AGAIN)


def _holder_is_stopped(case: Case) -> None:
    with case.running() as first:
        os.kill(first.pid, signal.SIGSTOP)
        case.refused(case.first, TRY_AGAIN)


def _same_log_other_socket(case: Case) -> None:
    with case.running():
        case.refused(case.second, TRY_AGAIN, log=case.first / "log")
        assert not (case.second / "bus.sock").exists()


def _through_a_link(case: Case) -> None:
    with case.running():
        link = case.folder / "link"
        link.symlink_to(case.first)
        case.refused(link, TRY_AGAIN)


def _after_the_lock_file_was_deleted(case: Case) -> None:
    """The file is not what holds the log: an operator who removes it does not let a second broker in."""
    with case.running():
        (case.first / "log" / "lock").unlink()
        case.refused(case.second, TRY_AGAIN, log=case.first / "log")


def _after_the_log_was_moved(case: Case) -> None:
    with case.running():
        (case.first / "log").rename(case.second / "moved")
        case.refused(case.second, TRY_AGAIN, log=case.second / "moved")
        (case.second / "moved").rename(case.first / "log")


def _copied_while_it_runs(case: Case) -> None:
    with case.running():
        shutil.copytree(case.first / "log", case.second / "log")
        case.serves(case.second, events=1)


def _after_a_kill(case: Case) -> None:
    """Socket and lock file of a dead broker are in nobody's way."""
    started = case.start(case.first)
    case.forks.kill(started.pid)
    assert (case.first / "bus.sock").is_socket()
    case.serves(case.first, events=0)


def _stale_socket_and_no_lock(case: Case) -> None:
    """Who does not get the log does not touch a socket, stale as it may be."""
    stale = case.second / "bus.sock"
    leave_socket(stale)
    before = stale.lstat()
    with case.running():
        case.refused(case.second, TRY_AGAIN, log=case.first / "log")
    assert stale.lstat() == before


def _whole_folder_copied_while_it_runs(case: Case) -> None:
    """With its locks, which name the first one, and its socket, at which nobody listens."""
    with case.running():
        subprocess.run(["cp", "-a", case.first, case.second / "copy"], check=True)
        assert (case.second / "copy" / "bus.sock").is_socket()
        case.serves(case.second / "copy", events=1)


def _held_by_another_program(case: Case) -> None:
    """Such as a backup that wants the log to keep still."""
    (case.second / "log").mkdir(mode=0o700)
    with (case.second / "log" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        case.refused(case.second, TRY_AGAIN)
    case.serves(case.second, events=0)


def _the_holder_dies_after_the_refusal(case: Case) -> None:
    started = case.start(case.first)
    case.refused(case.first, TRY_AGAIN)
    case.forks.kill(started.pid)
    case.serves(case.first, events=0)


CASES: tuple[Callable[[Case], None], ...] = (
    _same_folder,
    _same_folder_ten_times,
    _holder_is_stopped,
    _same_log_other_socket,
    _through_a_link,
    _after_the_lock_file_was_deleted,
    _after_the_log_was_moved,
    _copied_while_it_runs,
    _after_a_kill,
    _stale_socket_and_no_lock,
    _whole_folder_copied_while_it_runs,
    _held_by_another_program,
    _the_holder_dies_after_the_refusal,
)


@pytest.mark.parametrize("run", CASES, ids=lambda run: run.__name__.strip("_"))
def test_a_second_broker_ends_and_the_first_is_unharmed(
    forks: Forks, folder: Path, run: Callable[[Case], None]
) -> None:
    case = Case(forks, folder)
    run(case)
    counters = {"refusals": len(case.refusals_s), "slowest_s": round(max(case.refusals_s, default=0.0), 3)}
    report("A-13", seed=0, runs=1, counters=counters, target={"slowest_s": REFUSED_WITHIN_S})


def _folder(path: Path) -> None:
    path.mkdir()


def _link_to_a_file(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("a report of mine")
    path.symlink_to(target)


def _link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


@pytest.mark.parametrize("content", [b"", b"1\n", b"%d\n" % os.getpid(), b"no number", b"\0" * 5000])
def test_what_a_lock_file_says_does_not_matter(forks: Forks, folder: Path, content: bytes) -> None:
    """The process that it names may be another one by now: only the lock itself counts."""
    case = Case(forks, folder)
    (case.second / "log").mkdir(mode=0o700)
    (case.second / "log" / "lock").write_bytes(content)
    case.serves(case.second, events=0)
    report("A-13", seed=0, runs=1, counters={"refused": 0})


@pytest.mark.parametrize(
    "make", [_folder, _link_to_a_file, _link_to_nothing], ids=lambda make: make.__name__.strip("_")
)
def test_a_lock_that_is_no_file_is_refused_and_left_alone(
    forks: Forks, folder: Path, make: Callable[[Path], None]
) -> None:
    case = Case(forks, folder)
    (case.second / "log").mkdir(mode=0o700)
    make(case.second / "log" / "lock")
    before = (case.second / "log" / "lock").lstat()
    case.refused(case.second, CONFIGURATION)
    assert (case.second / "log" / "lock").lstat() == before
    report("A-13", seed=0, runs=1, counters={"replaced": 0})


def test_without_the_lock_a_second_broker_is_found_out(forks: Forks, folder: Path) -> None:
    """Negative control: a broker that does not ask for the lock."""
    case = Case(forks, folder)
    with case.running(), control("A-13", without="the lock", match="a second broker serves"):
        case.refused(case.second, TRY_AGAIN, log=case.first / "log", without="the lock")
