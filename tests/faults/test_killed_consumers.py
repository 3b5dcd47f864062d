"""B-07: consumers with durable cursors that are killed at random moments while events come."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.consumer_program import Kind, read_marks
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.ledger import Ledger
from tests.faults.report import report
from tests.faults.traffic import Publishing
from tests.faults.traffic_processes import program

SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=4 * 1024 * 1024, keep_free_bytes=0))
CONSUMERS = 2
MUST_BE_NONE: tuple[str, ...] = ("lost", "phantom", "twice_after_key", "skipped", "changed", "beyond_window")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


class Consumed(msgspec.Struct):
    """What the record of one cursor says.

    `skipped`: events that were not got in their turn.  `beyond_window`: events that came again although the broker had
    heard that they are done.  `came_again`: all that came again.  `idle_lives`: consumers killed before they got one.
    """

    places: dict[int, tuple[int, int]] = msgspec.field(default_factory=dict[int, tuple[int, int]])
    keys: set[tuple[int, int]] = msgspec.field(default_factory=set[tuple[int, int]])
    skipped: int = 0
    beyond_window: int = 0
    came_again: int = 0
    most_again: int = 0
    changed: int = 0
    lives: int = 0
    idle_lives: int = 0


def _judge(record: Path, offsets: Sequence[int]) -> Consumed:
    """Follow a record.  `offsets`: of the events there are, in order."""
    turn = {offset: number for number, offset in enumerate(offsets)}
    found = Consumed()
    due = done = begins_at = 0
    """In turns: the next event that was never got; behind what is done for sure; where this life goes on."""
    is_first = False
    for mark in read_marks(record):
        if mark.kind is Kind.BEGIN:
            found.lives += 1
            found.idle_lives += is_first
            is_first = True
            continue
        number, key = turn[mark.offset], (mark.source, mark.seq)
        if mark.kind is Kind.SAFE:
            done = number + 1
            continue
        if is_first:
            is_first = False
            begins_at = number
            found.beyond_window += max(done - number, 0)
            found.most_again = max(found.most_again, due - number)
        found.skipped += number > due if number == begins_at else number != begins_at
        begins_at = number + 1
        found.came_again += number < due
        found.changed += found.places.setdefault(mark.offset, key) != key
        found.keys.add(key)
        due = max(due, number + 1)
    return found


def _kill_consumers(forks: Forks, folder: Path, kills: int, seed: int, *, without: str | None = None) -> None:
    """Kill so many, a part of them of each cursor."""
    broker = forks.start(Start(str(folder), SETTINGS, without=without))
    assert broker.ready, broker_output(folder)
    socket, rng, ledger = folder / "bus.sock", random.Random(seed), Ledger()
    records = [folder / f"record-{number}" for number in range(CONSUMERS)]
    publishing = Publishing(socket, ledger, "written", rng.randrange(1 << 30))
    with ExitStack() as stack:
        stack.callback(publishing.give_up)
        publishing.start()
        consumers = [
            stack.enter_context(
                program(
                    "tests.faults.consumer_program", socket, record.name, record, kills // CONSUMERS, rng.randrange(1 << 30)
                )
            )
            for record in records
        ]  # fmt: skip
        for consumer in consumers:
            while consumer.says()["killed"] < kills // CONSUMERS:
                pass
        publishing.finish()
        with Client.connect(socket) as client:
            client.publish("load/end")
            offsets = [
                event.offset for event in client.subscribe("load/one", "load/many", since="oldest", until_end=True)
            ]
        for consumer in consumers:
            consumer.begin()
            assert consumer.says() == {"code": 0}
    forks.kill(broker.pid)
    assert "Traceback" not in broker_output(folder), broker_output(folder)
    found = [_judge(record, offsets) for record in records]
    keys = {(epoch, seq) for epoch, source in ledger.sources.items() for seq in source.acknowledged}
    counters: dict[str, float] = {
        "lost": sum(len(keys - one.keys) for one in found),
        "phantom": sum(len(one.keys - keys) for one in found),
        "twice_after_key": sum(len(one.places) - len(one.keys) for one in found),
        "skipped": sum(one.skipped for one in found),
        "changed": sum(one.changed for one in found),
        "beyond_window": sum(one.beyond_window for one in found),
        "came_again": sum(one.came_again for one in found),
        "most_again": max(one.most_again for one in found),
        "events": len(offsets),
        "killed_with_a_subscription": sum(one.lives for one in found) - CONSUMERS,
        "killed_before_an_event": sum(one.idle_lives for one in found),
    }
    target = dict.fromkeys(MUST_BE_NONE, 0.0)
    report("B-07", seed=seed, runs=kills, counters=counters, target=target, without=without)
    assert counters["came_again"], "no kill fell between an event and its acknowledgement"
    assert counters["killed_with_a_subscription"] > kills / 4


def test_killed_consumers_get_everything_and_again_only_what_is_not_acknowledged(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """30 kills: at least once as it comes, exactly once by source and seq."""
    _kill_consumers(forks, tmp_path_factory.mktemp("b07"), 30, seed=61)


@pytest.mark.long
@pytest.mark.parametrize("seed", [100, 101, 102, 103])
def test_a_thousand_killed_consumers_get_everything(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """In four runs of 250."""
    _kill_consumers(forks, tmp_path_factory.mktemp("b07"), 250, seed=seed)


@pytest.mark.parametrize("safeguard", ["hearing acknowledgements", "waiting for acknowledgements"])
def test_a_cursor_that_stands_elsewhere_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, safeguard: str
) -> None:
    """Negative control: a cursor that never moves, and one that stands behind whatever was sent."""
    with pytest.raises(AssertionError, match='"row": "B-07"'):
        _kill_consumers(forks, tmp_path_factory.mktemp("b07"), 30, seed=63, without=safeguard)
