"""The broker reads sealed segments again, and tells of damage before a reader comes to it."""

from __future__ import annotations

import errno
from typing import Any

from sylvite.broker.settings import BrokerSettings
from sylvite.eventlog.eventlog import LogSettings
from sylvite.eventlog.segment import START
from sylvite.testing.storage import MemoryStorage
from tests.broker.bus import Bus, Person

SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=16 * 1024, keep_free_bytes=0, scrub_every_s=60.0))


def _bus_of_several_segments(storage: MemoryStorage | None = None) -> Bus:
    bus = Bus(SETTINGS, storage)
    writer = bus.person(source_epoch=8)
    for _ in range(60):
        writer.publish("a", size=1000)
        bus.run()
    return bus


def _log_facts(person: Person) -> dict[str, Any]:
    facts = person.ask("log")
    assert isinstance(facts, dict)
    return facts


def _let_it_read(bus: Bus) -> None:
    for _ in range(200):
        bus.pass_s(1.0)


def test_damage_is_told_though_nobody_reads_and_only_once() -> None:
    bus = _bus_of_several_segments()
    watcher = bus.person()
    watcher.subscribe(startswith=("sylvite/log/",))
    segment = bus.broker.log.segments[1]
    bus.storage.content(segment.name)[9000] ^= 1
    _let_it_read(bus)
    assert watcher.tags() == ["sylvite/log/corrupt"]
    facts = _log_facts(watcher)
    assert facts["scrub"]["rounds"] > 1
    assert facts["scrub"]["finished_ns"] > 0
    (damaged,) = facts["damaged"]
    assert damaged["segment"] == segment.name
    assert segment.base <= damaged["first"] < damaged["next"] <= segment.next


def test_bytes_that_held_no_event_are_told_and_no_event_is_called_damaged() -> None:
    bus = _bus_of_several_segments()
    watcher = bus.person()
    watcher.subscribe(startswith=("sylvite/log/",))
    bus.storage.content(bus.broker.log.segments[1].name)[10] ^= 1
    _let_it_read(bus)
    assert watcher.tags() == ["sylvite/log/corrupt"]
    assert _log_facts(watcher)["damaged"] == []


def test_a_disk_that_does_not_let_it_read_ends_nothing() -> None:
    bus = _bus_of_several_segments()
    bus.storage.fail(errno.EIO, call="read", at=3)
    bus.storage.fail(errno.EMFILE, call="open")
    _let_it_read(bus)
    assert bus.failures == []
    assert bus.broker.log.storage.open(bus.broker.log.segments[0].name).read_at(0, START)


def test_a_broker_that_stops_begins_no_more_of_it() -> None:
    bus = _bus_of_several_segments()
    bus.pass_s(60.0)
    bus.pass_s(0.1)
    read = bus.broker.scrub.bytes
    assert read > 0
    bus.broker.drain()
    bus.pass_s(1.0)
    assert bus.broker.scrub.bytes == read
    bus.broker.finish()
