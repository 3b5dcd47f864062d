"""Let the N-th allocation of an operation fail, each N in a child of its own, and look at what is left.

    python -m tests.faults.no_memory_program OPERATION FOLDER MANY STEP [WITHOUT]

MANY in a row fail.  N begins at 1 and grows by STEP until the operation gets through.  The answer is one line of JSON: how often each
outcome was, and `wrong`: what a log, a block or a reader was left with that must not be.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from sylvite.core.batch import Batch, encode_batch
from sylvite.core.block import BlockBuilder
from sylvite.core.event import Event, pack_data
from sylvite.errors import LogFailed
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.eventlog.storage import DiskFile, DiskStorage
from sylvite.testing.storage import MemoryStorage
from tests.broker.bus import OWNER, Bus, events
from tests.eventlog.logs import NOW_NS, append, new_batch, open_log, read_all
from tests.faults.controls import replace

# Of CPython, and not of every build of it; it has no types.
_testcapi: Any = import_module("_testcapi")

SETTINGS = LogSettings(segment_bytes=8 * 1024, keep_free_bytes=0, tail_bytes=4 * 1024)
BEFORE, ADDED, LATER = 40, 3, 2
AT_MOST = 200_000
CODES = {0: "done", 3: "no memory", 4: "went on", 5: "another error", 6: "wrong"}
DONE, NO_MEMORY, WENT_ON, OTHER, WRONG = CODES


class FailingAllocations:
    """Inside, the N-th allocation fails, and those behind it up to so many."""

    def __init__(self, at: int, many: int) -> None:
        self._at, self._stop = at, at + many

    def __enter__(self) -> None:
        _testcapi.set_nomemory(self._at, self._stop)

    def __exit__(self, *_: object) -> None:
        _testcapi.remove_mem_hooks()


Published = tuple[str, dict[str, object], int | None]
Operation = Callable[[Path, FailingAllocations], None]


def encode(_: Path, failing: FailingAllocations) -> None:
    _collect_events(failing, fails_at=8, by_collector=False)


def encode_common_events(_: Path, failing: FailingAllocations) -> None:
    _collect_events(failing, fails_at=16, by_collector=True)


def _collect_events(failing: FailingAllocations, *, fails_at: int, by_collector: bool) -> None:
    """A publisher collects events, and gives up the one that fails; the block holds the others as they were."""
    builder, taken, failed = BlockBuilder(), list[Published](), False
    collect = builder.collector(64 * 1024, 1024)
    for at in range(20):
        tag, data = f"a/{at % 7}", dict[str, object](n=at, pad="x" * at)
        packed, cause = pack_data(data), None if by_collector else at
        with failing if at == fails_at else nullcontext():
            try:
                if by_collector:
                    assert collect(tag, data)
                else:
                    builder.add(tag, packed, cause)
            except MemoryError:
                failed = True
                continue
        taken.append((tag, data, cause))
    block, _count = builder.take()
    raw = encode_batch(block, base=0, epoch=1, durable=0, stamp_ns=0, sender="uid:0", source_epoch=1, source_seq=0)
    found = [item for item in Batch(raw).events() if isinstance(item, Event)]
    assert [(item.tag, item.data, item.cause) for item in found] == taken, "the block holds other events"
    if failed:
        raise MemoryError


def append_events(folder: Path, failing: FailingAllocations) -> None:
    """A group that begins a new segment; then, with memory again, one more."""
    log = open_log(DiskStorage(folder), SETTINGS)
    group = [new_batch(BEFORE, 1), new_batch(BEFORE + 1, ADDED - 1, size=6000)]
    try:
        with failing:
            log.append(group, NOW_NS)
    except MemoryError:
        if _goes_on(log):
            raise WentOnError from None
        raise
    assert _goes_on(log)


class WentOnError(Exception):
    """After a lack of memory the log has taken the next events."""


def _goes_on(log: EventLog) -> bool:
    try:
        append(log, BEFORE + ADDED, LATER)
    except LogFailed:
        return False  # It knows that it does not know what is on the disk.
    return True


def recover(folder: Path, failing: FailingAllocations) -> None:
    with failing:
        EventLog(DiskStorage(folder), SETTINGS, now_ns=NOW_NS)


def fan_out(folder: Path, failing: FailingAllocations) -> None:
    """One publisher, three subscribers: what they hear are whole frames, of what is in the log."""
    disk = cast(MemoryStorage, DiskStorage(folder))  # a Storage too, which is all that the bus wants
    bus = Bus(storage=disk)
    publisher, subscribers = bus.person(source_epoch=9), [bus.person(OWNER) for _ in range(3)]
    for number, each in enumerate(subscribers):
        each.subscribe(startswith=("a/",) if number else ("a/1",))
        each.read()
    try:
        with failing:
            publisher.publish(*(f"a/{number}" for number in range(ADDED)), level=1, seq=0)
            bus.run()
    finally:
        for number, each in enumerate(subscribers):
            heard = [event.tag for event in events(each.read())]
            wanted = [f"a/{at}" for at in range(ADDED)] if number else ["a/1"]
            assert heard in ([], wanted), f"subscriber {number} heard {heard}"


OPERATIONS: dict[str, Operation] = {
    "encode": encode, "encode_common": encode_common_events, "append": append_events, "recover": recover, "fan_out": fan_out,
}  # fmt: skip


def make_log(folder: Path) -> None:
    """A log of 40 events with an end that is torn, as a crash leaves it."""
    log = open_log(DiskStorage(folder), SETTINGS)
    for first in range(0, BEFORE, 4):
        append(log, first, 4, size=200)
    last = folder / log.segments[-1].name
    with last.open("r+b") as file:
        file.seek(log.segments[-1].size)
        file.write(new_batch(0, 1).block[:60])
    log.storage.close()


def _child(operation: Operation, folder: Path, failing: FailingAllocations) -> int:
    try:
        operation(folder, failing)
    except MemoryError:
        return NO_MEMORY
    except WentOnError:
        return WENT_ON
    except AssertionError as error:
        os.write(2, f"{error}\n".encode())
        return WRONG
    except Exception as error:  # noqa: BLE001 - whatever it is, the log is to be looked at
        # Such as a TypeError, where the interpreter itself takes the lack of memory for something else.
        os.write(2, f"{error!r}\n".encode())
        return OTHER
    return DONE


def _judge(name: str, folder: Path, outcome: str) -> str:
    """Return what is wrong with the log that a child has left; nothing where it is as it should be."""
    log = open_log(DiskStorage(folder), SETTINGS)
    items = [item for item in read_all(log) if isinstance(item, Event) and not item.tag.startswith("sylvite/")]
    log.close()
    found: list[object] = [item.data["n"] if item.tag == "a/b" else item.tag for item in items]
    tail = found[BEFORE:]
    if found[:BEFORE] != list(range(BEFORE)):
        return f"{len(found)} events are left of {BEFORE}"
    first: list[object] = [*range(BEFORE, BEFORE + ADDED)]
    later: list[object] = [*range(BEFORE + ADDED, BEFORE + ADDED + LATER)]
    allowed: list[list[object]] = [[]]
    if name == "append":
        allowed = {"done": [first + later], "went on": [later, first + later]}.get(outcome, [[], first])
    elif name == "fan_out":
        tags: list[object] = [f"a/{at}" for at in range(ADDED)]
        allowed = [tags] if outcome == "done" else [tags, []]
    if tail not in allowed:
        return f"{outcome}, and behind what was there before are {tail}"
    return ""


def _does_not_notice() -> None:
    """A log that does not take note that it was left in the middle of a write."""

    def take_none(_: EventLog) -> None:
        return

    def take_note(log: EventLog, why: str) -> None:
        del log, why

    replace(EventLog, "failed", property(take_none, take_note))


CONTROLS: dict[str, Callable[[], None]] = {"noticing": _does_not_notice}
"""Safeguards to take out, by the name of WITHOUT."""


def _no_syncs() -> None:
    """No power is cut here: what a process has written is there."""

    def nothing(*_: object) -> None:
        return

    replace(DiskFile, "sync", nothing)
    replace(DiskStorage, "sync_folder", nothing)


def main(name: str, folder: Path, many: int, step: int, without: str | None) -> None:
    if without is not None:
        CONTROLS[without]()
    _no_syncs()
    source = folder / "source"
    make_log(source)
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    for at in range(1, AT_MOST, step):
        place = folder / "log"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source, place)
        pid = os.fork()
        if not pid:
            os._exit(_child(OPERATIONS[name], place, FailingAllocations(at, many)))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        outcome = CODES.get(code, f"ended with {code}")
        outcomes[outcome] += 1
        if outcome == "wrong" or (outcome == "another error" and name.startswith("encode")):
            wrong.append(f"N={at}: see above")
        if found := _judge(name, place, outcome):
            wrong.append(f"N={at}: {found}")
        if outcome == "done":
            break
    print(json.dumps({"outcomes": outcomes, "wrong": wrong}), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    _, _name, _folder, _many, _step, *_without = sys.argv
    main(_name, Path(_folder), int(_many), int(_step), _without[0] if _without else None)
