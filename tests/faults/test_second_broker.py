"""A-13: a second broker on a log or a socket that has one, and what dead ones leave behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, Started, broker_output, forked_brokers
from tests.faults.report import report

SETTINGS = BrokerSettings(log=LogSettings(keep_free_bytes=0))
TRY_AGAIN, CONFIGURATION = 75, 78
REFUSED_WITHIN_S = 5.0
"""The target is 1 s; a machine that is busy with other tests is given more."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a13")


class Case:
    """A first broker in `first`, and room for a second one in `second`."""

    def __init__(self, forks: Forks, folder: Path) -> None:
        self.forks, self.folder = forks, folder
        self.first, self.second = folder / "first", folder / "second"
        self.second.mkdir(mode=0o700)
        self.refusals_s: list[float] = []

    def start(
        self, place: Path, *, log: Path | None = None, at: Path | None = None, without: str | None = None
    ) -> Started:
        return self.forks.start(
            Start(
                str(place), SETTINGS, log_folder=str(log) if log else None, socket=str(at) if at else None,
                without=without,
            )
        )  # fmt: skip

    @contextmanager
    def running(self) -> Generator[Started]:
        """The first broker, which has one event, and is unharmed at the end."""
        started = self.start(self.first)
        assert started.ready, broker_output(self.first)
        with Client.connect(self.first / "bus.sock") as client:
            client.publish("load/one", {"n": 0})
        try:
            yield started
        finally:
            os.kill(started.pid, signal.SIGCONT)
        with Client.connect(self.first / "bus.sock") as client:
            assert client.welcome.broker == f"broker:{started.pid}"
            client.publish("load/one", {"n": 1})
            with client.subscribe("load/", since="oldest", until_end=True) as subscription:
                assert [event.data["n"] for event in subscription] == [0, 1]
        assert self.forks.stop(started.pid) == 0, broker_output(self.first)

    def refused(
        self, place: Path, code: int, *, log: Path | None = None, at: Path | None = None, without: str | None = None
    ) -> None:
        """Start another one, which must end by itself with that code, and soon."""
        began = time.monotonic()
        started = self.start(place, log=log, at=at, without=without)
        if started.ready:
            self.forks.kill(started.pid)
            raise AssertionError("a second broker serves")
        assert self.forks.ended(started.pid) == code, broker_output(place)
        self.refusals_s.append(time.monotonic() - began)
        assert "Traceback" not in broker_output(place), broker_output(place)

    def serves(self, place: Path, *, events: int, log: Path | None = None) -> None:
        """Start one that must serve, with so many events in its log."""
        started = self.start(place, log=log)
        assert started.ready, broker_output(place)
        with Client.connect(place / "bus.sock") as client:
            client.publish("load/one", {"n": -1})
            with client.subscribe("load/", since="oldest", until_end=True) as subscription:
                assert len(list(subscription)) == events + 1
        assert self.forks.stop(started.pid) == 0


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


def _same_socket_other_log(case: Case) -> None:
    with case.running():
        case.refused(case.second, CONFIGURATION, at=case.first / "bus.sock")


def _same_socket_of_a_stopped_one(case: Case) -> None:
    with case.running() as first:
        os.kill(first.pid, signal.SIGSTOP)
        case.refused(case.second, CONFIGURATION, at=case.first / "bus.sock")


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
    _leave_socket(stale)
    before = stale.lstat()
    with case.running():
        case.refused(case.second, TRY_AGAIN, log=case.first / "log")
    assert stale.lstat() == before


def _stale_socket_of_another_program(case: Case) -> None:
    _leave_socket(case.second / "bus.sock")
    case.serves(case.second, events=0)


def _leave_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


CASES: tuple[Callable[[Case], None], ...] = (
    _same_folder,
    _same_folder_ten_times,
    _holder_is_stopped,
    _same_log_other_socket,
    _through_a_link,
    _after_the_lock_file_was_deleted,
    _after_the_log_was_moved,
    _same_socket_other_log,
    _same_socket_of_a_stopped_one,
    _copied_while_it_runs,
    _after_a_kill,
    _stale_socket_and_no_lock,
    _stale_socket_of_another_program,
)


@pytest.mark.parametrize("run", CASES, ids=lambda run: run.__name__.strip("_"))
def test_a_second_broker_ends_and_the_first_is_unharmed(
    forks: Forks, folder: Path, run: Callable[[Case], None]
) -> None:
    case = Case(forks, folder)
    run(case)
    counters = {"refusals": len(case.refusals_s), "slowest_s": round(max(case.refusals_s, default=0.0), 3)}
    report("A-13", seed=0, runs=1, counters=counters, target={"slowest_s": REFUSED_WITHIN_S})


def _file(path: Path) -> None:
    path.write_text("a report of mine")


def _folder(path: Path) -> None:
    path.mkdir()


def _link_to_a_file(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("a report of mine")
    path.symlink_to(target)


def _link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def _link_to_a_stale_socket(path: Path) -> None:
    _leave_socket(path.with_name("elsewhere.sock"))
    path.symlink_to(path.with_name("elsewhere.sock"))


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    "make", [_file, _folder, _link_to_a_file, _link_to_nothing, _link_to_a_stale_socket, _fifo],
    ids=lambda make: make.__name__.strip("_"),
)  # fmt: skip
def test_what_is_no_socket_is_never_replaced(forks: Forks, folder: Path, make: Callable[[Path], None]) -> None:
    case = Case(forks, folder)
    place = case.second / "bus.sock"
    make(place)
    before = place.lstat()
    case.refused(case.second, CONFIGURATION)
    assert place.lstat() == before
    report("A-13", seed=0, runs=1, counters={"replaced": 0})


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
    with case.running(), pytest.raises(AssertionError, match="a second broker serves"):
        case.refused(case.second, TRY_AGAIN, log=case.first / "log", without="the lock")
