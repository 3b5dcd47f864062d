"""Safeguards taken out of a broker, for the negative controls: each changes the process that it is called in."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import sylvite.daemons.broker as daemon
from sylvite.broker.place import Place
from sylvite.broker.subscription import Subscription
from sylvite.daemons.process import say_ready
from sylvite.eventlog import eventlog, recovery
from sylvite.eventlog.sources import Sources
from sylvite.eventlog.storage import DiskFile, DiskStorage


def replace(owner: object, name: str, by: object) -> None:
    setattr(owner, name, by)


def _no_deduplication() -> None:
    def always(*_: object) -> bool:
        return True

    replace(Sources, "is_new", always)


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
        replace(DiskFile, name, late_call)


def _no_syncs() -> None:
    """Say of everything that the disk has it."""

    def nothing(*_: object) -> None:
        return

    replace(DiskFile, "sync", nothing)
    replace(DiskStorage, "sync_folder", nothing)


def _trust_in_failed_syncs() -> None:
    """Take a sync that failed for one that worked."""
    run = eventlog.SyncJob.run

    def believe(job: eventlog.SyncJob) -> None:
        with contextlib.suppress(OSError):
            run(job)

    replace(eventlog.SyncJob, "run", believe)


def _live_too_early() -> None:
    """Let a subscription go live after the first piece of history."""
    catch_up = Subscription.catch_up

    def jump(subscription: Subscription, *arguments: Any) -> bool:
        catch_up(subscription, *arguments)
        subscription.live = True
        return False

    replace(Subscription, "catch_up", jump)


def _no_look_at_free_space() -> None:
    """Let the disk say itself that it is full."""

    def plenty(_: DiskStorage) -> int:
        return 1 << 50

    replace(DiskStorage, "free_bytes", plenty)


def _no_lock() -> None:
    def take_nothing(_: DiskStorage) -> None:
        return

    replace(DiskStorage, "lock", take_nothing)


def _no_lock_of_places() -> None:
    def take_nothing(_: Place) -> int:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    replace(Place, "_take_lock", take_nothing)


def stop_at_stale_socket(told: int) -> None:
    """Let this process stop itself (SIGSTOP) when it is about to remove a dead broker's socket; its id goes to `told`."""
    unlink = Path.unlink

    def stop_first(path: Path, missing_ok: bool = False) -> None:
        if stat.S_ISSOCK(path.lstat().st_mode):
            replace(Path, "unlink", unlink)
            os.write(told, b"%d\n" % os.getpid())
            os.kill(os.getpid(), signal.SIGSTOP)
        unlink(path, missing_ok)

    replace(Path, "unlink", stop_first)


def fail_allocations(at: int, many: int) -> None:
    """Let the `at`-th allocation from when the broker serves on fail, and those behind it up to so many."""
    hook: Any = import_module("_testcapi")  # of CPython; it has no types

    def then_fail(ready_fd: int | None) -> None:
        say_ready(ready_fd)
        hook.set_nomemory(at, at + many)

    replace(daemon, "say_ready", then_fail)


def _no_summaries() -> None:
    """Let recovery read every segment again, for what its summary would say."""

    def none(*_: object) -> None:
        return

    replace(recovery, "load_summary", none)


def _no_full_disk() -> None:
    """Take a full disk for a broken one."""
    _no_look_at_free_space()

    def never(_: OSError) -> bool:
        return False

    replace(eventlog, "is_full", never)


CONTROLS: dict[str, Callable[[], None]] = {
    "deduplication": _no_deduplication,
    "write before answer": _late_writes,
    "syncs": _no_syncs,
    "doubt about failed syncs": _trust_in_failed_syncs,
    "looking at free space": _no_look_at_free_space,
    "summaries": _no_summaries,
    "the lock": _no_lock,
    "the lock of the socket": _no_lock_of_places,
    "knowing a full disk": _no_full_disk,
    "reading on until the end": _live_too_early,
}
