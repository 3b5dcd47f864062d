"""Conditions that may take long are worked out beside the loop: nobody else waits, and their reader misses nothing."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from sylvite.broker import readers, thought
from sylvite.broker import subscription as subscription_module
from sylvite.broker.settings import BrokerSettings
from sylvite.broker.thought import STEPS_AT_ONCE, STEPS_OF_FLUSH
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data
from sylvite.core.level import Level
from sylvite.core.predicate import Predicate, compile_predicate
from sylvite.eventlog.eventlog import LogSettings
from sylvite.wire.messages import Credit, Publish, Refuse, Unsubscribe
from tests.broker.bus import Bus, Person, events

COSTLY = "any(data.list, it < 0) or data.n == 1"
LIST = [0] * 60_000


def _publish(person: Person, n: int, values: list[int] | None = None, tag: str = "a") -> None:
    builder = BlockBuilder()
    builder.add(tag, pack_data({"n": n, "list": values or []}))
    block, count = builder.take()
    person.seq += count
    person.say(Publish(int(Level.WRITTEN), person.seq - count, block))


def _numbers(person: Person) -> list[int]:
    return [event.data["n"] for event in events(person.read())]


def test_others_get_their_events_while_a_condition_is_worked_out() -> None:
    bus = Bus(syncs=False)
    writer, reader, other = bus.person(source_epoch=8), bus.person(), bus.person()
    reader.subscribe(where=COSTLY)
    other.subscribe()
    for each in (reader, other):
        each.read()
    _publish(writer, 1, LIST)
    _publish(writer, 1)
    assert _numbers(other) == [1, 1]
    assert _numbers(reader) == [], "no thread has done it yet"
    bus.syncs = True
    assert _numbers(reader) == [1, 1]
    _publish(writer, 2)
    _publish(writer, 1)
    assert _numbers(reader) == [1]
    assert all(each.live for each in reader.connection.subscriptions.values())


def test_a_reader_that_leaves_meanwhile_is_forgotten() -> None:
    leaving: tuple[Callable[[Person], None], ...] = (lambda person: person.say(Unsubscribe(1)), Person.leave)
    for leave in leaving:
        bus = Bus(syncs=False)
        writer, reader = bus.person(source_epoch=8), bus.person()
        reader.subscribe(where=COSTLY)
        reader.read()
        _publish(writer, 1, LIST)
        bus.run()
        jobs = bus.broker.take_jobs()
        assert jobs
        assert bus.broker.readers.thoughts == deque()
        leave(reader)
        for job in jobs:
            job.run()
            job.done(None)
        bus.syncs = True
        bus.run()
        assert bus.failures == []


def test_a_mistake_over_it_ends_that_subscription_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(Predicate, "matches", broken)
    bus = Bus()
    writer, reader, other = bus.person(source_epoch=8), bus.person(), bus.person()
    reader.subscribe(where=COSTLY)
    other.subscribe()
    for each in (reader, other):
        each.read()
    _publish(writer, 1, LIST)
    assert reader.only(Refuse).what == "subscribe"
    assert _numbers(other) == [1]
    assert bus.failures == []


def test_many_that_are_not_costly_alone_do_not_hold_up_a_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may be worked out at once; all of them together may not."""
    looked = 0
    matches = Predicate.matches

    def count(predicate: Predicate, *arguments: Any) -> bool:
        nonlocal looked
        looked += 1
        return matches(predicate, *arguments)

    values = [0] * 4000
    size = len(pack_data({"n": 1, "list": values}))
    price = compile_predicate(COSTLY).price(size, 1)
    assert STEPS_AT_ONCE / 4 < price < STEPS_AT_ONCE
    monkeypatch.setattr(Predicate, "matches", count)
    bus = Bus()
    writer = bus.person(source_epoch=8)
    all_readers = [bus.person() for _ in range(40)]
    for reader in all_readers:
        reader.subscribe(where=COSTLY)
        reader.read()
    _publish(writer, 1, values)
    looked = 0
    bus.broker.flush()
    assert 0 < looked <= STEPS_OF_FLUSH // price
    assert all(_numbers(reader) == [1] for reader in all_readers)
    assert looked == len(all_readers)


def test_those_behind_come_on_together_though_others_are_live_and_have_conditions_too() -> None:
    bus = Bus()
    writer = bus.person(source_epoch=8)
    live = [bus.person() for _ in range(10)]
    for reader in live:
        reader.subscribe(where=COSTLY)
    bus.run()
    for n in range(20):
        _publish(writer, 1 if n else 0, [0] * 4000)
        bus.run()
    behind = [bus.person() for _ in range(6)]
    for reader in behind:
        reader.subscribe(at="oldest", where=COSTLY)
    for _ in range(30):
        _publish(writer, 1, [0] * 4000)
        bus.broker.flush()
    read = [sum(subscription.delivered for subscription in each.connection.subscriptions.values()) for each in behind]
    assert min(read) > 0
    assert max(read) - min(read) <= 6


@pytest.mark.parametrize("cursor", ["", "kept"])
@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_worked_out_elsewhere_comes_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch, seed: int, cursor: str
) -> None:
    """Every condition is, of batches of any size, with little credit, while threads are slow and segments roll."""
    for module in (subscription_module, readers):
        monkeypatch.setattr(module, "STEPS_AT_ONCE", 0)
    monkeypatch.setattr(thought, "STEPS_OF_FLUSH", 0)
    rng = random.Random(seed)
    bus = Bus(BrokerSettings(log=LogSettings(segment_bytes=8192, keep_free_bytes=0, tail_bytes=rng.choice((0, 4096)))))
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(at="oldest", where="data.n in [1, 3]", credit=2000, cursor=cursor)
    got: list[int] = []
    sent: list[int] = []
    for _ in range(200):
        match rng.randrange(4):
            case 0 | 1:
                builder = BlockBuilder()
                for _ in range(rng.randrange(1, 8)):
                    sent.append(rng.randrange(5))
                    builder.add("a", pack_data({"n": sent[-1], "pad": "x" * rng.choice((0, 500))}))
                block, count = builder.take()
                writer.seq += count
                writer.say(Publish(int(Level.WRITTEN), writer.seq - count, block))
            case 2:
                bus.syncs = rng.random() < 0.5
                bus.run()
            case _:
                got += _numbers(reader)
                reader.say(Credit(1, rng.choice((0, 1000))))
    bus.syncs = True
    reader.say(Credit(1, 1 << 20))
    got += _numbers(reader)
    assert got == [n for n in sent if n in (1, 3)], f"seed {seed}"


def test_what_may_take_long_is_told_by_the_expression_and_the_size() -> None:
    simple = compile_predicate("data.retcode != 0 and data.fun == 'state.apply'")
    assert simple.price(1 << 20, 100) < STEPS_AT_ONCE
    loop = compile_predicate("any(data.return.*, it.result == false)")
    assert loop.price(2000, 1) < STEPS_AT_ONCE < loop.price(1 << 20, 1)
    product = compile_predicate("any(data.list, any(data.list, it == data.n))")
    assert loop.price(300, 1) < STEPS_AT_ONCE < product.price(300, 1)
    pattern = compile_predicate('regex(data.a, ".*a.*b")')
    assert pattern.price(1 << 20, 1000) > STEPS_AT_ONCE
