"""A-05: a power cut on a real file system: the image of a volume is copied while the broker is stopped, and mounted.

What the kernel has not written yet is not in the image: `commit=600` keeps it from writing without being asked.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, Started, broker_output, forked_brokers
from tests.faults.ledger import COUNTERS, Ledger
from tests.faults.report import report
from tests.faults.traffic import Publishing, Reading, read_to_end, wait_until
from tests.faults.volumes import copy_image, make_ext4, mounted

SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=256 * 1024, keep_free_bytes=0))
VOLUME_BYTES = 256 * 1024 * 1024
MOUNTS = ("data=ordered", "data=writeback,noauto_da_alloc", "data=journal")
LEVELS = ("synced", "synced", "written")
MANY_CUTS = 20
LONG_CUTS = int(os.environ.get("SYLVITE_FAULTS_POWER_CUTS", "200"))
LONG_RUNS = 8
CUTS_OF_A_VOLUME = 10
STARTED_WITHIN_S = 30.0
SHARE_WITHOUT_SYNCS = 0.9
"""Of many cuts so many have to lose something where nothing is ever synced; of few, more than half."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a05")


def _is_stopped(pid: int) -> bool:
    """Say whether no thread of it is at work, in the kernel neither."""
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


class _Volume:
    """A broker on a volume of its own, with publishers and a reader, whose power is cut again and again."""

    def __init__(self, forks: Forks, folder: Path, options: str, rng: random.Random, without: str | None) -> None:
        self.forks, self.folder, self.options, self.rng = forks, folder, f"commit=600,{options}", rng
        self.without = without
        self.counters: Counter[str] = Counter(dict.fromkeys((*COUNTERS, "cuts", "cuts_that_lost_synced"), 0))
        self.first_wrong = ""
        self._ledger = Ledger()
        self._publishers: list[Publishing] = []
        self._found: list[dict[int, tuple[int, int]]] = []

    def run(self, cuts: int) -> None:
        self.folder.mkdir()
        image = self.folder / "image"
        make_ext4(image, VOLUME_BYTES)
        with mounted(image, self.folder / "volume", self.options) as volume:
            place = self.folder / "bus"
            started = self.forks.start(
                Start(str(place), SETTINGS, log_folder=str(volume / "log"), without=self.without)
            )
            assert started.ready, broker_output(place)
            try:
                self._cut_under_traffic(started, place / "bus.sock", image, cuts)
            finally:
                os.kill(started.pid, signal.SIGCONT)
                self.forks.kill(started.pid)
            assert "Traceback" not in broker_output(place), broker_output(place)
        image.unlink()

    def _cut_under_traffic(self, started: Started, socket: Path, image: Path, cuts: int) -> None:
        ledger, rng = self._ledger, self.rng
        self._publishers = [Publishing(socket, ledger, level, rng.randrange(1 << 30)) for level in LEVELS]
        reader = Reading(socket, ledger)
        everybody = (reader, *self._publishers)
        try:
            for each in everybody:
                each.start()
            for number in range(cuts):
                self._wait_for_answers(rng.randrange(20, 400))
                self._cut(started, image, number)
            for publisher in self._publishers:
                publisher.finish()
            reader.finish_at(max(ledger.places) + 1)
        finally:
            os.kill(started.pid, signal.SIGCONT)
            for each in everybody:
                each.give_up()
        # What a cut has left is the beginning of what the reader of the living broker has seen.
        for found in self._found:
            others = [at for at, event in found.items() if event[0] in ledger.sources and ledger.places[at] != event]
            self._blame(
                "conflict", len(others), f"{len(others)} events at places of others, from @{min(others or [0])}"
            )
        assert not any(ledger.wrong.values()), f"without a cut: {ledger.first_wrong}"

    def _wait_for_answers(self, more: int) -> None:
        """Until so many more events are answered as synced."""

        def answered() -> int:
            for publisher in self._publishers:
                if publisher.error is not None:
                    raise publisher.error
            return sum(each.acknowledged for each in self._publishers if each.level == "synced")

        wanted = answered() + more
        wait_until(lambda: answered() >= wanted, within_s=STARTED_WITHIN_S, what="answers")

    def _cut(self, started: Started, image: Path, number: int) -> None:
        os.kill(started.pid, signal.SIGSTOP)
        wait_until(lambda: _is_stopped(started.pid), within_s=STARTED_WITHIN_S, what="it is stopped")
        left = Ledger()
        for publisher in self._publishers:
            epoch = publisher.client._core.source_epoch  # pyright: ignore[reportPrivateUsage] - what readers know it by
            source, promised = self._ledger.source(epoch), left.source(epoch)
            promised.sent = source.sent
            if publisher.level == "synced":
                promised.acknowledged = set(source.acknowledged)
        written = max(self._ledger.places, default=-1)
        copy_image(image, self.folder / "copy")
        os.kill(started.pid, signal.SIGCONT)
        self.counters["cuts"] += 1
        self._look_at_copy(left, written, number)
        (self.folder / "copy").unlink()

    def _look_at_copy(self, left: Ledger, written: int, number: int) -> None:
        place = self.folder / f"after{number}"
        with mounted(self.folder / "copy", self.folder / "copied", self.options) as volume:
            again = self.forks.start(Start(str(place), SETTINGS, log_folder=str(volume / "log")))
            if not again.ready:
                self.forks.ended(again.pid)
                self._blame("lost", 1, broker_output(place))
                self.counters["cuts_that_lost_synced"] += 1
                return
            reading = left.reading()
            read_to_end(place / "bus.sock", reading)
            self.forks.kill(again.pid)
        reading.finish()
        kept = max((at for at, (epoch, _) in left.places.items() if epoch in left.sources), default=-1)
        self.counters["cuts_that_lost_unsynced"] += kept < written
        self.counters["cuts_that_lost_synced"] += left.wrong["lost"] > 0
        for name, count in left.counters.items():
            self._blame(name, count, left.first_wrong)
        self._found.append(left.places)

    def _blame(self, what: str, count: int, detail: str) -> None:
        self.counters[what] += count
        if count:
            self.first_wrong = self.first_wrong or f"{what}: {detail}"


def _cut_power(forks: Forks, folder: Path, cuts: int, seed: int, *, without: str | None = None) -> None:
    """Cut the power so often, on volumes that are mounted in one way after the other.

    Raises:
        AssertionError: what was answered as synced is not there, or the rest is no prefix.
    """
    rng = random.Random(seed)
    counters: Counter[str] = Counter()
    first_wrong = ""
    each = max(min(CUTS_OF_A_VOLUME, cuts // len(MOUNTS)), 1)
    for number, options in enumerate(islice(cycle(MOUNTS), -(-cuts // each))):
        volume = _Volume(forks, folder / str(number), options, rng, without)
        volume.run(min(each, cuts - counters["cuts"]))
        counters.update(volume.counters)
        first_wrong = first_wrong or (volume.first_wrong and f"seed {seed}, {options}: {volume.first_wrong}")
    if without is None:
        # Of a few cuts each may fall on a moment in which all was synced.
        assert counters["cuts_that_lost_unsynced"] or cuts < MANY_CUTS, "no cut has lost anything: it was none"
    else:
        lost, least = counters["cuts_that_lost_synced"], SHARE_WITHOUT_SYNCS if cuts >= MANY_CUTS else 0.5
        assert lost > least * cuts, f"without {without} only {lost} of {cuts} cuts have lost something"
    assert not first_wrong or without, first_wrong
    target: dict[str, float] = dict.fromkeys((*COUNTERS, "cuts_that_lost_synced"), 0)
    report("A-05", seed=seed, runs=cuts, counters=dict(counters), target=target, without=without)


def test_a_power_cut_loses_nothing_that_was_answered_as_synced(forks: Forks, folder: Path) -> None:
    """6 cuts on three kinds of mount; what else is there is the beginning of what there was."""
    _cut_power(forks, folder, 6, seed=51)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(500, 500 + LONG_RUNS))
def test_many_power_cuts_lose_nothing_that_was_answered_as_synced(forks: Forks, folder: Path, seed: int) -> None:
    """200 cuts in eight runs, so that none of them looks as if it hung."""
    _cut_power(forks, folder, LONG_CUTS // LONG_RUNS, seed=seed)


def test_without_syncs_most_power_cuts_lose_what_was_answered_as_synced(forks: Forks, folder: Path) -> None:
    """Negative control: a broker whose syncs do nothing."""
    with pytest.raises(AssertionError, match='"row": "A-05"'):
        _cut_power(forks, folder, 6, seed=53, without="syncs")


@pytest.mark.long
def test_without_syncs_nine_of_ten_power_cuts_lose_what_was_answered_as_synced(forks: Forks, folder: Path) -> None:
    """Negative control: the same, often enough for a share."""
    with pytest.raises(AssertionError, match='"row": "A-05"'):
        _cut_power(forks, folder, LONG_CUTS // LONG_RUNS, seed=54, without="syncs")
