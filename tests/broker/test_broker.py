"""The Broker: what it answers, to whom it delivers, and what it does when somebody or something misbehaves."""

from __future__ import annotations

import errno

import msgspec
import pytest

from sylvite.auth.policy import LevelRule, PolicySettings, Rule
from sylvite.broker.settings import BrokerSettings, Limits
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data
from sylvite.core.level import Level
from sylvite.eventlog.eventlog import LogSettings
from sylvite.eventlog.sources import RUNS_PER_SOURCE_MAX
from sylvite.testing.storage import MemoryStorage
from sylvite.wire.messages import (
    Ack,
    Advance,
    Credit,
    Missed,
    Ping,
    Pong,
    Progress,
    Publish,
    Refuse,
    Subscribed,
    Unsubscribe,
    Welcome,
    encode,
)
from tests.broker.bus import GUEST, OWNER, Bus, Person, acks, bye, events, gaps

SMALL = LogSettings(segment_bytes=16 * 1024, keep_free_bytes=0, tail_bytes=4096)
FOR_GUESTS = PolicySettings(rules=(Rule(users=(1001,), publish=("myco/",), subscribe=("myco/", "salt/job/")),))


# -- Hello -------------------------------------------------------------------------------------------------------


def test_hello_is_answered_with_who_one_is_taken_for() -> None:
    person = Person(Bus(), OWNER).hello()
    welcome = person.only(Welcome)
    assert (welcome.sender, welcome.end) == ("uid:0", 0)


def test_another_version_is_refused_and_the_connection_closed() -> None:
    person = Person(Bus(), OWNER).hello(version=99)
    assert "version 99" in person.only(Refuse).message
    assert person.wire.closed


def test_a_stranger_is_refused() -> None:
    person = Person(Bus(), GUEST).hello()
    assert person.only(Refuse).code == "not_allowed"
    assert person.wire.closed


def test_a_wrong_token_is_refused() -> None:
    bus = Bus()
    assert Person(bus, OWNER, token="right").hello(token="wrong").only(Refuse).code == "not_authenticated"
    assert Person(bus, OWNER, token="right").hello(token="right").only(Welcome)


def test_anything_before_hello_ends_the_connection_and_nothing_else() -> None:
    bus = Bus()
    other = bus.person()
    person = Person(bus, OWNER)
    person.say(Ping(1))
    assert person.only(Refuse).code == "remote_protocol_error"
    assert person.wire.closed
    other.say(Ping(2))
    assert other.only(Pong) == Pong(2)


def test_connections_are_limited_in_all_and_for_each_user() -> None:
    limits = Limits(connections=3, connections_per_user=2)
    bus = Bus(BrokerSettings(policy=FOR_GUESTS, limits=limits))
    first, _ = bus.person(), bus.person()
    assert Person(bus, OWNER).hello().only(Refuse).code == "overloaded"
    bus.person(GUEST)
    refused = Person(bus, GUEST).hello().only(Refuse)
    assert (refused.code, "3 connections" in refused.message) == ("overloaded", True)
    first.leave()
    assert Person(bus, OWNER).hello().only(Welcome)


# -- Publish -----------------------------------------------------------------------------------------------------


def test_levels_are_answered_when_they_are_reached() -> None:
    bus = Bus(syncs=False)
    person = bus.person()
    person.publish("a", level=Level.WRITTEN)
    assert acks(person.read()) == [Ack(0, 1, 0, bus.broker.log.epoch, Level.WRITTEN)]
    person.publish("b", "b", level=Level.SYNCED)
    assert acks(person.read()) == []
    bus.syncs = True
    assert acks(person.read()) == [Ack(1, 2, 1, bus.broker.log.epoch, Level.SYNCED)]
    person.publish("c", level=Level.NONE)
    assert person.read() == []


def test_the_policy_sets_the_level_and_the_least_of_it() -> None:
    policy = PolicySettings(
        levels=(LevelRule(tags=("presence/",), level="written", at_least="none"), LevelRule(tags=("key/",)))
    )
    person = Bus(BrokerSettings(policy=policy)).person()
    person.publish("presence/now")
    assert person.only(Ack).level == Level.WRITTEN
    person.publish("else")
    assert person.only(Ack).level == Level.SYNCED
    person.publish("presence/now", "else")
    assert person.only(Ack).level == Level.SYNCED
    person.publish("key/accept", level=Level.WRITTEN)
    assert person.only(Refuse).code == "not_allowed"


def test_who_names_no_level_is_answered_though_the_policy_says_none() -> None:
    bus = Bus(BrokerSettings(policy=PolicySettings(level="none")), syncs=False)
    person = bus.person()
    person.publish("a")
    assert person.only(Ack).level == Level.WRITTEN
    person.publish("a", level=Level.NONE)
    assert person.read() == []


@pytest.mark.parametrize("level", [Level.REPLICATED, 9])
def test_a_level_that_cannot_be_is_refused(level: int) -> None:
    person = Bus().person()
    person.publish("a", level=level)
    assert person.only(Refuse).code == "invalid_setting"


def test_a_retry_is_answered_as_the_first_time_and_stored_once() -> None:
    bus = Bus()
    person = bus.person()
    person.publish("a", "a")
    first = person.only(Ack)
    person.publish("b")
    person.read()
    person.publish("a", "a", seq=0)
    assert person.only(Ack) == first
    again = bus.person(source_epoch=7)
    again.publish("a", "a", seq=0)
    assert again.only(Ack) == first
    assert bus.broker.log.end == 3


def test_two_equal_blocks_of_one_flush_are_stored_once() -> None:
    bus = Bus()
    one, other = bus.person(), bus.person()
    one.publish("a", seq=0)
    other.publish("a", seq=0)
    assert one.only(Ack) == other.only(Ack)
    assert bus.broker.log.end == 1


def test_what_never_arrived_is_stored_although_later_ones_were() -> None:
    """A hole between what is known of a publisher is certain: nothing of it is in the log."""
    bus = Bus()
    person = bus.person()
    person.publish("a", seq=0)
    person.publish("c", seq=5)
    person.read()
    person.publish("b", seq=3)
    assert person.only(Ack).base == 2
    person.publish("b", seq=3)
    assert person.only(Ack).base == 2


def test_what_never_arrived_is_stored_although_the_publisher_is_known_by_later_ones_only() -> None:
    """Its first block was refused, say, and the answer lost: as long as no publisher was forgotten, that is certain."""
    bus = Bus()
    person = bus.person()
    person.publish("b", seq=1)
    person.read()
    person.publish("a", seq=0)
    assert person.only(Ack).base == 1
    person.publish("a", seq=0)
    assert person.only(Ack).base == 1
    assert bus.broker.log.end == 2


def test_a_retry_that_is_older_than_what_is_remembered_is_neither_stored_nor_acknowledged() -> None:
    bus = Bus()
    person = bus.person()
    for number in range(RUNS_PER_SOURCE_MAX + 1):
        person.publish("a", seq=1000 + 2 * number)
    person.read()
    person.publish("a", seq=10)
    assert person.only(Refuse).code == "stale_sequence"
    assert bus.broker.log.end == RUNS_PER_SOURCE_MAX + 1


def test_the_brokers_own_tags_are_its_own() -> None:
    bus = Bus()
    person = bus.person()
    person.publish("a", "sylvite/log/full")
    assert person.only(Refuse).code == "not_allowed"
    assert bus.broker.log.end == 0


def test_a_block_with_a_bad_tag_or_too_much_data_is_refused_whole() -> None:
    bus = Bus(BrokerSettings(limits=Limits(event_bytes=100)))
    person = bus.person()
    person.publish("good", "bad\ntag")
    assert person.only(Refuse).code == "invalid_tag"
    person.publish("good", size=95)
    assert person.only(Refuse).code == "event_too_big"
    person.publish("good", size=80)
    assert person.only(Ack)
    assert bus.broker.log.end == 1


def test_garbage_for_a_block_ends_the_connection() -> None:
    bus = Bus()
    person = bus.person()
    person.say(Publish(Level.WRITTEN, 0, b"\xff" * 40))
    assert person.only(Refuse).what == "connection"
    assert person.wire.closed
    assert bus.broker.log.end == 0


def test_a_guest_may_do_what_the_policy_names_and_refusals_are_events() -> None:
    bus = Bus(BrokerSettings(policy=FOR_GUESTS))
    guest, owner = bus.person(GUEST), bus.person()
    owner.subscribe(startswith=("sylvite/refused",))
    guest.publish("myco/a")
    assert guest.only(Ack)
    for _ in range(3):
        guest.publish("salt/job/1/ret/web1")
    assert {message.code for message in guest.read() if isinstance(message, Refuse)} == {"not_allowed"}
    bus.pass_s(60)
    (told,) = events(owner.read())
    assert told.data == {"sender": "uid:1001", "what": "publish", "count": 3, "first_tag": "salt/job/1/ret/web1"}


def test_publishers_are_held_while_the_disk_is_far_behind() -> None:
    bus = Bus(BrokerSettings(limits=Limits(unsynced_bytes=10_000)), syncs=False)
    person = bus.person()
    while not person.wire.paused:
        person.publish("a", size=1000)
        bus.run()
    assert bus.broker.log.unsynced_bytes < 13_000
    bus.syncs = True
    bus.run()
    assert not person.wire.paused


# -- Subscribe ---------------------------------------------------------------------------------------------------


def test_a_subscription_gets_what_matches_from_the_moment_it_stands() -> None:
    bus = Bus()
    reader, writer = bus.person(), bus.person(source_epoch=8)
    writer.publish("a/before")
    bus.run()
    reader.subscribe(startswith=("a/",), exclude=("a/x*",))
    assert reader.only(Subscribed).next == 1
    writer.publish("a/1", "b/1", "a/x", "a/2")
    writer.publish("b/2")
    writer.publish("a/3")
    assert reader.tags() == ["a/1", "a/2", "a/3"]


@pytest.mark.parametrize("restart", [False, True])
def test_history_and_live_have_no_seam(restart: bool) -> None:
    bus = Bus(BrokerSettings(log=SMALL))
    writer = bus.person(source_epoch=8)
    for _ in range(300):
        writer.publish("a", size=100)
        bus.run()
    if restart:
        bus = Bus(BrokerSettings(log=SMALL), bus.storage.after_kill())
        writer = bus.person(source_epoch=9)
    reader = bus.person()
    reader.subscribe(at="offset", value=17, credit=5000)
    got: list[int] = []
    for _ in range(200):
        writer.publish("a", size=100)
        got += [event.offset for event in events(reader.read())]
        reader.say(Credit(1, 5000))
    got += [event.offset for event in events(reader.read())]
    assert got == list(range(17, 17 + len(got)))
    assert len(got) == bus.broker.log.end - 17


def test_starts() -> None:
    bus = Bus(BrokerSettings(log=SMALL))
    writer = bus.person(source_epoch=8)
    for _ in range(10):
        writer.publish("a")
        bus.run()
        bus.pass_s(10)
    reader = bus.person()
    began = bus.clock.now_ns() - 100 * 10**9
    for number, (at, value, expected) in enumerate(
        [
            ("newest", 0, 10), ("oldest", 0, 0), ("offset", 4, 4), ("offset", 10, 10), ("time", began + 35 * 10**9, 4),
            ("time", 0, 0), ("time", 2**62, 10), ("cursor", 0, 10), ("cursor", 1, 0),
        ]
    ):  # fmt: skip
        reader.subscribe(number, at, value)
        assert reader.only(Subscribed).next == expected, at
    reader.subscribe(20, "offset", 11)
    assert reader.only(Refuse).code == "no_such_offset"
    reader.subscribe(21, "tomorrow")
    assert reader.only(Refuse).code == "invalid_input"
    reader.subscribe(22, regex=("(",))
    assert reader.only(Refuse).code == "invalid_pattern"
    reader.subscribe(23, where="data.x ==")
    assert reader.only(Refuse).code == "invalid_expression"


def test_a_predicate_chooses_by_data_live_and_from_history() -> None:
    bus = Bus()
    writer, live, later = bus.person(source_epoch=8), bus.person(), bus.person()
    live.subscribe(where="data.n == 1")
    writer.publish("a", "b", "c")
    later.subscribe(where="data.n == 1", at="oldest")
    assert live.tags() == later.tags() == ["b"]


def test_credit_is_obeyed_and_more_of_it_goes_on_from_the_log() -> None:
    bus = Bus(BrokerSettings(log=SMALL))
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(credit=100)
    for _ in range(100):
        writer.publish("a", size=500)
        bus.run()
    assert len(reader.tags()) == 1
    assert len(reader.tags()) == 0
    reader.say(Credit(1, 1_000_000))
    assert len(reader.tags()) == 99


def test_a_full_socket_is_left_alone_until_it_has_drained() -> None:
    """And what it has missed meanwhile is not held in memory: it is read from the log."""
    bus = Bus(BrokerSettings(log=SMALL, limits=Limits(socket_bytes=10_000)))
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(credit=1 << 24)
    for _ in range(500):
        writer.publish("a", size=1000)
        bus.run()
    assert len(reader.wire.taken) < 15_000
    got: list[int] = []
    while found := events(reader.read()):
        got += [event.offset for event in found]
    assert got == list(range(500))


def test_a_subscription_that_could_not_take_more_is_woken_although_the_socket_never_was_full() -> None:
    """What waits in the broker itself counts too, and has left by the time anybody asks the socket."""
    bus = Bus(BrokerSettings(log=SMALL, limits=Limits(socket_bytes=10_000)))
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.wire.full_bytes = 1 << 30
    reader.subscribe(credit=1 << 24)
    for _ in range(30):
        writer.publish("a", size=1000)
    bus.run()
    assert len(events(reader.read())) == 30


def test_a_peer_that_does_not_read_its_answers_is_not_listened_to() -> None:
    limits = Limits(answer_bytes=50_000)
    bus = Bus(BrokerSettings(limits=limits))
    person = bus.person()
    person.say(*(Ping(number) for number in range(50_000)))
    bus.run()
    assert person.wire.paused
    assert len(person.wire.taken) < 60_000
    answered = 0
    while found := person.read():
        answered += len(found)
        assert len(person.wire.taken) < 60_000
    assert answered == 50_000
    assert not person.wire.paused


def test_unsubscribed_is_over_at_once() -> None:
    bus = Bus()
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe()
    reader.read()
    reader.say(Unsubscribe(1), Unsubscribe(99))
    writer.publish("a")
    assert reader.tags() == []


def test_subscriptions_on_one_connection_are_limited_and_their_numbers_are_their_own() -> None:
    bus = Bus(BrokerSettings(limits=Limits(subscriptions_per_connection=2)))
    reader = bus.person()
    reader.subscribe(1)
    reader.subscribe(2)
    reader.subscribe(3)
    assert reader.only(Refuse).code == "overloaded"
    reader.subscribe(2)
    assert reader.only(Refuse).what == "connection"


def test_a_guest_sees_only_what_it_may_and_gaps_without_counts() -> None:
    bus = Bus(BrokerSettings(policy=FOR_GUESTS, log=SMALL))
    writer, guest = bus.person(), bus.person(GUEST)
    guest.subscribe(startswith=("salt/",))
    writer.publish("salt/job/1", "salt/key", "myco/a", "other")
    assert guest.tags() == ["salt/job/1"]
    for _ in range(100):
        writer.publish("other", size=1000)
        bus.run()
    assert isinstance(writer.ask("prune", before=90), dict)
    guest.subscribe(2, "offset", 0)
    (gap,) = gaps(guest.read())
    assert (gap.first, gap.reason, gap.count, gap.detail) == (0, "retention", None, "")


def test_progress_tells_a_reader_of_a_quiet_tag_where_it_is() -> None:
    bus = Bus()
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(startswith=("quiet/",))
    reader.read()
    writer.publish("loud/1")
    assert reader.read() == []
    bus.pass_s(6)
    assert reader.only(Progress) == Progress(1, 1, bus.broker.log.epoch)
    bus.pass_s(6)
    assert reader.read() == []


def test_progress_tells_a_reader_of_what_is_behind_its_last_event_in_the_same_batch() -> None:
    """It has got only its own events of the batch: so it does not know how far the batch went."""
    bus = Bus()
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(startswith=("quiet/",))
    reader.read()
    writer.publish("quiet/1", "loud/1", "loud/2")
    assert reader.tags() == ["quiet/1"]
    bus.pass_s(6)
    assert reader.only(Progress) == Progress(1, 3, bus.broker.log.epoch)


def test_a_reader_of_a_log_that_was_wiped_is_told() -> None:
    bus = Bus()
    reader = bus.person()
    reader.subscribe(at="resume", value=500, epoch=12345)
    found = reader.read()
    assert reader.only(Subscribed, found).next == 0
    assert reader.only(Missed, found).reason == "reset"


# -- Cursors -----------------------------------------------------------------------------------------------------


def test_a_cursor_is_given_only_what_is_synced() -> None:
    bus = Bus(syncs=False)
    writer, reader, live = bus.person(source_epoch=8), bus.person(), bus.person()
    reader.subscribe(at="cursor", cursor="billing")
    live.subscribe()
    writer.publish("a", level=Level.WRITTEN)
    assert live.tags() == ["a"]
    assert reader.tags() == []
    bus.syncs = True
    assert reader.tags() == ["a"]


def test_a_cursor_goes_on_behind_what_was_acknowledged() -> None:
    bus = Bus()
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(at="cursor", cursor="billing", startswith=("a",))
    writer.publish("a", "a", "a", "b")
    assert len(reader.tags()) == 3
    reader.say(Advance(1, 2))
    reader.leave()
    bus.pass_s(2)
    again = Bus(storage=bus.storage.after_kill()).person()
    again.subscribe(at="cursor", cursor="billing", startswith=("a",))
    assert [event.offset for event in events(again.read())] == [2]


def test_a_reader_that_comes_back_has_done_no_more_than_it_had_acknowledged() -> None:
    """It goes on behind what it had received; if it dies then, what it had not acknowledged comes again."""
    bus = Bus()
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(at="cursor", cursor="billing")
    writer.publish("a", "a", "a", "a")
    received = events(reader.read())
    reader.say(Advance(1, 1))
    reader.leave()
    back = bus.person()
    back.subscribe(at="resume", value=received[-1].offset + 1, epoch=received[-1].epoch, cursor="billing")
    assert back.tags() == []
    writer.publish("a")
    assert [event.offset for event in events(back.read())] == [4]
    bus.pass_s(6)
    back.leave()
    again = bus.person()
    again.subscribe(at="cursor", cursor="billing")
    assert [event.offset for event in events(again.read())] == [1, 2, 3, 4]


def test_an_acknowledgement_beyond_what_was_delivered_counts_only_up_to_there() -> None:
    bus = Bus()
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(at="cursor", cursor="billing")
    writer.publish("a")
    reader.read()
    reader.say(Advance(1, 1_000_000))
    (cursor,) = bus.broker.log.cursors
    assert cursor.offset == 1


def test_a_cursor_has_one_reader_at_a_time_and_one_owner() -> None:
    bus = Bus(BrokerSettings(policy=FOR_GUESTS))
    owner, guest = bus.person(), bus.person(GUEST)
    owner.subscribe(at="cursor", cursor="billing")
    other = bus.person()
    other.subscribe(at="cursor", cursor="billing")
    assert other.only(Refuse).code == "cursor_in_use"
    owner.leave()
    guest.subscribe(at="cursor", cursor="billing")
    assert guest.only(Refuse).code == "not_allowed"
    guest.subscribe(2, at="cursor", cursor="x" * 129)
    assert guest.only(Refuse).code == "invalid_input"
    assert guest.ask("cursors") == {"cursors": []}
    assert guest.ask("cursor_delete", name="billing") == "not_allowed"
    other.subscribe(2, at="cursor", cursor="billing")
    assert other.only(Subscribed)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "a\u202eb", "a\u2028b", "\0", "x" * 129])
def test_the_name_of_a_cursor_is_as_plain_as_a_tag(name: str) -> None:
    """It is shown to people, and stands in lines."""
    bus = Bus()
    person = bus.person()
    person.subscribe(at="cursor", cursor=name)
    assert person.only(Refuse).code == "invalid_input"
    assert not list(bus.broker.log.cursors)


def test_cursors_of_one_user_are_limited() -> None:
    bus = Bus(BrokerSettings(limits=Limits(cursors_per_user=2)))
    person = bus.person()
    for number in range(2):
        person.subscribe(number, at="cursor", cursor=f"c{number}")
    person.read()
    person.subscribe(3, at="cursor", cursor="c3")
    assert person.only(Refuse).code == "overloaded"


# -- The disk ----------------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_publishers_and_says_so_once_it_is_over() -> None:
    storage = MemoryStorage(capacity=100_000)
    bus = Bus(BrokerSettings(log=LogSettings(segment_bytes=16 * 1024, keep_free_bytes=0)), storage)
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(at="oldest")
    refusals: list[Refuse] = []
    written = 0
    while len(refusals) < 3:
        writer.publish("a", size=1000)
        refusals += [message for message in writer.read() if isinstance(message, Refuse)]
        written += len(reader.tags())
    assert {refusal.code for refusal in refusals} == {"no_space"}
    assert written == bus.broker.log.end
    storage.capacity = None
    writer.publish("b")
    assert acks(writer.read())
    found = events(reader.read())
    assert [event.tag for event in found] == ["b", "sylvite/log/full"]
    assert found[1].data["refused"] == 3


def test_a_failed_sync_leaves_no_acknowledgement_and_publishing_goes_on() -> None:
    bus = Bus()
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(startswith=("sylvite/",))
    writer.publish("a")
    writer.read()
    fault = bus.storage.fail(errno.EIO, call="sync")
    writer.publish("b")
    refused = writer.only(Refuse)
    assert (fault.happened, refused.code) == (1, "durability_unknown")
    writer.publish("b", seq=refused.ref)
    assert writer.only(Ack).level == Level.SYNCED
    assert reader.tags() == ["sylvite/log/sync_failed"]


@pytest.mark.parametrize("call", ["open", "read"])
def test_a_reader_waits_while_the_log_cannot_be_read(call: str, caplog: pytest.LogCaptureFixture) -> None:
    """No file left to open, say: the others and the broker go on, and it is said once."""
    settings = BrokerSettings(log=LogSettings(segment_bytes=8 * 1024, keep_free_bytes=0, tail_bytes=1))
    bus = Bus(settings)
    writer = bus.person(source_epoch=8)
    for _ in range(40):
        writer.publish("a", size=500)
        writer.read()
    bus.pass_s(0.1)
    bus = Bus(settings, bus.storage.after_kill())
    fault = bus.storage.fail(errno.EMFILE, call=call, sticky=True)
    reader = bus.person()
    reader.subscribe(at="oldest")
    assert reader.tags() == []
    bus.pass_s(0.1)
    bus.pass_s(0.1)
    assert (fault.happened > 1, bus.failures) == (True, [])
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the log cannot be read, and is tried again"
    ]
    bus.storage.faults.clear()
    bus.pass_s(0.1)
    assert reader.tags() == ["a"] * 40


def test_a_file_that_cannot_be_deleted_is_an_answer_and_no_mistake_of_the_broker() -> None:
    bus = Bus(BrokerSettings(log=LogSettings(segment_bytes=8 * 1024, keep_free_bytes=0)))
    writer = bus.person(source_epoch=8)
    for _ in range(40):
        writer.publish("a", size=500)
        writer.read()
    fault = bus.storage.fail(errno.EACCES, call="remove")
    assert writer.ask("prune", before=30) == "log_error"
    assert fault.happened
    answer = writer.ask("prune", before=30)
    assert isinstance(answer, dict)
    assert answer["segments"]


def test_a_start_by_time_is_refused_while_the_log_cannot_be_read() -> None:
    bus = Bus()
    writer = bus.person(source_epoch=8)
    writer.publish("a")
    writer.read()
    bus.storage.fail(errno.ENOMEM, call="read")
    reader = bus.person()
    reader.subscribe(at="time", value=1)
    assert reader.only(Refuse).code == "log_error"
    reader.subscribe(at="time", value=1)
    assert reader.tags() == ["a"]


def test_a_write_that_failed_half_way_and_cannot_be_erased_is_answered_with_unknown() -> None:
    """It may be found whole at the next start: so it is no refusal, and neither is what is said again."""
    bus = Bus()
    writer = bus.person(source_epoch=8)
    bus.storage.fail(errno.EIO, call="write", torn=True)
    bus.storage.fail(errno.EIO, call="truncate", sticky=True)
    writer.publish("a", seq=0)
    writer.publish("b", seq=1)
    assert [refused.code for refused in writer.read() if isinstance(refused, Refuse)] == ["ack_unknown"] * 2
    assert [failure.code for failure in bus.failures] == ["log_failed"]
    writer.publish("a", seq=0)
    assert writer.only(Refuse).code == "ack_unknown"


def test_a_disk_that_fails_again_ends_the_broker() -> None:
    bus = Bus()
    writer = bus.person(source_epoch=8)
    bus.storage.fail(errno.EIO, call="sync", sticky=True)
    writer.publish("a")
    assert {message.code for message in writer.read() if isinstance(message, Refuse)} == {"durability_unknown"}
    bus.pass_s(0.1)
    assert [failure.code for failure in bus.failures] == ["log_failed"]


def test_what_nobody_waits_for_is_synced_when_the_log_falls_idle_and_within_a_second() -> None:
    bus = Bus()
    writer = bus.person(source_epoch=8)
    writer.publish("a", level=Level.WRITTEN)
    bus.run()
    assert bus.broker.log.synced == 0
    bus.pass_s(0.06)
    assert bus.broker.log.synced == 1
    for _ in range(60):
        writer.publish("a", level=Level.WRITTEN)
        bus.pass_s(0.02)
    assert bus.broker.log.synced > 1


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_mark_that_cannot_be_written_waits(error: int) -> None:
    bus = Bus()
    writer = bus.person(source_epoch=8)
    writer.publish("a")
    writer.read()
    fault = bus.storage.fail(error, call="write")
    bus.pass_s(0.1)
    assert (fault.happened, bus.failures) == (1, [])
    bus.pass_s(0.1)
    writer.publish("b")
    assert writer.only(Ack)


def test_damage_is_told_to_the_reader_and_once_to_everybody() -> None:
    bus = Bus(BrokerSettings(log=SMALL))
    writer = bus.person(source_epoch=8)
    for _ in range(60):
        writer.publish("a", size=1000)
        bus.run()
    name = bus.broker.log.segments[1].name
    after = bus.storage.after_kill()
    after.content(name)[9000] ^= 1
    bus = Bus(BrokerSettings(log=SMALL), after)
    watcher = bus.person()
    watcher.subscribe(startswith=("sylvite/log/corrupt",))
    for _ in range(2):
        reader = bus.person()
        reader.subscribe(at="oldest", startswith=("a",))
        (gap,) = gaps(reader.read())
        assert (gap.reason, gap.count) == ("damage", 1)
    assert watcher.tags() == ["sylvite/log/corrupt"]


# -- The end -----------------------------------------------------------------------------------------------------


def test_a_broker_that_drains_answers_what_it_took_and_takes_no_more() -> None:
    bus = Bus(syncs=False)
    person = bus.person()
    person.publish("a")
    bus.run()
    bus.broker.drain()
    assert not bus.broker.is_drained
    person.publish("b")
    bus.syncs = True
    found = person.read()
    assert [type(message) for message in found] == [Refuse, Ack]
    assert bus.broker.is_drained
    with pytest.raises(Exception, match="stopping"):
        bus.broker.admit(Person(bus, OWNER).connection)
    person.connection.close("the broker is stopping")
    assert bye(person.read()) == ["the broker is stopping"]


def test_verbs_are_for_those_they_are_for_and_check_their_arguments() -> None:
    bus = Bus(BrokerSettings(policy=FOR_GUESTS))
    owner, guest = bus.person(), bus.person(GUEST)
    for verb in ("stats", "log", "prune"):
        assert isinstance(owner.ask(verb), dict)
        assert guest.ask(verb) == "not_allowed"
    assert owner.ask("cursor_delete", name="none") == "no_such_cursor"
    assert owner.ask("cursor_delete", wrong="none") == "invalid_input"
    assert owner.ask("cursor_delete", name=5) == "invalid_input"
    assert owner.ask("log", more=1) == "invalid_input"
    assert owner.ask("no_such_verb") == "invalid_input"


def test_a_change_of_policy_ends_the_connections_of_others_and_a_wrong_one_changes_nothing() -> None:
    bus = Bus(BrokerSettings(policy=FOR_GUESTS))
    owner, guest = bus.person(), bus.person(GUEST)
    with pytest.raises(ValueError, match="no-such-user"):
        bus.broker.change_policy(PolicySettings(rules=(Rule(users=("no-such-user",)),)))
    guest.publish("myco/a")
    assert guest.only(Ack)
    bus.broker.change_policy(PolicySettings())
    assert bye(guest.read()) == ["the policy has changed"]
    assert Person(bus, GUEST).hello().only(Refuse).code == "not_allowed"
    owner.publish("myco/a")
    assert owner.only(Ack)


def test_nothing_of_a_peer_is_kept_when_it_is_gone() -> None:
    bus = Bus(BrokerSettings(policy=FOR_GUESTS))
    writer = bus.person(source_epoch=8)
    for number in range(200):
        person = bus.person(GUEST, source_epoch=number)
        person.subscribe(1, startswith=("myco/",))
        person.subscribe(2, at="cursor", cursor=f"c{number % 3}")
        person.subscribe(3, where="data.n == 1")
        if number % 2:
            person.publish("myco/a")
        if number % 3:
            person.read()
        person.leave()
    writer.publish("myco/a")
    bus.run()
    stats = writer.ask("stats")
    assert isinstance(stats, dict)
    assert (stats["connections"], stats["subscriptions"], stats["cursors"]) == (1, 0, 3)
    # Whether anything is left cannot be seen from outside.
    inside = {**vars(bus.broker), **vars(bus.broker.intake), **vars(bus.broker.readers)}
    for name in ("_behind", "_held_back", "_cursor_holders", "_output", "_held", "_listening", "_router", "_waiting"):
        assert not len(inside[name]), name


def test_a_publisher_at_level_none_is_told_of_refusals() -> None:
    bus = Bus(BrokerSettings(policy=FOR_GUESTS))
    guest = bus.person(GUEST)
    seq = guest.publish("other", level=Level.NONE)
    refused = guest.only(Refuse)
    assert (refused.what, refused.ref) == ("publish", seq)


def test_bytes_in_any_pieces_say_the_same() -> None:
    bus = Bus()
    person = bus.person()
    builder = BlockBuilder()
    builder.add("a", pack_data({}))
    said = encode(Publish(Level.WRITTEN, 0, builder.take()[0])) + encode(Ping(5))
    for position in range(len(said)):
        person.connection.receive(said[position : position + 1])
    assert [type(message) for message in person.read()] == [Pong, Ack]


def test_stats_say_what_there_is() -> None:
    bus = Bus()
    person = bus.person()
    person.subscribe(at="cursor", cursor="c")
    person.read()
    person.publish("a")
    person.read()
    stats = person.ask("stats")
    assert isinstance(stats, dict)
    assert stats["counters"]["published"] == 1
    assert stats["clients"][0]["subscriptions"] == [{"id": 1, "live": False, "behind": 0, "cursor": "c"}]
    assert msgspec.msgpack.encode(stats)
