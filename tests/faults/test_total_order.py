"""B-03: many publishers at once, many readers: one order, the same for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.core.event import Event
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.ledger import COUNTERS, Ledger, Reading
from tests.faults.report import report
from tests.faults.traffic import read_to_end
from tests.faults.traffic_processes import traffic
from tests.faults.traffic_program import Digest

PUBLISHERS = 8
READERS = ((4, 1024 * 1024), (4, 32 * 1024))
"""Two processes: how many readers, and their credit.  With little of it they are often behind, and read the log."""
SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=16 * 1024 * 1024, keep_free_bytes=0))
SIZE = 100


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


class _Replay(Reading):
    """What the log holds in the end; `switches` counts events of another publisher than the one before."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, 0)
        self.digest = Digest()
        self.switches = 0
        self._before = 0

    def take(self, event: Event) -> None:
        super().take(event)
        if event.tag == "load/one":
            self.digest.take(event)
            self.switches += event.origin.source_epoch != self._before
            self._before = event.origin.source_epoch


def _read_one_order(
    forks: Forks, folder: Path, events: int, *, batch_bytes: int = 1024, without: str | None = None
) -> None:
    """Let each publisher publish so many events, half of them at level written, half synced.

    `batch_bytes`: the smaller, the more often they take turns.
    """
    broker = forks.start(Start(str(folder), SETTINGS, without=without))
    assert broker.ready, broker_output(folder)
    socket, ledger = folder / "bus.sock", Ledger()
    with ExitStack() as stack:
        readers = [stack.enter_context(traffic("digest", socket, many, credit)) for many, credit in READERS]
        for reader in readers:
            reader.says()
        publishers = [
            stack.enter_context(traffic("publish", socket, level, SIZE, events, batch_bytes))
            for level in ("written", "synced") * (PUBLISHERS // 2)
        ]
        for publisher in publishers:
            source = ledger.source(publisher.says()["epoch"])
            source.sent, source.acknowledged = events, set(range(events))
        for publisher in publishers:
            publisher.begin()
        for publisher in publishers:
            assert publisher.says() == {"sent": events}
        with Client.connect(socket) as client:
            source = ledger.source(client._core.source_epoch)  # pyright: ignore[reportPrivateUsage] - its name to readers
            source.sent, source.acknowledged = 1, {0}
            client.publish("load/end", {"n": 0})
        heard = [reader.says() for reader in readers]
    replay = _Replay(ledger)
    read_to_end(socket, replay)
    replay.finish()
    forks.kill(broker.pid)
    assert "Traceback" not in broker_output(folder), broker_output(folder)
    assert replay.switches > PUBLISHERS * 2, "they were not at work at the same time"
    digests = [digest for one in heard for digest in one["digests"]]
    counters: dict[str, float] = {
        "other_order": sum(digest != replay.digest.hex() for digest in digests),
        "missed": sum(abs(PUBLISHERS * events - read) for one in heard for read in one["events"]),
        "reordered_for_readers": sum(one["reordered"] for one in heard),
        "readers": len(digests),
        "switches": replay.switches,
    }
    report(
        "B-03", seed=0, runs=PUBLISHERS * events, counters=counters | ledger.counters,
        target=dict.fromkeys(("other_order", "missed", "reordered_for_readers", *COUNTERS), 0), without=without,
    )  # fmt: skip


def test_all_readers_see_the_same_order(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """8 publishers of 2,000 events each, 8 readers: the same hash over offset, source and seq."""
    _read_one_order(forks, tmp_path_factory.mktemp("b03"), 2000)


@pytest.mark.long
def test_all_readers_see_the_same_order_of_800_000_events(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _read_one_order(forks, tmp_path_factory.mktemp("b03"), 100_000, batch_bytes=8192)


def test_batches_in_another_order_are_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control: some live subscriptions get each two batches the wrong way round."""
    with pytest.raises(AssertionError, match='"row": "B-03"'):
        _read_one_order(forks, tmp_path_factory.mktemp("b03"), 500, without="one order")
