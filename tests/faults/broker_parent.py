"""A warm parent of brokers: a program that has everything imported, and forks a broker when it is told to.

Starting Python and importing costs some 300 ms; a fork costs one.  Commands are lines of JSON on standard input, each
answered with one line on standard output.  When standard input ends, its brokers die with it.

    {"verb": "start", ...}               → {"pid": 7, "ready": true}   a Start below; not ready: it ended, or was killed
    {"verb": "end", "pid", "signal"}     → {"code": -9}                signal 0: wait until it ends by itself

A broker that does not end in time is killed, so that its code is -9.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import uvloop

import sylvite.daemons.broker as daemon
from sylvite.broker.settings import BrokerSettings
from sylvite.broker.subscription import Subscription
from sylvite.cli.exit_codes import exit_code_of
from sylvite.daemons.broker import BrokerOptions
from sylvite.errors import SylviteError
from sylvite.eventlog import eventlog
from sylvite.eventlog.sources import Sources
from sylvite.eventlog.storage import DiskFile, DiskStorage
from sylvite.testing.storage import WRITE_CALLS, Moment, WatchedStorage

FAULTS_FILE = "faults"
"""Where a broker says that its fault has happened: one line each time."""
READY_WITHIN_S = ENDED_WITHIN_S = 20.0
_PR_SET_PDEATHSIG = 1


class DiskFault(msgspec.Struct, frozen=True):
    """At the `at`-th call (from 1) named `call` (None: any that writes): fail with `error`, or die where that is 0."""

    call: str | None = None
    at: int = 1
    error: int = 0
    sticky: bool = False
    moment: Moment = "before"


class Start(msgspec.Struct, frozen=True):
    """`without`: a safeguard to take out (CONTROLS).  `killed_after_s`: it is killed then, ready or not."""

    folder: str
    settings: BrokerSettings = BrokerSettings()
    socket: str | None = None
    log_folder: str | None = None
    fault: DiskFault | None = None
    without: str | None = None
    killed_after_s: float | None = None
    file_bytes_max: int | None = None
    accept_loss: bool = False


class Started(msgspec.Struct, frozen=True):
    pid: int
    ready: bool


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


def _replace(owner: object, name: str, by: object) -> None:
    setattr(owner, name, by)


def _no_deduplication() -> None:
    def always(*_: object) -> bool:
        return True

    _replace(Sources, "is_new", always)


def _late_writes() -> None:
    """Keep each write of batches in the process until the next call on that file: an answer comes before its write."""
    late: dict[DiskFile, tuple[int, bytes]] = {}
    write_at, sync, truncate = DiskFile.write_at, DiskFile.sync, DiskFile.truncate

    def write_now(file: DiskFile) -> None:
        if file in late:
            position, content = late.pop(file)
            write_at(file, position, [content])

    def write_late(file: DiskFile, position: int, parts: Sequence[bytes]) -> None:
        write_now(file)
        late[file] = (position, b"".join(parts))

    def sync_late(file: DiskFile) -> None:
        write_now(file)
        sync(file)

    def truncate_late(file: DiskFile, size: int) -> None:
        write_now(file)
        truncate(file, size)

    for name, late_call in (("write_at", write_late), ("sync", sync_late), ("truncate", truncate_late)):
        _replace(DiskFile, name, late_call)


def _trust_in_failed_syncs() -> None:
    """Take a sync that failed for one that worked."""
    run = eventlog.SyncJob.run

    def believe(job: eventlog.SyncJob) -> None:
        with contextlib.suppress(OSError):
            run(job)

    _replace(eventlog.SyncJob, "run", believe)


def _live_too_early() -> None:
    """Let a subscription go live after the first piece of history."""
    catch_up = Subscription.catch_up

    def jump(subscription: Subscription, *arguments: Any) -> bool:
        catch_up(subscription, *arguments)
        subscription.live = True
        return False

    _replace(Subscription, "catch_up", jump)


def _no_look_at_free_space() -> None:
    """Let the disk say itself that it is full."""

    def plenty(_: DiskStorage) -> int:
        return 1 << 50

    _replace(DiskStorage, "free_bytes", plenty)


def _no_lock() -> None:
    def take_nothing(_: DiskStorage) -> None:
        return

    _replace(DiskStorage, "lock", take_nothing)


def _no_full_disk() -> None:
    """Take a full disk for a broken one."""
    _no_look_at_free_space()

    def never(_: OSError) -> bool:
        return False

    _replace(eventlog, "is_full", never)


CONTROLS: dict[str, Callable[[], None]] = {
    "deduplication": _no_deduplication,
    "write before answer": _late_writes,
    "doubt about failed syncs": _trust_in_failed_syncs,
    "looking at free space": _no_look_at_free_space,
    "the lock": _no_lock,
    "knowing a full disk": _no_full_disk,
    "reading on until the end": _live_too_early,
}


def _serve(start: Start, ready: int) -> int:
    folder = Path(start.folder)
    if start.without is not None:
        CONTROLS[start.without]()
    if start.file_bytes_max is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (start.file_bytes_max, resource.RLIM_INFINITY))
    if start.fault is not None:
        told = os.open(folder / FAULTS_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        watch = _FaultyDisk(start.fault, told)

        def faulty(log_folder: Path) -> WatchedStorage:
            return WatchedStorage(DiskStorage(log_folder), watch)

        _replace(daemon, "DiskStorage", faulty)
    options = BrokerOptions(
        folder=folder,
        socket=Path(start.socket) if start.socket else None,
        log_folder=Path(start.log_folder) if start.log_folder else None,
        settings=start.settings,
        accept_loss=start.accept_loss,
        ready_fd=ready,
    )
    try:
        return daemon.main(options)
    except SylviteError as error:
        os.write(2, f"{error.code}: {error}\n".encode())
        return exit_code_of(error.code)


# -- In the parent -------------------------------------------------------------------------------------------------


def _start(start: Start) -> Started:
    readable, ready = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        os.close(readable)
        os._exit(_child(start, ready, parent))
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


def _child(start: Start, ready: int, parent: int) -> int:
    # A broker does not outlive its parent, however that ends.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    Path(start.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    output = os.open(Path(start.folder) / "broker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    try:
        return _serve(start, ready)
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


def main() -> None:
    assert uvloop.new_event_loop  # imported here, so that no broker has to
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        command = msgspec.json.decode(line)
        if command["verb"] == "start":
            answer: object = _start(msgspec.convert(command, Start))
        else:
            answer = {"code": _end(command["pid"], command["signal"])}
        print(msgspec.json.encode(answer).decode(), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
