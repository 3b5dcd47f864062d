"""A-13: a second broker, with a log of its own, at a socket that has one, and what dead ones leave behind."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sylvite.client.sync_client import Client
from tests.faults.forked_brokers import (
    Forks,
    Start,
    broker_output,
    faults_that_happened,
    forked_brokers,
)
from tests.faults.report import control, report
from tests.faults.traffic import wait_until
from tests.faults.two_brokers import CONFIGURATION, REFUSED_WITHIN_S, SETTINGS, TRY_AGAIN, Case, leave_socket

RACES = 20


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@pytest.fixture(scope="module")
def other_forks() -> Iterator[Forks]:
    """Another parent, for two brokers that start at the same time."""
    with forked_brokers() as parent:
        yield parent


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a13")


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _other_log(case: Case) -> None:
    with case.running():
        case.refused(case.second, TRY_AGAIN, at=case.first / "bus.sock")


def _holder_is_stopped(case: Case) -> None:
    with case.running() as first:
        os.kill(first.pid, signal.SIGSTOP)
        case.refused(case.second, TRY_AGAIN, at=case.first / "bus.sock")


def _lock_file_was_deleted(case: Case) -> None:
    """The lock is new then, and free; but somebody answers at the socket."""
    with case.running():
        _lock_of(case.first / "bus.sock").unlink()
        case.refused(case.second, TRY_AGAIN, at=case.first / "bus.sock")


def _lock_file_was_deleted_and_the_holder_is_stopped(case: Case) -> None:
    with case.running() as first:
        _lock_of(case.first / "bus.sock").unlink()
        os.kill(first.pid, signal.SIGSTOP)
        case.refused(case.second, TRY_AGAIN, at=case.first / "bus.sock")


def _another_program_listens(case: Case) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(case.second / "bus.sock"))
        listening.listen()
        case.refused(case.second, TRY_AGAIN)
        assert (case.second / "bus.sock").is_socket()


def _another_program_listens_with_a_full_queue(case: Case) -> None:
    path = str(case.second / "bus.sock")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as waiting:
        listening.bind(path)
        listening.listen(0)
        waiting.connect(path)
        case.refused(case.second, TRY_AGAIN)


def _another_program_holds_the_lock(case: Case) -> None:
    """Whoever it is: the stale socket is not for us to take away."""
    path = case.second / "bus.sock"
    leave_socket(path)
    before = path.lstat()
    with _lock_of(path).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        case.refused(case.second, TRY_AGAIN)
    assert path.lstat() == before
    case.serves(case.second, events=0)


def _stale_socket(case: Case) -> None:
    leave_socket(case.second / "bus.sock")
    case.serves(case.second, events=0)


def _left_by_a_killed_broker_of_another_log(case: Case) -> None:
    case.forks.kill(case.start(case.first).pid)
    assert (case.first / "bus.sock").is_socket()
    assert _lock_of(case.first / "bus.sock").is_file()
    case.serves(case.second, events=0, at=case.first / "bus.sock")


def _after_an_orderly_end(case: Case) -> None:
    with case.running():
        pass
    assert not (case.first / "bus.sock").exists()
    assert not _lock_of(case.first / "bus.sock").exists()
    case.serves(case.second, events=0, at=case.first / "bus.sock")


def _the_first_ends_after_its_place_was_cleared(case: Case) -> None:
    """An operator has deleted socket and lock, and started another one there: the first leaves that alone."""
    path = case.first / "bus.sock"
    first = case.start(case.first)
    path.unlink()
    _lock_of(path).unlink()
    second = case.start(case.second, at=path)
    assert second.ready, broker_output(case.second)
    assert case.forks.stop(first.pid) == 0
    with Client.connect(path) as client:
        assert client.welcome.broker == f"broker:{second.pid}"
    assert _lock_of(path).is_file()
    assert case.forks.stop(second.pid) == 0


def _address_file_of_a_running_one(case: Case) -> None:
    """The same DIR, but another log and another socket: only the address of --tcp is in the way."""
    with case.running(tcp=True):
        before = (case.first / "bus.tcp").read_bytes()
        case.refused(case.first, TRY_AGAIN, log=case.second / "log", at=case.second / "bus.sock", tcp=True)
        assert (case.first / "bus.tcp").read_bytes() == before
        assert not (case.second / "bus.sock").exists()


def _address_file_of_a_killed_one(case: Case) -> None:
    case.forks.kill(case.start(case.first, tcp=True).pid)
    assert (case.first / "bus.tcp").is_file()
    case.serves(case.first, events=0, tcp=True)


CASES: tuple[Callable[[Case], None], ...] = (
    _other_log,
    _holder_is_stopped,
    _lock_file_was_deleted,
    _lock_file_was_deleted_and_the_holder_is_stopped,
    _another_program_listens,
    _another_program_listens_with_a_full_queue,
    _another_program_holds_the_lock,
    _stale_socket,
    _left_by_a_killed_broker_of_another_log,
    _after_an_orderly_end,
    _the_first_ends_after_its_place_was_cleared,
    _address_file_of_a_running_one,
    _address_file_of_a_killed_one,
)


@pytest.mark.parametrize("run", CASES, ids=lambda run: run.__name__.strip("_"))
def test_a_socket_is_taken_only_where_nobody_has_it(forks: Forks, folder: Path, run: Callable[[Case], None]) -> None:
    case = Case(forks, folder)
    run(case)
    counters = {"refusals": len(case.refusals_s), "slowest_s": round(max(case.refusals_s, default=0.0), 3)}
    report("A-13", seed=0, runs=1, counters=counters, target={"slowest_s": REFUSED_WITHIN_S})


def _file(path: Path) -> None:
    path.write_text("a report of mine")


def _folder(path: Path) -> None:
    path.mkdir()


def _link_to_a_file(path: Path) -> None:
    _file(path.with_name("target"))
    path.symlink_to(path.with_name("target"))


def _link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def _link_to_a_stale_socket(path: Path) -> None:
    leave_socket(path.with_name("elsewhere.sock"))
    path.symlink_to(path.with_name("elsewhere.sock"))


def _fifo(path: Path) -> None:
    os.mkfifo(path)


NO_SOCKETS = (_file, _folder, _link_to_a_file, _link_to_nothing, _link_to_a_stale_socket, _fifo)


@pytest.mark.parametrize("make", NO_SOCKETS, ids=lambda make: make.__name__.strip("_"))
def test_what_is_no_socket_is_never_replaced(forks: Forks, folder: Path, make: Callable[[Path], None]) -> None:
    case = Case(forks, folder)
    place = case.second / "bus.sock"
    make(place)
    before = place.lstat()
    case.refused(case.second, CONFIGURATION)
    assert place.lstat() == before
    report("A-13", seed=0, runs=1, counters={"replaced": 0})


NO_LOCKS = (_folder, _link_to_a_file, _link_to_nothing, _fifo)


@pytest.mark.parametrize("make", NO_LOCKS, ids=lambda make: make.__name__.strip("_"))
def test_a_lock_of_a_socket_that_is_no_file_is_refused_and_left_alone(
    forks: Forks, folder: Path, make: Callable[[Path], None]
) -> None:
    case = Case(forks, folder)
    place = _lock_of(case.second / "bus.sock")
    make(place)
    before = place.lstat()
    case.refused(case.second, CONFIGURATION)
    assert place.lstat() == before
    report("A-13", seed=0, runs=1, counters={"replaced": 0})


@pytest.mark.parametrize("content", [b"", b"%d\n" % os.getpid(), b"no number" * 1000])
def test_what_the_lock_of_a_socket_says_does_not_matter(forks: Forks, folder: Path, content: bytes) -> None:
    case = Case(forks, folder)
    _lock_of(case.second / "bus.sock").write_bytes(content)
    leave_socket(case.second / "bus.sock")
    case.serves(case.second, events=0)
    report("A-13", seed=0, runs=1, counters={"refused": 0})


# -- Two that want the same stale socket ----------------------------------------------------------------------------


def _stopped_in_the_middle(forks: Forks, other_forks: Forks, folder: Path, *, without: str | None = None) -> None:
    """One is stopped when it is about to remove a stale socket; another one comes; the first one goes on.

    Raises:
        AssertionError: both serve, or one has ended the other's socket.
    """
    case = Case(forks, folder)
    path = case.folder / "bus.sock"
    leave_socket(path)
    slow = Start(str(case.first), SETTINGS, str(path), stops_at_stale_socket=True, without=without)
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(other_forks.start, slow)
        wait_until(lambda: bool(faults_that_happened(case.first)), within_s=20, what="it stops itself", every_s=0.005)
        (pid,) = faults_that_happened(case.first)
        try:
            case.refused(case.second, TRY_AGAIN, at=path, without=without)
        finally:
            os.kill(int(pid), signal.SIGCONT)
            started = starting.result()
    assert started.ready, broker_output(case.first)
    with Client.connect(path) as client:
        assert client.welcome.broker == f"broker:{started.pid}"
    assert other_forks.stop(started.pid) == 0
    counters = {"both_serve": 0, "slowest_s": round(max(case.refusals_s), 3)}
    report("A-13", seed=0, runs=1, counters=counters, target={"both_serve": 0, "slowest_s": REFUSED_WITHIN_S})


def test_a_stale_socket_is_replaced_only_by_who_holds_its_lock(forks: Forks, other_forks: Forks, folder: Path) -> None:
    _stopped_in_the_middle(forks, other_forks, folder)


def test_without_its_lock_two_brokers_replace_a_stale_socket(forks: Forks, other_forks: Forks, folder: Path) -> None:
    """Negative control: a broker that does not ask for the lock of its socket."""
    with control("A-13", without="the lock of the socket", match="a second broker serves"):
        _stopped_in_the_middle(forks, other_forks, folder, without="the lock of the socket")


def test_of_two_that_start_at_once_on_a_stale_socket_one_serves(forks: Forks, other_forks: Forks, folder: Path) -> None:
    both_serve = 0
    with ThreadPoolExecutor(2) as threads:
        for race in range(RACES):
            place = folder / str(race)
            place.mkdir()
            path = place / "bus.sock"
            leave_socket(path)
            starts = [Start(str(place / name), SETTINGS, str(path)) for name in ("one", "two")]
            running = [
                threads.submit(parent.start, start) for parent, start in zip((forks, other_forks), starts, strict=True)
            ]
            started = [each.result() for each in running]
            serving = [each.pid for each in started if each.ready]
            both_serve += len(serving) != 1
            with Client.connect(path) as client:
                assert client.welcome.broker == f"broker:{serving[0]}"
            codes = [
                parent.stop(each.pid) if each.ready else parent.ended(each.pid)
                for parent, each in zip((forks, other_forks), started, strict=True)
            ]
            assert sorted(codes) == [0, TRY_AGAIN], [broker_output(place / name) for name in ("one", "two")]
    report("A-13", seed=0, runs=RACES, counters={"both_serve": both_serve})
