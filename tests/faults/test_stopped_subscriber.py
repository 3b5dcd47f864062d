"""B-01: one subscriber of many is stopped (SIGSTOP) while events flow, and goes on later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings, Limits
from sylvite.client.core import CREDIT_BYTES
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.proc import memory_bytes, reset_peak
from tests.faults.report import report
from tests.faults.traffic_processes import traffic

MIB = 1024 * 1024
GROWTH_MIB = 16.0
BODY_BYTES = 1000
LOG = LogSettings(keep_free_bytes=0)
USUAL = Limits()
GENEROUS = Limits(socket_bytes=1 << 30, answer_bytes=1 << 30)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


def _stop_one(forks: Forks, folder: Path, *, events: int, each: int, without: str | None = None) -> None:
    """Publish to `each` subscribers in each of two processes, and to one that is stopped."""
    settings = BrokerSettings(log=LOG, limits=USUAL if without is None else GENEROUS)
    credit = CREDIT_BYTES if without is None else 16 * MIB
    broker = forks.start(Start(str(folder), settings, without=without))
    assert broker.ready, broker_output(folder)
    socket = folder / "bus.sock"
    with (
        traffic("subscribe", socket, each, events, credit) as first,
        traffic("subscribe", socket, each, events, credit) as second,
        traffic("subscribe", socket, 1, events, credit) as stopped,
    ):
        for process in (first, second, stopped):
            process.says()
        stopped.stop()
        before = memory_bytes(broker.pid)
        reset_peak(broker.pid)
        with traffic("publish", socket, "written", BODY_BYTES, events) as publisher:
            publisher.says()
            assert publisher.says() == {"sent": events}
        heard = [process.says() for process in (first, second)]
        assert not stopped.has_said(), "it was not stopped"
        growth = memory_bytes(broker.pid, "VmHWM") - before
        stopped.go_on()
        heard.append(stopped.says())
    forks.kill(broker.pid)
    assert "Traceback" not in broker_output(folder), broker_output(folder)
    counters: dict[str, float] = {
        "subscribers": 2 * each + 1,
        "events": events,
        "missed": sum(events - read for one in heard for read in one["read"]),
        "wrong": sum(len(one["wrong"]) for one in heard),
        "growth_mib": round(growth / MIB, 1),
    }
    target = {"missed": 0, "wrong": 0, "growth_mib": GROWTH_MIB}
    report("B-01", seed=0, runs=1, counters=counters, target=target, without=without)


def test_a_stopped_subscriber_costs_neither_memory_nor_events(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """20,000 events of 1 KiB: the others get all at once, the stopped one later, from the log, with no gap."""
    _stop_one(forks, tmp_path_factory.mktemp("b01"), events=20_000, each=10)


@pytest.mark.long
def test_a_stopped_subscriber_of_a_hundred_costs_neither_memory_nor_events(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _stop_one(forks, tmp_path_factory.mktemp("b01"), events=100_000, each=50)


def test_without_limits_the_broker_keeps_everything_for_a_stopped_subscriber(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Negative control: with no bound on what waits for a socket, the growth is seen."""
    with pytest.raises(AssertionError, match='"row": "B-01"'):
        _stop_one(forks, tmp_path_factory.mktemp("b01"), events=30_000, each=4, without="waiting for a full socket")
