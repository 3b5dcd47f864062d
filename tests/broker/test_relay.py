"""Relay: blocks that the broker's user brings for others, with their origin."""

from __future__ import annotations

import pytest

from sylvite.auth.policy import PolicySettings, Rule
from sylvite.broker.settings import BrokerSettings
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data
from sylvite.eventlog.eventlog import LogSettings
from sylvite.eventlog.sources import RUNS_MAX, Sources
from sylvite.testing.storage import MemoryStorage
from sylvite.wire.messages import Ack, Publish, Refuse, Relay
from tests.broker.bus import GUEST, Bus, acks, events


def block(*tags: str, size: int = 0) -> bytes:
    builder = BlockBuilder()
    for tag in tags:
        builder.add(tag, pack_data({"pad": "x" * size}))
    return builder.take()[0]


def test_what_is_relayed_has_the_origin_that_was_named() -> None:
    bus = Bus()
    link, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe()
    link.say(Relay(2, 5, 77, 1000, "minion:web1", block("a", "b")))
    ack = link.only(Ack)
    assert (ack.seq, ack.count) == (5, 2)
    first, second = events(reader.read())
    assert (first.sender, first.origin.source_epoch, first.source_seq) == ("minion:web1", 77, 1000)
    assert (second.sender, second.source_seq) == ("minion:web1", 1001)


def test_a_minion_that_says_it_again_is_answered_whoever_brings_it() -> None:
    """Another link, another ref: it is the minion's own source epoch and seq that count."""
    bus = Bus()
    one, other = bus.person(source_epoch=8), bus.person(source_epoch=9)
    one.say(Relay(2, 0, 77, 1000, "minion:web1", block("a")))
    first = one.only(Ack)
    other.say(Relay(2, 31, 77, 1000, "minion:web1", block("a")))
    again = other.only(Ack)
    assert (again.seq, again.base) == (31, first.base)
    other.say(Relay(2, 32, 77, 1000, "minion:web2", block("a")))
    assert other.only(Ack).base == first.base + 1


def test_its_own_events_and_relayed_ones_do_not_get_into_each_others_way() -> None:
    bus = Bus()
    link = bus.person(source_epoch=8)
    link.say(Publish(2, 0, block("own")), Relay(2, 1, 8, 0, "minion:web1", block("relayed")))
    assert [message.seq for message in link.read() if isinstance(message, Ack)] == [0, 1]


@pytest.mark.parametrize(
    "sender", ["", "uid:0", "broker", "minion:", "minion:a b", "minion:a\n", "x" * 200, "Minion:a"]
)
def test_nobody_else_is_relayed(sender: str) -> None:
    bus = Bus()
    link = bus.person()
    link.say(Relay(2, 7, 77, 0, sender, block("a")))
    refuse = link.only(Refuse)
    assert (refuse.what, refuse.ref, refuse.code) == ("publish", 7, "invalid_input")


def test_a_guest_relays_nothing() -> None:
    everything = PolicySettings(rules=(Rule(users=(GUEST.uid,), publish=("",), subscribe=("",)),))
    bus = Bus(BrokerSettings(policy=everything))
    guest = bus.person(GUEST)
    guest.say(Relay(2, 0, 77, 0, "minion:web1", block("a")))
    assert guest.only(Refuse).code == "not_allowed"


def test_the_brokers_own_tags_are_relayed_by_nobody() -> None:
    bus = Bus()
    link = bus.person()
    link.say(Relay(2, 0, 77, 0, "minion:web1", block("sylvite/log/full")))
    assert link.only(Refuse).code == "not_allowed"


def test_what_follows_a_block_that_was_not_written_is_not_written_before_it() -> None:
    """The disk is full for some blocks and not for those behind them: they are stored in the order of their minion."""
    storage = MemoryStorage(capacity=60_000)
    bus = Bus(BrokerSettings(log=LogSettings(segment_bytes=16 * 1024, keep_free_bytes=0)), storage)
    link, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(at="oldest")
    refused: list[int] = []
    number = 0
    while len(refused) < 3:
        link.say(Relay(2, number, 77, number * 2048, "minion:web1", block(f"t/{number}", size=1000)))
        refused += [message.ref for message in link.read() if isinstance(message, Refuse)]
        number += 1
    storage.capacity = None
    first = refused[0]
    later = Relay(2, 900, 77, number * 2048, "minion:web1", block("t/later"))
    other = Relay(2, 901, 77, 0, "minion:web2", block("t/other"))
    link.say(later, other)
    assert [(message.ref, message.code) for message in link.read() if isinstance(message, Refuse)] == [
        (900, "no_space")
    ]
    for ref in refused:
        link.say(Relay(2, 1000 + ref, 77, ref * 2048, "minion:web1", block(f"t/{ref}", size=1000)))
    link.say(later)
    assert len(acks(link.read())) == len(refused) + 1
    tags = [event.tag for event in events(reader.read()) if event.sender == "minion:web1"]
    assert tags[-4:] == [*(f"t/{ref}" for ref in range(first, first + 3)), "t/later"]


def test_minions_do_not_make_each_other_forgotten() -> None:
    """Thousands of them, each with a window of loads that are no neighbours: what one says again is known all the same."""
    sources, minions, loads = Sources(complete=True), 2000, 200
    assert minions * loads > RUNS_MAX
    base = 0
    for minion in range(minions):
        for number in range(loads):
            sources.note(f"minion:{minion}", 77, number * 2048, 1, base, 1)
            base += 1
    assert not any(
        sources.is_new(f"minion:{minion}", 77, number * 2048, 1) for minion in (0, 1000) for number in range(loads)
    )
    assert all(sources.is_new(f"minion:{minion}", 77, loads * 2048, 1) for minion in range(minions))
