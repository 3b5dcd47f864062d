"""A-06: the power is cut after any call that writes, and whatever part of what was not synced has reached the disk."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from sylvite.errors import LogDamaged, LogNotUnderstood
from sylvite.eventlog import eventlog, recovery
from sylvite.eventlog.eventlog import EventLog
from sylvite.testing.power_cut import states_after_power_cut
from sylvite.testing.storage import WRITE_CALLS, MemoryStorage, Moment, WatchedStorage
from tests.faults.report import control, report
from tests.faults.script import Run, check

SHORT_STATES = 3_000
LONG_STATES = int(os.environ.get("SYLVITE_FAULTS_CRASH_STATES", "100000"))
LONG_RUNS = 10


class _CutEverywhere:
    """A watch that looks, after each call that writes, at what a power cut would leave there."""

    def __init__(
        self, storage: MemoryStorage, rng: random.Random, case: str, most_states: int | None, enough: int
    ) -> None:
        self.storage, self.rng, self.case, self.most_states, self.enough = storage, rng, case, most_states, enough
        self.run = Run(WatchedStorage(storage, self))
        self.states = self.calls = 0
        self.kinds: Counter[str] = Counter()

    def __call__(self, moment: Moment, call: str) -> None:
        if moment == "before" or call not in WRITE_CALLS:
            return
        self.calls += 1
        self.look(f"{self.case}, after call {self.calls} ({call})")

    def look(self, when: str) -> None:
        """Raises AssertionError: what was answered is not there, or what is there is no prefix."""
        if self.states >= self.enough:
            return
        for state in states_after_power_cut(self.storage, self.rng, most=self.most_states):
            self.states += 1
            self.kinds[_kind(state.what)] += 1
            case = f"{when}: {state.what}"
            try:
                check(state.storage, self.run, set(self.run.synced), case)
            except (LogDamaged, LogNotUnderstood) as error:
                raise AssertionError(f"{case}: lost: {error}") from error


def _kind(what: str) -> str:
    """Return what a state is about, without its numbers."""
    return " ".join(word for word in what.split(", ")[1].split() if not word.isdigit())


KINDS = {
    "everything is there", "nothing is there", "only file is there", "file is not there", "write of file is lost",
    "only write of file is there", "file up to write", "sector of file is lost", "only sector of file is there",
    "file is torn before sector", "file is there from sector on",
}  # fmt: skip


def _cut_everywhere(states: int, seed: int, *, each: int | None, syncs: bool = True) -> None:
    """Look at so many states, `each` of them after each call (None: all), of as many runs as it takes.

    Raises:
        AssertionError: what was answered is not there, or what is there is no prefix.
    """
    rng = random.Random(seed)
    counters: Counter[str] = Counter(violations=0)
    kinds: Counter[str] = Counter()
    while counters["states"] < states:
        storage = MemoryStorage()
        storage.syncs = syncs
        events = 20 + seed % 100 + counters["scripts"]  # It is the seed of the script, too.
        cuts = _CutEverywhere(storage, rng, f"seed {seed}, script of {events}", each, states - counters["states"])
        cuts.run(events)
        cuts.look(f"{cuts.case}, at the end")
        counters.update(scripts=1, states=cuts.states, calls=cuts.calls)
        kinds.update(cuts.kinds)
    runs = counters["states"]
    report("A-06", seed=seed, runs=runs, counters=dict(counters), target={"violations": 0})
    assert kinds.keys() >= KINDS, f"not looked at: {KINDS - kinds.keys()}"


def test_after_a_power_cut_at_any_call_what_was_synced_is_there_and_the_rest_is_a_prefix() -> None:
    """A sample of 3,000 states."""
    _cut_everywhere(SHORT_STATES, 61, each=8)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(600, 600 + LONG_RUNS))
def test_after_a_power_cut_in_any_state_what_was_synced_is_there_and_the_rest_is_a_prefix(seed: int) -> None:
    """All states of each call, until there are 100,000 of them, in ten runs, so that none of them looks as if it hung."""
    _cut_everywhere(LONG_STATES // LONG_RUNS, seed, each=None)


def test_without_syncs_states_are_found_that_have_lost_events() -> None:
    """Negative control: a storage whose sync does nothing."""
    with control("A-06", without="syncs", match="lost"):
        _cut_everywhere(SHORT_STATES, 63, each=8, syncs=False)


def test_without_a_sync_of_the_folder_states_are_found_that_have_lost_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: new segments are synced, and their names are not."""

    def sync_files_only(job: eventlog.SyncJob) -> None:
        for file in job.files:
            file.sync()

    monkeypatch.setattr(eventlog.SyncJob, "run", sync_files_only)
    with control("A-06", without="sync of the folder", match="lost"):
        _cut_everywhere(SHORT_STATES, 64, each=8)


def test_a_recovery_that_keeps_what_is_behind_a_hole_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: segments behind one that was not written to its end are kept."""

    def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(recovery._Window, "_ends_early", never)  # pyright: ignore[reportPrivateUsage] - the safeguard taken out
    with control("A-06", without="looking for holes", match=r"damage|dense"):
        _cut_everywhere(SHORT_STATES, 65, each=8)


def test_a_log_that_answers_before_its_files_are_synced_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: of several files that have something to be synced, the last one is thought to be enough."""

    sync_job = EventLog.sync_job

    def last_file_only(log: EventLog) -> eventlog.SyncJob | None:
        job = sync_job(log)
        if job is not None:
            del job.files[:-1]
        return job

    monkeypatch.setattr(EventLog, "sync_job", last_file_only)
    with control("A-06", without="syncs of all files", match=r"lost|damage"):
        _cut_everywhere(SHORT_STATES, 66, each=8)
