"""A-11: what publishers are told, compared with what is on the disk, over the failures of the other rows.

"Yes" implies present, for what the level promises; "no" implies absent; "unknown", or no answer, either: but each
block whole or not at all.  Ledger and script hold the rows with real processes to the same; here the broker's own
answers are looked at, for every call of the storage that dies, fails, tears or fills up, and for power cuts.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from itertools import count
from typing import cast

import pytest

from sylvite import errors
from sylvite.broker.intake import Incoming, Intake
from sylvite.broker.settings import BrokerSettings
from sylvite.core.event import Event
from sylvite.core.level import Level
from sylvite.errors import AckUnknown, EventLogError, SylviteError
from sylvite.eventlog.eventlog import LogSettings
from sylvite.testing.storage import MemoryStorage, WatchedStorage
from sylvite.wire.frame import FrameDecoder
from sylvite.wire.messages import Ack, Refuse, decode
from tests.broker.bus import Bus, Person
from tests.eventlog.logs import open_log, read_all
from tests.faults.report import control, report
from tests.faults.script import Crash
from tests.faults.test_crash_at_every_call import MOMENTS, CrashAt

SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=4 * 1024, keep_free_bytes=0, tail_bytes=0))
TURNS, BLOCKS_A_TURN = 8, 3
ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE)
AT_MOST = 2000
UNKNOWN = {
    kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AckUnknown)
}  # fmt: skip
WRONG = ("yes_and_absent", "no_and_present", "half_present")


class _Told:
    """What one publisher has sent, and what it was told of each block: a level, "no", or nothing certain."""

    def __init__(self) -> None:
        self.blocks: dict[int, int] = {}
        self.answers: dict[int, Level | str] = {}
        self._decoder = FrameDecoder()

    def hear(self, person: Person) -> None:
        self._decoder.feed(bytes(person.wire.taken))
        person.wire.taken.clear()
        for message in (decode(kind, body) for kind, body in self._decoder.frames()):
            if isinstance(message, Ack):
                self.answers[message.seq] = Level(message.level)
            elif isinstance(message, Refuse) and message.code not in UNKNOWN:
                self.answers[message.ref] = "no"

    def compare(self, storage: MemoryStorage, promised: Level, counters: Counter[str], case: str) -> str:
        """Look at what a next start finds, where all from that level on is promised; return what is wrong first."""
        log = open_log(storage, SETTINGS.log)
        events = [item for item in read_all(log) if isinstance(item, Event) and item.sender != "broker"]
        there, first = {event.source_seq for event in events}, ""
        for seq, size in self.blocks.items():
            present = len(there & set(range(seq, seq + size)))
            answer = self.answers.get(seq, "unknown")
            what = ""
            if isinstance(answer, Level):
                what = "yes_and_absent" if answer >= promised and present < size else ""
            elif answer == "no" and present:
                what = "no_and_present"
            if not what and 0 < present < size:
                what = "half_present"
            if what:
                counters[what] += 1
                first = first or f"{case}: {what}: seq {seq}, told {answer!r}"
        return first


def _publish(bus: Bus, told: _Told, rng: random.Random) -> None:
    """Raises Crash from the storage."""
    person = bus.person()
    try:
        for turn in range(TURNS):
            for _ in range(BLOCKS_A_TURN):
                tags = ["a/b"] * rng.randrange(1, 4)
                told.blocks[person.seq] = len(tags)
                person.publish(*tags, level=rng.choice((1, 2)), size=rng.choice((10, 300)))
            bus.run()
            told.hear(person)
            if bus.failures:
                return  # It stops: the connection ends, and what is not answered is unknown.
            if turn % 3 == 2:
                bus.pass_s(1.0)
    finally:
        told.hear(person)


def _hold_to_its_word(share: float, seed: int, *, syncs: bool = True, without: str | None = None) -> None:
    """Let each call die or fail, as many of the cases as `share` says.  Raises AssertionError: an answer was not kept."""
    rng = random.Random(seed)
    counters: Counter[str] = Counter(dict.fromkeys(WRONG, 0))
    first, runs = "", 0
    failures = [(error, sticky, torn) for error in ERRORS for sticky in (False, True) for torn in (False, True)]
    for failure in (*MOMENTS, *failures):
        for at in count(1):
            if at > AT_MOST:
                break
            if rng.random() >= share:
                continue
            storage, told = MemoryStorage(), _Told()
            storage.syncs = syncs
            armed, fault = CrashAt("before", 0), None
            bus = Bus(SETTINGS, cast(MemoryStorage, WatchedStorage(storage, armed)))
            if isinstance(failure, str):
                armed.moment, armed.at, armed.calls = failure, at, 0
                case = f"seed {seed}: killed {failure} call {at}"
            else:
                error, sticky, torn = failure
                fault = storage.fail(error, at=at, sticky=sticky, torn=torn)
                case = f"seed {seed}: {errno.errorcode[error]} at call {at}, sticky {sticky}, torn {torn}"
            try:
                _publish(bus, told, random.Random(seed))
            except Crash:
                pass
            if not armed.happened and not (fault is not None and fault.happened):
                break
            runs += 1
            storage.faults.clear()
            for answer in (told.answers.get(seq, "unknown") for seq in told.blocks):
                counters["yes" if isinstance(answer, Level) else answer] += 1
            states = [(storage.after_kill(), Level.WRITTEN, ""), (storage.after_power_cut(rng), Level.SYNCED, ", cut")]
            for left, promised, how in states:
                first = told.compare(left, promised, counters, case + how) or first
    assert runs, "nothing has failed"
    assert not first or without, first
    assert all(counters[answer] for answer in ("yes", "no", "unknown")) or without, counters
    target = dict[str, float](dict.fromkeys(WRONG, 0))
    report("A-11", seed=seed, runs=runs, counters=dict(counters), target=target, without=without)


def test_yes_means_present_and_no_means_absent() -> None:
    """A sample of the calls."""
    _hold_to_its_word(0.15, seed=111)


@pytest.mark.long
def test_at_every_call_yes_means_present_and_no_means_absent() -> None:
    _hold_to_its_word(1.0, seed=112)


def test_yes_before_the_disk_has_it_is_found_out() -> None:
    """Negative control: syncs that do nothing."""
    with control("A-11", without="syncs", match=r"yes_and_absent|LOG", by=(AssertionError, SylviteError)):
        _hold_to_its_word(0.15, seed=113, syncs=False)


def test_no_for_what_may_be_there_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a plain refusal where a write was left half-way."""
    not_written = Intake._not_written  # pyright: ignore[reportPrivateUsage] - the safeguard taken out

    def refuse_plainly(intake: Intake, new: list[Incoming], error: EventLogError, now_ns: int) -> None:
        not_written(intake, [], error, now_ns)
        for entry in new:
            entry.connection.refuse("publish", entry.batch.source_seq, error)

    monkeypatch.setattr(Intake, "_not_written", refuse_plainly)
    with control("A-11", without="saying unknown", match="no_and_present"):
        _hold_to_its_word(0.3, seed=114)
