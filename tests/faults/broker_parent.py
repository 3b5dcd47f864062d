"""A warm parent of brokers: a program that has everything imported, and forks a broker when it is told to.

Starting Python and importing costs some 300 ms; a fork costs one.  Commands are lines of JSON on standard input, each
answered with one line on standard output.  When standard input ends, its brokers die with it.

    {"verb": "start", ...}               → {"pid": 7, "ready": true}   a Start below; not ready: it ended, or was killed
    {"verb": "end", "pid", "signal"}     → {"code": -9}                signal 0: wait until it ends by itself

A broker that does not end in time is killed, so that its code is -9.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

import msgspec
import uvloop

import sylvite.daemons.broker as daemon
from sylvite.broker.settings import BrokerSettings
from sylvite.cli.exit_codes import exit_code_of
from sylvite.daemons.broker import BrokerOptions
from sylvite.daemons.logs import LogWish
from sylvite.errors import SylviteError
from sylvite.eventlog.storage import DiskStorage
from sylvite.testing.storage import WRITE_CALLS, Moment, WatchedStorage
from tests.faults.controls import CONTROLS, fail_allocations, replace, stop_at_stale_socket
from tests.faults.delivery_controls import DELIVERY_CONTROLS
from tests.faults.input_controls import INPUT_CONTROLS, say_everything

FAULTS_FILE = "faults"
"""Where a broker says that its fault has happened: one line each time."""
READY_WITHIN_S = ENDED_WITHIN_S = 60.0
_PR_SET_PDEATHSIG = 1


class DiskFault(msgspec.Struct, frozen=True):
    """At the `at`-th call (from 1) named `call` (None: any that writes): fail with `error`, or die where that is 0."""

    call: str | None = None
    at: int = 1
    error: int = 0
    sticky: bool = False
    moment: Moment = "before"


class Process(msgspec.Struct, frozen=True):
    """What the process of a broker is before it starts: real, effective and saved ids, groups, umask, open streams."""

    uids: tuple[int, int, int] | None = None
    gids: tuple[int, int, int] | None = None
    groups: tuple[int, ...] | None = None
    umask: int | None = None
    has_streams: bool = True

    def become(self) -> None:
        if self.groups is not None:
            os.setgroups(self.groups)
        if self.gids is not None:
            os.setresgid(*self.gids)
        if self.uids is not None:
            os.setresuid(*self.uids)
        if self.umask is not None:
            os.umask(self.umask)
        if not self.has_streams:
            os.closerange(0, 3)


class Start(msgspec.Struct, frozen=True):
    """`without`: a safeguard to take out (controls.py).  `killed_after_s`: it is killed then, ready or not.

    `output`: the folder of `broker.log`, where it shall not be `folder`, which then is not made either.
    """

    folder: str
    settings: BrokerSettings = BrokerSettings()
    socket: str | None = None
    log_folder: str | None = None
    fault: DiskFault | None = None
    without: str | None = None
    killed_after_s: float | None = None
    file_bytes_max: int | None = None
    accept_loss: bool = False
    tcp: bool = False
    config: str | None = None
    output: str | None = None
    process: Process = Process()
    debug: bool = False
    """It says everything that it and its libraries can say."""
    stops_at_stale_socket: bool = False
    """It stops itself (SIGSTOP), and says so, when it is about to remove a dead broker's socket."""
    allocations_fail: tuple[int, int] | None = None
    """From when it serves on, this one (from 1), and so many together."""


class Started(msgspec.Struct, frozen=True):
    pid: int
    ready: bool


S = TypeVar("S", bound=Start)
Serve = Callable[[S, int], int]
"""Runs what was forked, which writes to that descriptor once it is ready; returns its exit code."""


# -- In the broker -------------------------------------------------------------------------------------------------


class _FaultyDisk:
    """The watch that makes a DiskFault happen, and says so."""

    def __init__(self, fault: DiskFault, told: int) -> None:
        self._fault, self._told, self._count, self._lock = fault, told, 0, Lock()

    def __call__(self, moment: Moment, call: str) -> None:
        fault = self._fault
        wanted = call in WRITE_CALLS if fault.call is None else call == fault.call
        if moment != fault.moment or not wanted:
            return
        with self._lock:
            self._count += 1
            count = self._count
        if count == fault.at or (fault.sticky and count > fault.at):
            os.write(self._told, f"{moment} {call} {count}\n".encode())
            if not fault.error:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(fault.error, os.strerror(fault.error))


def _told(folder: Path) -> int:
    return os.open(folder / FAULTS_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def serve(start: Start, ready: int, beside: daemon.Beside | None = None) -> int:
    """Run a broker; `beside`: what runs in the same process."""
    folder = Path(start.folder)
    if start.without is not None:
        (CONTROLS | DELIVERY_CONTROLS | INPUT_CONTROLS)[start.without]()
    if start.file_bytes_max is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (start.file_bytes_max, resource.RLIM_INFINITY))
    if start.allocations_fail is not None:
        fail_allocations(*start.allocations_fail)
    if start.stops_at_stale_socket:
        stop_at_stale_socket(_told(folder))
    if start.fault is not None:
        told = _told(folder)
        watch = _FaultyDisk(start.fault, told)

        def faulty(log_folder: Path) -> WatchedStorage:
            return WatchedStorage(DiskStorage(log_folder), watch)

        replace(daemon, "DiskStorage", faulty)
    options = BrokerOptions(
        folder=folder,
        socket=Path(start.socket) if start.socket else None,
        log_folder=Path(start.log_folder) if start.log_folder else None,
        settings=start.settings,
        accept_loss=start.accept_loss,
        tcp=("127.0.0.1", 0) if start.tcp else None,
        config=Path(start.config) if start.config else None,
        ready_fd=ready,
        logging=LogWish("all" if start.debug else "info"),
    )
    start.process.become()
    if start.debug:
        say_everything()
    try:
        return daemon.main(options) if beside is None else daemon.main(options, beside)
    except SylviteError as error:
        os.write(2, f"{error.code}: {error}\n".encode())
        return exit_code_of(error.code)


# -- In the parent -------------------------------------------------------------------------------------------------


def _start(start: S, run: Serve[S]) -> Started:
    readable, ready = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        os.close(readable)
        os._exit(_child(start, run, ready, parent))
    os.close(ready)
    try:
        wait_s = READY_WITHIN_S if start.killed_after_s is None else start.killed_after_s
        is_ready = bool(select.select([readable], [], [], wait_s)[0] and os.read(readable, 16))
    finally:
        os.close(readable)
    if start.killed_after_s is not None or not is_ready:
        # Not ready: it has ended, or hangs.
        descriptor = os.pidfd_open(pid)
        ended = not is_ready and select.select([descriptor], [], [], 0 if start.killed_after_s else READY_WITHIN_S)[0]
        os.close(descriptor)
        if not ended:
            os.kill(pid, signal.SIGKILL)
    return Started(pid, is_ready)


def _child(start: S, run: Serve[S], ready: int, parent: int) -> int:
    # A broker does not outlive its parent, however that ends.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    place = Path(start.output or start.folder)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    output = os.open(place / "broker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    try:
        return run(start, ready)
    except BaseException:  # noqa: BLE001 - the top of a process
        traceback.print_exc()
        return 70


def _end(pid: int, number: int) -> int:
    if number:
        os.kill(pid, number)
    descriptor = os.pidfd_open(pid)
    if not select.select([descriptor], [], [], ENDED_WITHIN_S)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(kind: type[S], run: Serve[S]) -> None:
    assert uvloop.new_event_loop  # imported here, so that no broker has to
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        command = msgspec.json.decode(line)
        if command["verb"] == "start":
            answer: object = _start(msgspec.convert(command, kind), run)
        else:
            answer = {"code": _end(command["pid"], command["signal"])}
        print(msgspec.json.encode(answer).decode(), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(Start, serve)
