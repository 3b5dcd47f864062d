"""B-05: readers that begin anywhere in the history while publishing runs at full rate: where history meets live."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.ledger import COUNTERS, Ledger
from tests.faults.report import report
from tests.faults.traffic_processes import traffic

SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=1024 * 1024, keep_bytes=64 * 1024 * 1024, keep_free_bytes=0))
BEHIND_MAX = 4000
LIVE_EVENTS = 300
NEXT_WITHIN_S = 60.0
READERS_AT_ONCE = 4
MANY = 1 << 40


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


def _cross(socket: Path, ledger: Ledger, seed: int) -> int:
    """Read from somewhere in the history until well into what was published since; return how many were history."""
    rng = random.Random(seed)
    with Client.connect(socket) as client:
        end = int(client.ask("log")["end"])
        start = max(end - rng.randrange(BEHIND_MAX), 0)
        reading = ledger.reading(start)
        with client.subscribe(since=start, on_gap=reading.gap) as subscription:
            history, until = subscription.end - start, subscription.end + LIVE_EVENTS
            while reading.next < until:
                event = subscription.next(NEXT_WITHIN_S)
                assert event is not None, f"nothing comes after @{reading.next}"
                reading.take(event)
    return history


def _cross_many(forks: Forks, folder: Path, readers: int, seed: int, *, without: str | None = None) -> None:
    ledger = Ledger()
    broker = forks.start(Start(str(folder), SETTINGS, without=without))
    assert broker.ready, broker_output(folder)
    socket = folder / "bus.sock"
    with traffic("publish", socket, "written", 200, MANY) as publisher:
        ledger.source(publisher.says()["epoch"]).sent = MANY
        with Client.connect(socket) as client:
            client.wait("load/", timeout_s=NEXT_WITHIN_S)
        rng = random.Random(seed)
        seeds = [rng.randrange(1 << 30) for _ in range(readers)]
        with ThreadPoolExecutor(READERS_AT_ONCE) as threads:
            histories = list(threads.map(partial(_cross, socket, ledger), seeds))
        publisher.end_input()
        sent = publisher.says()["sent"]
    forks.kill(broker.pid)
    counters: dict[str, float] = {
        **ledger.counters,
        "began_in_history": sum(history > 0 for history in histories),
        "history_events": sum(histories),
        "published": sent,
    }
    report("B-05", seed=seed, runs=readers, counters=counters, target=dict.fromkeys(COUNTERS, 0), without=without)
    assert counters["began_in_history"] > readers * 0.9


def test_history_meets_live_without_gap_or_repetition(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    _cross_many(forks, tmp_path_factory.mktemp("b05"), 100, seed=31)


@pytest.mark.long
def test_history_meets_live_a_thousand_times_without_gap_or_repetition(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _cross_many(forks, tmp_path_factory.mktemp("b05"), 1000, seed=32)


def test_a_subscription_that_goes_live_too_early_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Negative control: the broker lets it go live after the first piece of history."""
    with pytest.raises(AssertionError, match=r"hole|nothing comes"):
        _cross_many(forks, tmp_path_factory.mktemp("b05"), 20, seed=33, without="reading on until the end")
