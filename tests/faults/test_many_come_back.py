"""B-10: a broker is restarted under hundreds of connected clients: all come back, none misses an event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.client.sync_publisher import Publisher
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.proc import cpu_s
from tests.faults.report import report
from tests.faults.traffic import wait_until
from tests.faults.traffic_processes import traffic

SETTINGS = BrokerSettings(log=LogSettings(keep_free_bytes=0))
EVENTS = 200
"""Before the first restart, and after each."""
CREDIT_BYTES = 64 * 1024
BACK_S, BACK_RATIO = 5.0, 2.0
"""All are back within 5 s and twice what it took them to connect for the first time, on this machine and now."""
BACK_WITHIN_S = 60.0
WORK_RATIO, WORK_S = 3.0, 0.5
"""Coming back costs the broker at most three times the work of coming, and half a second."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


class _Run:
    """A broker, its clients in a process of their own, and one publisher that stays.

    `first_s`: until all were connected for the first time.  `back_s`: the longest time until all were back.
    """

    def __init__(self, forks: Forks, folder: Path, how_many: int, without: str | None) -> None:
        self.forks, self.folder, self.how_many = forks, folder, how_many
        self.first_s = self.first_work_s = self.back_s = self.work_s = 0.0
        self.connections = 0
        self._start = Start(str(folder), SETTINGS, without=without)
        self._pid = self._started()
        self._sent = 0

    def _started(self) -> int:
        started = self.forks.start(self._start)
        assert started.ready, broker_output(self.folder)
        return started.pid

    def run(self, restarts: int, next_within_s: int) -> dict[str, Any]:
        """Return what the clients say of what they have read."""
        socket = self.folder / "bus.sock"
        count = EVENTS * (restarts + 1)
        began, worked_s = time.monotonic(), cpu_s(self._pid)
        with traffic("subscribe", socket, self.how_many, count, CREDIT_BYTES, next_within_s) as clients:
            assert clients.says() == {"ready": self.how_many}
            self.first_s, self.first_work_s = time.monotonic() - began, cpu_s(self._pid) - worked_s
            with Client.connect(socket) as client, client.publisher(level="written", batch_bytes=1000) as publisher:
                self._publish(publisher)
                for number in range(restarts):
                    if number % 2:
                        self._end(in_order=True)
                        self._wait_for_all(client)
                        self._publish(publisher)
                    else:
                        # They come back late, all at once, and a part of the events was published meanwhile.
                        clients.stop()
                        self._end(in_order=False)
                        self._publish(publisher)
                        clients.go_on()
                        self._wait_for_all(client)
            heard = clients.says()
        self.forks.kill(self._pid)
        return heard

    def _publish(self, publisher: Publisher) -> None:
        for number in range(self._sent, self._sent + EVENTS):
            publisher.publish("load/one", {"n": number})
        publisher.flush()
        self._sent += EVENTS

    def _end(self, *, in_order: bool) -> None:
        """End the broker, and start another one."""
        if in_order:
            assert self.forks.stop(self._pid) == 0, broker_output(self.folder)
        else:
            self.forks.kill(self._pid)
        self._pid = self._started()

    def _wait_for_all(self, client: Client) -> None:
        began = time.monotonic()

        def all_are_back() -> bool:
            return client.ask("stats", timeout_s=BACK_WITHIN_S)["subscriptions"] == self.how_many

        wait_until(all_are_back, within_s=BACK_WITHIN_S, what="all clients back", every_s=0.05)
        self.back_s = max(self.back_s, time.monotonic() - began)
        self.work_s = max(self.work_s, cpu_s(self._pid))
        self.connections = max(self.connections, client.ask("stats")["counters"]["connections"])


def _restart_under_many(
    forks: Forks,
    folder: Path,
    how_many: int,
    *,
    restarts: int = 2,
    next_within_s: int = 60,
    without: str | None = None,
) -> None:
    run = _Run(forks, folder, how_many, without)
    heard = run.run(restarts, next_within_s)
    assert "Traceback" not in broker_output(folder), broker_output(folder)
    count = EVENTS * (restarts + 1)
    counters: dict[str, float] = {
        "missed": sum(count - read for read in heard["read"]),
        "wrong": len(heard["wrong"]),
        "connections_more_than_clients": run.connections - how_many - 1,
        "first_s": round(run.first_s, 2),
        "back_s": round(run.back_s, 2),
        "first_work_s": round(run.first_work_s, 3),
        "back_work_s": round(run.work_s, 3),
    }
    target = {
        "missed": 0.0,
        "wrong": 0.0,
        "connections_more_than_clients": how_many / 10,
        "back_s": BACK_S + BACK_RATIO * run.first_s,
        "back_work_s": WORK_S + WORK_RATIO * run.first_work_s,
    }
    report("B-10", seed=0, runs=restarts, counters=counters, target=target, without=without)


def test_all_clients_come_back_and_miss_nothing(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """60 clients; the broker is killed, and stopped in order."""
    _restart_under_many(forks, tmp_path_factory.mktemp("b10"), 60)


@pytest.mark.long
def test_five_hundred_clients_come_back_and_miss_nothing(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _restart_under_many(forks, tmp_path_factory.mktemp("b10"), 500, restarts=6)


def test_readers_that_begin_anew_are_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control: a broker that lets readers who come back begin with what comes from now on."""
    with pytest.raises(AssertionError, match='"row": "B-10"'):
        _restart_under_many(
            forks, tmp_path_factory.mktemp("b10"), 10, restarts=1, next_within_s=2, without="resuming"
        )  # fmt: skip
