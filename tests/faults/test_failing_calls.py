"""A-10: each call of the storage fails, once or for ever.  A-14: so does each call of a recovery, and it may die."""

from __future__ import annotations

import errno
import random
from itertools import count

import pytest

from sylvite.errors import LogDamaged, SylviteError
from sylvite.eventlog.eventlog import EventLog
from sylvite.testing.storage import MemoryStorage, WatchedStorage
from tests.eventlog.logs import NOW_NS
from tests.faults.report import control, report
from tests.faults.script import Crash, Run, check
from tests.faults.test_crash_at_every_call import MOMENTS, CrashAt

ERRORS = (errno.ENOSPC, errno.EIO, errno.EINTR, errno.EMFILE, errno.EACCES)


def _fail_calls(events: int, share: float, seed: int) -> None:
    """Fail each call of the script with each error, as many of the cases as `share` says."""
    rng = random.Random(seed)
    counters: dict[str, float] = {"violations": 0, "refused_starts": 0, "gave_up": 0, "refused": 0, "unknown": 0}
    runs = 0
    kinds = [(error, sticky, torn) for error in ERRORS for sticky in (False, True) for torn in (False, True)]
    for error, sticky, torn in kinds:
        for at in count(1):
            if rng.random() >= share and at > 1:
                if at > 5000:
                    break
                continue
            storage = MemoryStorage()
            fault = storage.fail(error, at=at, sticky=sticky, torn=torn)
            run = Run(storage)
            case = f"{errno.errorcode[error]} at call {at}, {'for ever' if sticky else 'once'}, torn: {torn}"
            try:
                run(events)
            except (OSError, SylviteError):
                assert not run.attempted, f"{case}: it reached the broker"
                counters["refused_starts"] += 1
            storage.faults.clear()
            if not fault.happened:
                break
            runs += 1
            counters["gave_up"] += run.failed
            counters["refused"] += len(run.refused)
            counters["unknown"] += len(run.unknown)
            check(storage.after_power_cut(rng), run, run.synced, f"{case}, power cut")
            check(storage.after_kill(), run, run.written, case)
    assert counters["refused"]
    assert counters["unknown"]
    report("A-10", seed=seed, runs=runs, counters=counters, target={"violations": 0})


def test_any_failing_call_leaves_what_was_answered() -> None:
    """A sample: what is answered is there, what is refused is not, after a kill and after a power cut."""
    _fail_calls(80, 0.05, seed=41)


@pytest.mark.long
@pytest.mark.parametrize("events", [80, 81, 82, 83])
def test_every_failing_call_leaves_what_was_answered(events: int) -> None:
    """In four scripts: how many events one has is its seed, too."""
    _fail_calls(events, 1.0, seed=42)


def test_answers_in_spite_of_errors_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a log that takes every write for done."""
    write = EventLog._write  # pyright: ignore[reportPrivateUsage] - the safeguard taken out

    def take_it_for_done(log: EventLog, raws: list[bytes], now_ns: int) -> int:
        try:
            return write(log, raws, now_ns)
        except SylviteError:
            return 0

    monkeypatch.setattr(EventLog, "_write", take_it_for_done)
    with control("A-10", without="believing errors of writes"):
        _fail_calls(80, 0.2, seed=43)


# -- Recovery --------------------------------------------------------------------------------------------------------


def _left_by_crashes(how_many: int, rng: random.Random) -> list[tuple[MemoryStorage, Run, set[int]]]:
    """What crashes have left at random calls: the storage, the run, and the numbers that are promised."""
    left: list[tuple[MemoryStorage, Run, set[int]]] = []
    while len(left) < how_many:
        storage = MemoryStorage()
        run = Run(WatchedStorage(storage, CrashAt(rng.choice(MOMENTS), rng.randrange(5, 200))))
        try:
            run(80)
        except Crash:
            pass
        if len(left) % 2:
            left.append((storage.after_power_cut(rng), run, run.synced))
        else:
            left.append((storage.after_kill(), run, run.written))
    return left


def _interrupt_recovery(logs: int, deep: int, seed: int) -> None:
    rng = random.Random(seed)
    runs = 0
    for number, (left, run, promised) in enumerate(_left_by_crashes(logs, rng)):
        for moment in MOMENTS:
            for at in count(1):
                storage = left.copy()
                watch = CrashAt(moment, at)
                try:
                    EventLog(WatchedStorage(storage, watch), run.settings, now_ns=NOW_NS)
                except Crash:
                    runs += 1
                else:
                    break
                case = f"log {number}, killed {moment} call {at} of recovery ({watch.happened})"
                check(storage.copy().after_kill(), run, promised, case)
                check(storage.after_power_cut(rng), run, promised & run.synced, f"{case}, then a power cut")
        for error in (errno.EIO, errno.ENOSPC, errno.EACCES):
            for at in count(1):
                storage = left.copy()
                fault = storage.fail(error, at=at)
                try:
                    EventLog(storage, run.settings, now_ns=NOW_NS)
                except (OSError, SylviteError):
                    pass
                if not fault.happened:
                    break
                runs += 1
                storage.faults.clear()
                case = f"log {number}, {errno.errorcode[error]} at call {at} of recovery"
                check(storage.after_kill(), run, promised, case)
        for _ in range(deep):
            storage = left.copy()
            for _ in range(3):
                try:
                    watch = CrashAt(rng.choice(MOMENTS), rng.randrange(1, 12))
                    EventLog(WatchedStorage(storage, watch), run.settings, now_ns=NOW_NS)
                except Crash:
                    pass
                storage = storage.after_kill()
            runs += 1
            check(storage, run, promised, f"log {number}, three recoveries cut short")
    report("A-14", seed=seed, runs=runs, counters={"violations": 0})


def test_a_recovery_that_is_cut_short_is_done_again() -> None:
    """Killed or failed at any call, up to three times: the next one finds the same."""
    _interrupt_recovery(6, 10, seed=51)


@pytest.mark.long
def test_every_recovery_that_is_cut_short_is_done_again() -> None:
    _interrupt_recovery(60, 50, seed=52)


def test_a_recovery_that_cuts_before_it_has_copied_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a recovery that begins by removing the last segment, to write it anew."""
    from sylvite.eventlog import recovery

    real = recovery.find_segments

    def remove_first(storage: WatchedStorage, log_id: str) -> list[recovery.Found]:
        found = real(storage, log_id)
        if found:
            name = found[-1].segment.name
            content = storage.open(name).read_at(0, 1 << 20)
            storage.remove(name)
            storage.open(name, create=True).write_at(0, [content])
        return found

    monkeypatch.setattr(recovery, "find_segments", remove_first)
    how = r"of recovery|recoveries|were synced"
    with control("A-14", without="copying before cutting", match=how, by=(AssertionError, LogDamaged)):
        _interrupt_recovery(6, 10, seed=51)
