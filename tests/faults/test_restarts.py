"""B-04: a broker that is restarted again and again, by SIGKILL and in order in turn, under publishers that never are."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.core import ClientCore
from sylvite.client.sync_client import Client
from sylvite.client.ticket import Published
from sylvite.core.event import Offset
from sylvite.core.level import Level
from sylvite.errors import AckUnknown, ConnectionLost
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.controls import CONTROLS
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.ledger import COUNTERS, Ledger
from tests.faults.report import report
from tests.faults.traffic import Publishing, Reading, Traffic, read_to_end, wait_until

SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=1024 * 1024, keep_free_bytes=0))
SOON_S = 0.05
ANSWERED_WITHIN_S = 60.0
FAILURES = 3
BACK_S = 3.0
"""In the median: a client waits at most 2 s between two attempts (client/retry.py), and a restart takes a part of one."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@pytest.fixture
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waits between attempts not grow, as they would where a broker is lost again and again."""
    monkeypatch.setattr("sylvite.client.retry.MOST_S", 0.1)


class Impatient(Traffic):
    """Publishes one by one, and waits for each answer only a moment.

    What it hears nothing certain of is `reported`; half of that it tries again until it hears something.  `unsent` is
    what it was told was not sent at all.  `failures`: calls that have raised.
    """

    def __init__(self, socket: Path, ledger: Ledger, seed: int) -> None:
        super().__init__(socket, ledger)
        self.acknowledged = self.reported = self.unsent = self.retried = self.failures = 0
        self._rng = random.Random(seed)

    def work(self) -> None:
        epoch = self.client._core.source_epoch  # pyright: ignore[reportPrivateUsage] - what readers know it by
        source = self.ledger.source(epoch)
        while not self._finishing.is_set():
            number = source.sent
            source.sent = number + 1
            level = self._rng.choice(("written", "synced"))
            try:
                published = self.client.publish("load/one", {"n": number}, level=level, timeout_s=SOON_S)
            except ConnectionLost:
                source.refused.add(number)
                self.unsent += 1
                self.failures += 1
                continue
            except AckUnknown as error:
                self.reported += 1
                self.failures += 1
                if self._rng.random() < 0.5:
                    continue
                published = self._retry(error)
                self.reported -= 1
                self.retried += 1
            self.ledger.place(published.offset, epoch, number)
            source.acknowledged.add(number)
            self.acknowledged += 1

    def _retry(self, error: AckUnknown) -> Published:
        deadline = time.monotonic() + ANSWERED_WITHIN_S
        while True:
            try:
                return self.client.retry(error, timeout_s=SOON_S)
            except (AckUnknown, ConnectionLost):
                self.failures += 1
                assert time.monotonic() < deadline, "a retry is never answered"


class _Restarts:
    """The run.  `back_s`: from each start of a broker until every publisher has been answered by it."""

    def __init__(self, forks: Forks, folder: Path, seed: int, *, without: str | None) -> None:
        """`without`: a safeguard of the broker to take out."""
        self.forks, self.folder = forks, folder
        self.ledger = Ledger()
        self.back_s: list[float] = []
        self.kills = 0
        self._start = Start(str(folder), SETTINGS, without=without)
        self._pid = self._started()
        rng = random.Random(seed)
        socket = folder / "bus.sock"
        self.steady = [
            Publishing(socket, self.ledger, level, rng.randrange(1 << 30)) for level in ("written", "synced")
        ]  # fmt: skip
        self.impatient = Impatient(socket, self.ledger, rng.randrange(1 << 30))
        self.reader = Reading(socket, self.ledger)

    @property
    def _all(self) -> tuple[Traffic, ...]:
        return (self.reader, *self.steady, self.impatient)

    def _started(self) -> int:
        started = self.forks.start(self._start)
        assert started.ready, broker_output(self.folder)
        return started.pid

    def run(self, restarts: int) -> None:
        """Raises AssertionError: something is wrong with what was read or answered."""
        try:
            for each in self._all:
                each.start()
            self._wait_for_answers()
            for number in range(restarts):
                self._end(number)
                if number % 4 > 1:
                    self._stay_away()
                began = time.monotonic()
                self._pid = self._started()
                self._wait_for_answers()
                self.back_s.append(time.monotonic() - began)
            self._finish()
        finally:
            for each in self._all:
                each.give_up()

    def _end(self, number: int) -> None:
        if number % 2:
            assert self.forks.stop(self._pid) == 0, broker_output(self.folder)
        else:
            self.forks.kill(self._pid)
            self.kills += 1

    def _wait_for_answers(self) -> None:
        publishers = (*self.steady, self.impatient)
        before = [publisher.acknowledged for publisher in publishers]

        def all_are_answered() -> bool:
            self._check()
            return all(now.acknowledged > then for now, then in zip(publishers, before, strict=True))

        wait_until(all_are_answered, within_s=ANSWERED_WITHIN_S, what="an answer for each publisher", every_s=0.002)

    def _stay_away(self) -> None:
        """Until some calls of the impatient one have failed."""
        enough = self.impatient.failures + FAILURES
        wait_until(
            lambda: self.impatient.failures >= enough, within_s=ANSWERED_WITHIN_S, what="calls that fail"
        )  # fmt: skip

    def _check(self) -> None:
        for each in self._all:
            if each.error is not None:
                raise AssertionError(f"{each.name} has failed: {each.error!r}") from each.error

    def _finish(self) -> None:
        for publisher in (*self.steady, self.impatient):
            publisher.finish()
        socket = self.folder / "bus.sock"
        with Client.connect(socket) as client:
            end = client.welcome.end
        self.reader.finish_at(end)
        self.reader.reading.finish()
        replay = self.ledger.reading()
        read_to_end(socket, replay)
        replay.finish()
        self.forks.kill(self._pid)


def _restart_again_and_again(
    forks: Forks, folder: Path, restarts: int, seed: int, *, without: str | None = None
) -> None:
    run = _Restarts(forks, folder, seed, without=without if without in CONTROLS else None)
    run.run(restarts)
    assert "Traceback" not in broker_output(folder), broker_output(folder)
    impatient, sources = run.impatient, run.ledger.sources.values()
    silent = sum(source.sent - len(source.acknowledged) - len(source.refused) for source in sources)
    counters: dict[str, float] = {
        **run.ledger.counters,
        "neither_answered_nor_reported": silent - impatient.reported,
        "events": len(run.ledger.places),
        "reported_unknown": impatient.reported,
        "reported_unsent": impatient.unsent,
        "retried": impatient.retried,
        "kills": run.kills,
        "back_s_median": round(statistics.median(run.back_s), 3),
        "back_s_max": round(max(run.back_s), 3),
    }
    target = dict.fromkeys((*COUNTERS, "neither_answered_nor_reported"), 0.0) | {"back_s_median": BACK_S}
    report("B-04", seed=seed, runs=restarts, counters=counters, target=target, without=without)
    assert impatient.unsent + impatient.reported + impatient.retried >= restarts / 4


@pytest.mark.usefixtures("quick_reconnects")
def test_publishers_outlive_every_restart(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """8 restarts: each event is acknowledged, or reported as unknown or not sent; it is in the log once, or not at all."""
    _restart_again_and_again(forks, tmp_path_factory.mktemp("b04"), 8, seed=51)


@pytest.mark.long
@pytest.mark.parametrize("seed", [100, 101, 102, 103])
def test_publishers_outlive_two_hundred_restarts(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """In four runs of fifty, with the waits of every day."""
    _restart_again_and_again(forks, tmp_path_factory.mktemp("b04"), 50, seed=seed)


@pytest.mark.usefixtures("quick_reconnects")
def test_retries_that_are_stored_again_are_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control: a broker that takes every block for a new one."""
    with pytest.raises(AssertionError, match='"row": "B-04"'):
        _restart_again_and_again(forks, tmp_path_factory.mktemp("b04"), 6, seed=53, without="deduplication")


@pytest.mark.usefixtures("quick_reconnects")
def test_publishers_that_do_not_say_again_are_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: a client that takes what was on its way for answered when the connection is lost."""
    lost = ClientCore.lost

    def believe(core: ClientCore) -> None:
        for ticket in core._open.values():  # pyright: ignore[reportPrivateUsage] - the safeguard
            ticket.published = Published(Offset(0), 0, Level.WRITTEN)
        core._open.clear()  # pyright: ignore[reportPrivateUsage] - as above
        lost(core)

    monkeypatch.setattr(ClientCore, "lost", believe)
    with pytest.raises(AssertionError, match='"row": "B-04"'):
        _restart_again_and_again(forks, tmp_path_factory.mktemp("b04"), 6, seed=54, without="saying again")
