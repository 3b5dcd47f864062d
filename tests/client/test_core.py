"""ClientCore against a real broker, joined in memory: every rule without a socket, a process or a wait."""

from __future__ import annotations

import contextlib
import errno
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite import ConnectionLost, Gap, InvalidData, Level, NotAllowed
from sylvite.broker.settings import BrokerSettings
from sylvite.client.core import ClientCore
from sylvite.client.feed import Feed
from sylvite.client.publisher import new_ticket
from sylvite.client.ticket import Ticket
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data
from sylvite.core.pattern import Filter
from sylvite.errors import DiskFull, DurabilityUnknown, RemoteProtocolError
from sylvite.eventlog.eventlog import LogSettings
from sylvite.testing.pair import Pair
from sylvite.wire.messages import Start
from tests.eventlog.logs import append


def publish(core: ClientCore, n: int, level: Level | None = None, tag: str = "t/x") -> Ticket:
    """Say one event."""
    ticket = new_ticket(core, tag, {"n": n}, level, None)
    core.publish(ticket)
    return ticket


def taken(core: ClientCore, feed: Feed) -> list[int | str]:
    """Return n of each event that has arrived, and the reason of each gap."""
    found: list[int | str] = []
    while feed.waiting:
        found += [item.reason if isinstance(item, Gap) else item.data["n"] for item in core.take_events(feed)]
    return found


def subscribe(pair: Pair, at: str = "newest", credit_bytes: int = 1 << 20, cursor: str = "") -> Feed:
    feed = pair.core.subscribe(Filter(startswith=("t/",)), Start(at), credit_bytes=credit_bytes, cursor=cursor)
    pair.exchange()
    assert feed.stands
    return feed


@pytest.mark.parametrize("piece_bytes", [None, 1, 3, 64])
def test_events_pass_however_the_bytes_are_cut(piece_bytes: int | None) -> None:
    pair = Pair(piece_bytes=piece_bytes)
    feed = subscribe(pair)
    tickets = [publish(pair.core, n) for n in range(5)]
    pair.exchange()
    assert [ticket.result().offset for ticket in tickets] == [0, 1, 2, 3, 4]
    assert taken(pair.core, feed) == [0, 1, 2, 3, 4]


@given(
    steps=st.lists(
        st.sampled_from(["publish", "publish", "say", "work", "hear", "cut", "kill", "take"]), min_size=5, max_size=60
    )
)
def test_whatever_is_lost_on_the_way_each_event_is_there_once(steps: list[str]) -> None:
    """A connection that ends or a broker that dies between any two steps: in order, once, in log and subscription."""
    pair = Pair()
    feed = subscribe(pair)
    tickets: list[Ticket] = []
    found: list[int | str] = []
    for step in steps:
        match step:
            case "publish":
                tickets.append(publish(pair.core, len(tickets)))
            case "cut":
                pair.cut()
                pair.connect()
            case "kill":
                pair.kill_broker()
                pair.connect()
            case "take":
                found += taken(pair.core, feed)
            case _:
                getattr(pair, step)()
    pair.exchange()
    found += taken(pair.core, feed)
    assert found == list(range(len(tickets)))
    assert [ticket.result().offset for ticket in tickets] == history(pair)


def history(pair: Pair) -> list[int]:
    """Return the offsets of all events."""
    feed = subscribe(pair, "oldest")
    found: list[int] = []
    while feed.waiting:
        found += [item.offset for item in pair.core.take_events(feed) if not isinstance(item, Gap)]
    pair.core.unsubscribe(feed)
    return found


def test_what_is_said_again_is_not_taken_again() -> None:
    """The answer of the first time comes back: same offset, same epoch, same level."""
    pair = Pair()
    ticket = publish(pair.core, 1)
    pair.exchange()
    first = ticket.result()
    pair.core.publish(ticket)
    assert not ticket.is_answered()
    pair.exchange()
    assert ticket.result() == first
    assert pair.broker.log.end == 1


def test_a_ticket_that_nobody_waits_for_is_not_said_again() -> None:
    pair = Pair()
    ticket = publish(pair.core, 1)
    pair.core.forget(ticket)
    pair.cut()
    pair.connect()
    assert pair.broker.log.end == 0
    assert not ticket.is_answered()


def test_what_is_asked_again_while_its_answer_is_on_the_way_is_said_once() -> None:
    """Said twice it would be refused by a full disk, and stored a moment later: the caller would hear only of the first."""
    pair = Pair()
    ticket = publish(pair.core, 0)
    pair.core.forget(ticket)  # No answer in time.
    pair.core.publish(ticket)
    pair.storage.fail(errno.ENOSPC, call="write")
    pair.exchange()
    assert isinstance(ticket.error, DiskFull)
    assert pair.broker.log.end == 0
    pair.core.publish(ticket)
    pair.exchange()
    assert ticket.result().offset == 0


def test_a_refusal_for_stopping_is_no_answer() -> None:
    """The broker drains: what it does not take any more goes to the one that comes next."""
    pair = Pair()
    pair.broker.drain()
    ticket = publish(pair.core, 1)
    dropped = publish(pair.core, 2, Level.NONE)
    pair.exchange()
    assert not ticket.is_answered()
    assert dropped.is_answered()
    assert pair.core.dropped == 1
    pair.kill_broker()
    pair.connect()
    assert ticket.result().offset == 0


def test_a_disk_that_fails_leaves_an_answer_that_can_be_asked_again() -> None:
    """DurabilityUnknown carries its ticket; asked again, the broker says what became of it."""
    pair = Pair()
    pair.storage.fail(errno.EIO, call="sync")
    ticket = publish(pair.core, 1)
    pair.exchange()
    with pytest.raises(DurabilityUnknown) as caught:
        ticket.result()
    assert caught.value.ticket is ticket
    pair.core.publish(ticket)
    pair.exchange()
    assert ticket.result().level is Level.SYNCED
    assert [item for item in taken(pair.core, subscribe(pair, "oldest")) if item == 1] == [1]


def test_a_refusal_at_level_none_counts_all_events_of_the_block() -> None:
    pair = Pair()
    publish(pair.core, 1, Level.NONE, tag="sylvite/x")
    publish(pair.core, 2, Level.NONE)
    pair.exchange()
    assert pair.core.dropped == 1
    assert isinstance(pair.core.drop_error, NotAllowed)


def test_what_waits_uses_up_the_credit_of_the_next_connection_too() -> None:
    """A reader that takes nothing, over many connections: what it holds does not grow beyond its credit."""
    pair = Pair()
    for n in range(200):
        ticket = new_ticket(pair.core, "t/x", {"n": n, "fill": "x" * 10_000}, None, None)
        pair.core.publish(ticket)
        pair.exchange()
    feed = subscribe(pair, "oldest", credit_bytes=300_000)
    first = len(feed.waiting)
    for _ in range(10):
        pair.cut()
        pair.connect()
    assert len(feed.waiting) == first < 200
    found: list[int | str] = []
    while len(found) < 200:
        found += taken(pair.core, feed)
        pair.exchange()
    assert found == list(range(200))


@pytest.mark.parametrize("credit_bytes", [1, 100, 1 << 20])
def test_any_credit_brings_everything(credit_bytes: int) -> None:
    """However small it is: what is taken is given back."""
    pair = Pair()
    feed = subscribe(pair, credit_bytes=credit_bytes)
    found: list[int | str] = []
    for n in range(20):
        publish(pair.core, n)
        pair.exchange()
    for _ in range(40):
        found += taken(pair.core, feed)
        pair.exchange()
    assert found == list(range(20))


def test_a_gap_is_told_once() -> None:
    """Also when the connection is lost right after it."""
    settings = BrokerSettings(log=LogSettings(segment_bytes=8192, keep_bytes=16384))
    pair = Pair(settings=settings)
    n = 0
    while not pair.broker.log.oldest:
        publish(pair.core, n)
        n += 1
        pair.exchange()
    oldest = pair.broker.log.oldest
    feed = pair.core.subscribe(Filter(startswith=("t/",)), Start("offset", 0))
    pair.exchange()
    pair.cut()
    pair.connect()
    found = taken(pair.core, feed)
    assert found[0] == "retention"
    assert found[1:] == list(range(oldest, n))[: len(found) - 1]
    assert found.count("retention") == 1


def test_a_wiped_log_is_told_and_acknowledgements_count_anew() -> None:
    pair = Pair()
    feed = subscribe(pair, cursor="c")
    for n in range(5):
        publish(pair.core, n)
    pair.exchange()
    pair.core.advance(feed, 3)
    pair.kill_broker(wipe=True)
    pair.connect()
    # What is acknowledged before the reset is taken is of the log that is gone.
    pair.core.advance(feed, 5)
    publish(pair.core, 100)
    pair.exchange()
    assert taken(pair.core, feed) == [0, 1, 2, 3, 4, "reset", 100]
    pair.core.advance(feed, 1)
    pair.exchange()
    assert pair.broker.log.cursors.get("c").offset == 1


def test_a_reader_that_has_received_nothing_is_told_of_a_log_that_was_wiped() -> None:
    """It stands where the oldest event was, and the other log has grown past that since."""
    pair = Pair(settings=BrokerSettings(log=LogSettings(segment_bytes=8192, keep_bytes=16384)))
    n = 0
    while not pair.broker.log.oldest:
        publish(pair.core, n)
        n += 1
        pair.exchange()
    feed = subscribe(pair, "oldest", credit_bytes=0)
    assert feed.received == pair.broker.log.oldest
    pair.kill_broker(wipe=True)
    append(pair.broker.log, 0, feed.received + 5)
    pair.connect()
    assert taken(pair.core, feed) == ["reset"]


def test_a_second_reset_is_told_although_nothing_has_come_since_the_first() -> None:
    """The log is restored from a copy, and then wiped."""
    pair = Pair()
    feed = subscribe(pair)
    for n in range(5):
        publish(pair.core, n)
    pair.exchange()
    copy = pair.storage.copy()
    publish(pair.core, 5)
    pair.exchange()
    pair.storage = copy
    pair.kill_broker()
    pair.connect()
    assert feed.received == 5
    pair.kill_broker(wipe=True)
    append(pair.broker.log, 0, 20)
    pair.connect()
    assert taken(pair.core, feed) == [0, 1, 2, 3, 4, 5, "reset", "reset"]


def test_nothing_is_said_while_there_is_no_connection() -> None:
    """And all of it once there is one: the ticket, the subscription, the question."""
    pair = Pair()
    pair.cut()
    ticket = publish(pair.core, 1)
    feed = pair.core.subscribe(Filter(), Start("oldest"))
    question = pair.core.ask("log", {})
    assert not pair.core.has_bytes
    pair.connect()
    assert ticket.result().offset == 0
    assert question.answer()["log_id"] == pair.broker.log.log_id
    assert taken(pair.core, feed) == [1]


def test_a_question_that_cannot_be_said_is_not_kept() -> None:
    pair = Pair()
    with pytest.raises(InvalidData):
        pair.core.ask("log", {"x": object()})
    pair.cut()
    pair.connect()


def test_a_goodbye_is_the_last_word() -> None:
    """Nothing is said after it, and the broker closes."""
    pair = Pair()
    feed = subscribe(pair)
    pair.core.say_goodbye()
    pair.core.unsubscribe(feed)
    with pytest.raises(ConnectionLost):
        pair.exchange()
    assert not pair.broker.connections


def test_what_comes_for_a_closed_subscription_is_passed_over() -> None:
    pair = Pair()
    feed = subscribe(pair)
    publish(pair.core, 1)
    pair.say()
    pair.work()
    pair.core.unsubscribe(feed)
    pair.exchange()
    assert not feed.waiting


def test_a_broker_that_answers_what_was_not_asked_is_borne() -> None:
    """Late answers to what nobody waits for any more are no error."""
    pair = Pair()
    ticket, question = publish(pair.core, 1), pair.core.ask("log", {})
    refused = pair.core.ask("no_such_verb", {})
    pair.core.forget(ticket)
    pair.core.drop_question(question)
    pair.core.drop_question(refused)
    pair.exchange()
    assert not ticket.is_answered()
    assert not question.is_answered()


@given(data=st.binary(max_size=200))
def test_no_bytes_do_more_than_raise(data: bytes) -> None:
    """Whatever a broker says, before and after its greeting: nothing happens, or an error of ours."""
    fresh = ClientCore(1)
    fresh.connect()
    for core in (fresh, Pair().core):
        with contextlib.suppress(RemoteProtocolError, ConnectionLost):
            core.feed(data)


def test_a_delivery_of_many_costly_events_is_taken_in_pieces() -> None:
    """Each is within its limit, and together they would take 72 MiB."""
    pair = Pair()
    feed = subscribe(pair, credit_bytes=4 << 20)
    builder = BlockBuilder()
    packed = pack_data({"maps": [{}] * 16_000})
    for _ in range(64):
        builder.add("t/x", packed)
    pair.core.publish(pair.core.ticket(*builder.take(), None))
    pair.exchange()
    tracemalloc.start()
    try:
        taken = 0
        while feed.waiting:
            taken += len(pair.core.take_events(feed))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken == 64
    assert peak < 24 * 1024 * 1024
