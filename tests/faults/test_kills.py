"""A-01: a broker that is killed again and again, under publishers and readers that stay."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.eventlog.eventlog import LogSettings
from sylvite.eventlog.segment import decode_header
from tests.faults.forked_brokers import Forks, Start, Started, broker_output, forked_brokers
from tests.faults.ledger import COUNTERS, Ledger
from tests.faults.report import control, report
from tests.faults.traffic import Publishing, Reading, read_to_end, wait_until

SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=64 * 1024, keep_bytes=1024 * 1024, keep_free_bytes=0))
FIRST_ACK_WITHIN_S = 20.0


@pytest.fixture(autouse=True)
def _quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Try again every few milliseconds, so that most of the time of a broker has traffic."""
    monkeypatch.setattr("sylvite.client.retry.FIRST_S", 0.002)
    monkeypatch.setattr("sylvite.client.retry.MOST_S", 0.010)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bus")  # short: a socket's path has at most 107 bytes


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


class _Kills:
    """The run of A-01.  A third of the kills falls anywhere from the fork on, the rest on a broker that has traffic."""

    def __init__(self, forks: Forks, folder: Path, seed: int, *, without: str | None = None) -> None:
        self.forks, self.folder = forks, folder
        self.ledger = Ledger()
        self.first_ack_s: list[float] = []
        self.ready_s: list[float] = []
        self.early_kills = 0
        self.oldest = self.rolls = 0
        self._rng = random.Random(seed)
        self._start = Start(str(folder), SETTINGS, without=without)
        self._publishers: list[Publishing] = []
        self._readers: list[Reading] = []

    def run(self, kills: int) -> None:
        """Raises AssertionError: something is wrong with what was read."""
        running = self._started(self._start)
        socket = self.folder / "bus.sock"
        levels = ("written", "written", "synced", "synced")
        self._publishers = [Publishing(socket, self.ledger, level, self._rng.randrange(1 << 30)) for level in levels]
        self._readers = [Reading(socket, self.ledger) for _ in range(2)]
        try:
            for each in (*self._readers, *self._publishers):
                each.start()
            for done in range(1, kills + 1):
                if self._rng.random() < 1 / 3:
                    # Anywhere between the fork and some traffic: often in the middle of recovery.
                    self.forks.kill(running.pid)
                    early = msgspec.structs.replace(self._start, killed_after_s=self._rng.uniform(0.001, 0.030))
                    running = self.forks.start(early)
                    self.early_kills += 1
                    self.forks.ended(running.pid)
                else:
                    time.sleep(self._rng.uniform(0.001, 0.030))
                    self.forks.kill(running.pid)
                running = self._restarted()
                self._check(f"after kill {done}")
            self._finish()
        finally:
            for each in (*self._readers, *self._publishers):
                each.give_up()
        assert self.forks.stop(running.pid) == 0, broker_output(self.folder)
        self._check("at the end")
        headers = [decode_header(path.read_bytes(), path.name) for path in (self.folder / "log").glob("seg-*.log")]
        self.rolls = len(headers) - len({header.epoch for header in headers if header is not None})

    def _started(self, start: Start) -> Started:
        started = self.forks.start(start)
        assert started.ready, broker_output(self.folder)
        return started

    def _restarted(self) -> Started:
        before = [publisher.acknowledged for publisher in self._publishers]
        began = time.monotonic()
        running = self._started(self._start)
        self.ready_s.append(time.monotonic() - began)

        def one_is_answered() -> bool:
            self._check("after a start")
            return any(now.acknowledged > then for now, then in zip(self._publishers, before, strict=True))

        wait_until(one_is_answered, within_s=FIRST_ACK_WITHIN_S, what="a first answer after a restart")
        self.first_ack_s.append(time.monotonic() - began)
        return running

    def _check(self, when: str) -> None:
        for each in (*self._readers, *self._publishers):
            if each.error is not None:
                raise AssertionError(f"{when}: {each.name} has failed") from each.error
        assert not any(self.ledger.wrong.values()), f"{when}: {self.ledger.first_wrong}"

    def _finish(self) -> None:
        for publisher in self._publishers:
            publisher.finish()
        with Client.connect(self.folder / "bus.sock") as client:
            end = client.welcome.end
        for reader in self._readers:
            reader.finish_at(end)
            reader.reading.finish()
        replay = self.ledger.reading()
        self.oldest = read_to_end(self.folder / "bus.sock", replay)
        replay.finish()
        assert replay.next >= end


def _kill_again_and_again(forks: Forks, folder: Path, kills: int, seed: int, *, without: str | None = None) -> None:
    run = _Kills(forks, folder, seed, without=without)
    try:
        run.run(kills)
    finally:
        first_ack_s = sorted(run.first_ack_s) or [0.0]
        counters: dict[str, float] = {
            **run.ledger.counters,
            "early_kills": run.early_kills,
            "events": len(run.ledger.places),
            "oldest_kept": run.oldest,
            "rolls_in_what_is_kept": run.rolls,
            "ready_ms_median": round(1000 * statistics.median(run.ready_s or [0.0]), 1),
            "first_ack_ms_p99": round(1000 * first_ack_s[len(first_ack_s) * 99 // 100], 1),
        }
        if without is None:
            report("A-01", seed=seed, runs=kills, counters=counters, target=dict.fromkeys(COUNTERS, 0))
    assert run.oldest > 0, "retention has dropped nothing"
    assert run.rolls > 0, "no broker has filled a segment"


def test_kills_lose_repeat_and_reorder_nothing(forks: Forks, folder: Path) -> None:
    """150 kills, and ten thousand in the long form; what `written` or `synced` was answered is there once, in order, for every reader."""
    _kill_again_and_again(forks, folder, 150, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
def test_ten_thousand_kills_lose_repeat_and_reorder_nothing(forks: Forks, folder: Path, seed: int) -> None:
    """In ten runs of a thousand, so that none of them looks as if it hung."""
    _kill_again_and_again(forks, folder, 1000, seed=seed)


def test_without_deduplication_a_retry_is_stored_twice(forks: Forks, folder: Path) -> None:
    """Negative control: a broker that takes every block for a new one."""
    with control("A-01", without="deduplication", match=r"duplicate|conflict"):
        _kill_again_and_again(forks, folder, 100, seed=3, without="deduplication")


def test_answers_before_the_write_lose_events(forks: Forks, folder: Path) -> None:
    """Negative control: a broker that answers `written` while the bytes are still in its own memory."""
    with control("A-01", without="write before answer", match=r"lost|hole|conflict|phantom|reordered"):
        _kill_again_and_again(forks, folder, 100, seed=4, without="write before answer")
