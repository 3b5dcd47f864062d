"""What both clients promise, on a real broker."""

from __future__ import annotations

import threading
import time
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from sylvite import (
    AckTimeout,
    Client,
    ConnectionLost,
    CursorInUse,
    EventsMissed,
    EventTooBig,
    Gap,
    InvalidData,
    InvalidExpression,
    InvalidPattern,
    InvalidSetting,
    InvalidTag,
    Level,
    NoSuchOffset,
    NotAllowed,
    OffsetGone,
    Position,
    Subscription,
    SylviteError,
    WaitTimeout,
)
from sylvite.broker.settings import BrokerSettings, Limits
from sylvite.client.publisher import BATCH_BYTES_MAX
from sylvite.eventlog.eventlog import LogSettings
from sylvite.testing.broker import BrokerProcess
from tests.contracts.clients import DEADLINE_S, Bus, Connections, read


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """One broker for all tests that only add events."""
    with BrokerProcess(tmp_path_factory.mktemp("shared")) as process:
        yield process


@pytest.fixture
def bus(connect: Connections, shared: BrokerProcess) -> Bus:
    return connect(shared.socket)


@pytest.fixture
def other(connect: Connections, shared: BrokerProcess) -> Bus:
    """A second client on the same broker."""
    return connect(shared.socket)


def publish_some(bus: Bus, tag: str, count: int) -> list[int]:
    """Publish `{"n": 0}` and so on; return the offsets."""
    return [bus.publish(f"{tag}/{n}", {"n": n}).offset for n in range(count)]


def seen(subscription: Any) -> list[int]:
    """Return n of all events up to the end."""
    return [event.data["n"] for event in subscription]


# -- Publish -----------------------------------------------------------------------------------------------------


def test_publish_says_where_the_event_is(bus: Bus, tag: str) -> None:
    """Offset, epoch and the level reached; the event is found there, as it was given."""
    first, second = bus.publish(f"{tag}/a", {"n": 1}), bus.publish(f"{tag}/b")
    assert int(second) == second.offset == first.offset + 1
    assert first.epoch == bus.welcome.epoch
    assert first.level is Level.SYNCED
    event = bus.get(first.offset)
    assert (event.tag, event.data, event.position) == (f"{tag}/a", {"n": 1}, first.position)
    assert event.sender == bus.welcome.sender
    assert bus.get(second.offset).data == {}


@pytest.mark.parametrize("level", [Level.WRITTEN, "written", Level.SYNCED, "synced"])
def test_publish_reaches_the_level_asked_for(bus: Bus, tag: str, level: Level | str) -> None:
    """By name or by value."""
    wanted = level if isinstance(level, Level) else Level.named(level)
    assert bus.publish(tag, level=level).level is wanted


def test_publish_at_level_none_waits_for_no_answer(bus: Bus, tag: str) -> None:
    """There is no offset to return; the event arrives all the same."""
    with bus.subscribe(tag) as events:
        published = bus.publish(tag, {"n": 1}, level="none")
        assert (published.offset, published.level) == (-1, Level.NONE)
        assert read(events, 1)[0].data == {"n": 1}


def test_a_refusal_at_level_none_is_counted(bus: Bus) -> None:
    """Nobody waits for it, and it is not lost."""
    assert bus.dropped == 0
    bus.publish("sylvite/x", level="none")
    bus.ask("log")
    assert bus.dropped == 1


def test_an_event_names_its_cause(bus: Bus, tag: str) -> None:
    """By event or by offset; hops count from the first cause on."""
    first = bus.get(bus.publish(tag).offset)
    second = bus.get(bus.publish(tag, cause=first).offset)
    third = bus.get(bus.publish(tag, cause=second).offset)
    by_offset = bus.get(bus.publish(tag, cause=first.offset).offset)
    assert [(event.cause, event.hop) for event in (first, second, third, by_offset)] == [
        (None, 0),
        (first.offset, 1),
        (second.offset, 2),
        (first.offset, 1),
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"tag": ""}, InvalidTag),
        ({"tag": "a\nb"}, InvalidTag),
        ({"tag": "x" * 257}, InvalidTag),
        ({"tag": "a", "data": [1]}, InvalidData),
        ({"tag": "a", "data": "text"}, InvalidData),
        ({"tag": "a", "data": {1: 2}}, InvalidData),
        ({"tag": "a", "data": {"x": object()}}, InvalidData),
        ({"tag": "a", "data": {"x": 2**70}}, InvalidData),
        ({"tag": "a", "data": {"x": "y" * (1 << 20)}}, EventTooBig),
        ({"tag": "a", "level": "certain"}, InvalidSetting),
        ({"tag": "a", "cause": -1}, InvalidSetting),
        ({"tag": "a", "cause": 2**64}, InvalidSetting),
    ],
)
def test_what_cannot_be_published_is_refused_before_it_is_sent(
    bus: Bus, arguments: dict[str, Any], error: type[SylviteError]
) -> None:
    """The broker hears nothing of it, and the client goes on."""
    before = bus.ask("log")["end"]
    with pytest.raises(error):
        bus.publish(**arguments)
    assert bus.ask("log")["end"] == before


def test_any_mapping_is_data(bus: Bus, tag: str) -> None:
    """Not only a dict: alone, and in a publisher."""
    data: Mapping[str, Any] = ChainMap({"a": 1}, {"b": 2})
    assert bus.get(bus.publish(tag, data).offset).data == {"a": 1, "b": 2}
    with bus.publisher() as publisher:
        publisher.publish(tag, data)
    assert bus.subscribe(tag, since=bus.welcome.end, until_end=True).next(DEADLINE_S) is not None


def test_the_own_tags_of_the_broker_are_refused(bus: Bus) -> None:
    """By the broker, with its own error; the client goes on."""
    with pytest.raises(NotAllowed):
        bus.publish("sylvite/x")
    assert bus.publish("t/after").offset >= 0


def test_a_level_that_the_broker_cannot_give_is_refused(bus: Bus) -> None:
    with pytest.raises(InvalidSetting):
        bus.publish("t/x", level=Level.REPLICATED)


# -- Publisher ---------------------------------------------------------------------------------------------------


def test_a_publisher_keeps_the_order(bus: Bus, tag: str) -> None:
    """Thousands of events, pipelined: all acknowledged at the end, in the log as they were given."""
    start = bus.ask("log")["end"]
    with bus.publisher() as publisher:
        for n in range(5000):
            publisher.publish(f"{tag}/{n % 7}", {"n": n})
    assert (publisher.published, publisher.acknowledged, publisher.refused) == (5000, 5000, 0)
    assert seen(bus.subscribe(tag, since=start, until_end=True)) == list(range(5000))


def test_a_publisher_never_has_more_on_its_way_than_the_window(bus: Bus, tag: str) -> None:
    """A window smaller than what is published: nearly all is acknowledged before the end."""
    with bus.publisher(window_bytes=1000, batch_bytes=500) as publisher:
        for n in range(500):
            publisher.publish(tag, {"n": n, "fill": "x" * 100})
            assert publisher.published - publisher.acknowledged <= 20
    assert publisher.acknowledged == 500


@pytest.mark.parametrize("batch_bytes", [0, -1, BATCH_BYTES_MAX + 1])
def test_a_batch_has_to_fit_into_a_message(bus: Bus, batch_bytes: int) -> None:
    with pytest.raises(InvalidSetting):
        bus.publisher(batch_bytes=batch_bytes)


def test_big_and_small_events_go_together(bus: Bus, tag: str) -> None:
    """An event as big as is allowed fits beside what was collected before it, whatever the size of a batch."""
    start = bus.ask("log")["end"]
    biggest = "x" * ((1 << 20) - 32)
    with bus.publisher(batch_bytes=BATCH_BYTES_MAX) as publisher:
        for n in range(30):
            publisher.publish(tag, {"n": n, "text": biggest if n % 10 == 9 else "y" * 20_000})
    assert seen(bus.subscribe(tag, since=start, until_end=True)) == list(range(30))


def test_flush_returns_once_all_is_acknowledged(bus: Bus, tag: str) -> None:
    with bus.publisher() as publisher:
        publisher.publish(tag, {})
        assert publisher.acknowledged == 0
        publisher.flush()
        assert publisher.acknowledged == 1
        publisher.flush()


def test_what_a_publisher_cannot_take_leaves_the_rest(bus: Bus, tag: str) -> None:
    """Errors of one event are raised at once; what was collected before is published."""
    start = bus.ask("log")["end"]
    not_data: Any = [1]
    with bus.publisher() as publisher:
        publisher.publish(tag, {"n": 0})
        with pytest.raises(InvalidTag):
            publisher.publish("", {})
        with pytest.raises(InvalidData):
            publisher.publish(tag, not_data)
        with pytest.raises(InvalidData):
            publisher.publish(tag, {"x": object()})
        with pytest.raises(EventTooBig):
            publisher.publish(tag, {"x": "y" * (1 << 20)})
        with pytest.raises(InvalidSetting):
            publisher.publish(tag, {}, -1)
        publisher.publish(tag, {"n": 1}, start)
    assert publisher.acknowledged == 2
    assert [event.cause for event in bus.subscribe(tag, since=start, until_end=True)] == [None, start]


def test_a_refusal_is_raised_and_counted(bus: Bus, tag: str) -> None:
    """At one of the next calls, with how many events were refused; the others are acknowledged."""
    publisher = bus.publisher(batch_bytes=1)
    notes: list[str] = []

    def without_refusals(call: Callable[[], None]) -> None:
        while True:
            try:
                return call()
            except NotAllowed as error:
                notes.extend(error.__notes__)

    for name in (f"{tag}/1", "sylvite/1", f"{tag}/2", "sylvite/2", f"{tag}/3"):
        without_refusals(partial(publisher.publish, name, {}))
    without_refusals(publisher.flush)
    assert (publisher.published, publisher.acknowledged, publisher.refused) == (5, 3, 2)
    # Both at once, or one after the other: that depends on when the broker was heard.
    assert notes in (
        ["2 events were refused, the first is number 1 of this publisher"],
        [f"1 events were refused, the first is number {n} of this publisher" for n in (1, 3)],
    )


def test_leaving_a_publisher_raises_what_was_refused(bus: Bus) -> None:
    publisher = bus.publisher()
    with pytest.raises(NotAllowed), publisher:
        publisher.publish("sylvite/1", {})
    assert (publisher.published, publisher.acknowledged, publisher.refused) == (1, 0, 1)


def test_a_refusal_is_raised_while_publishing_goes_on(bus: Bus, tag: str) -> None:
    """Not only at the end; the event that it is raised at was not taken, so every event is in one of the counts."""
    publisher = bus.publisher(window_bytes=1, batch_bytes=1)
    publisher.publish("sylvite/1", {})
    taken = 1
    with pytest.raises(NotAllowed):
        for _ in range(100):
            publisher.publish(tag, {})
            taken += 1
    assert publisher.published == taken < 100
    publisher.flush()
    assert (publisher.acknowledged, publisher.refused) == (taken - 1, 1)


def test_a_refusal_at_level_none_reaches_the_publisher(bus: Bus) -> None:
    publisher = bus.publisher(level="none")
    publisher.publish("sylvite/1", {})
    publisher.flush()
    bus.ask("log")
    with pytest.raises(NotAllowed):
        publisher.flush()
    assert bus.dropped == 1


def test_leaving_with_an_error_does_not_wait(bus: Bus, shared: BrokerProcess, tag: str) -> None:
    """The broker is stopped, and the error of the caller comes out all the same."""
    publisher = bus.publisher(batch_bytes=1)
    shared.pause()
    try:
        with pytest.raises(KeyError), publisher:
            for n in range(10):
                publisher.publish(tag, {"n": n})
            raise KeyError
    finally:
        shared.resume()


def test_publish_many_returns_how_many(bus: Bus, tag: str) -> None:
    start = bus.ask("log")["end"]
    assert bus.publish_many((f"{tag}/{n}", {"n": n}) for n in range(2500)) == 2500
    assert seen(bus.subscribe(tag, since=start, until_end=True)) == list(range(2500))
    with pytest.raises(NotAllowed):
        bus.publish_many([("sylvite/x", {})])


# -- Subscribe ---------------------------------------------------------------------------------------------------


def test_a_subscription_stands_before_subscribe_returns(bus: Bus, other: Bus, tag: str) -> None:
    """What another client publishes right after it is never missed."""
    for n in range(50):
        with bus.subscribe(f"{tag}/{n}") as events:
            offset = other.publish(f"{tag}/{n}", level="written").offset
            assert [event.offset for event in read(events, 1)] == [offset]


@pytest.mark.parametrize(
    ("patterns", "options", "wanted"),
    [
        (("{tag}/job/",), {}, ["job/1/new", "job/1/ret/web1", "job/2/ret/db1"]),
        (("{tag}/key", "{tag}/job/2"), {}, ["key", "job/2/ret/db1"]),
        (("{tag}/job/*/ret/*",), {}, ["job/1/ret/web1", "job/2/ret/db1"]),
        ((), {"startswith": "{tag}/job/1"}, ["job/1/new", "job/1/ret/web1"]),
        (("{tag}/nothing",), {"startswith": ["{tag}/k", "{tag}/job/2"]}, ["key", "job/2/ret/db1"]),
        ((), {"endswith": "{tag}/key"}, ["key"]),
        ((), {"find": ["{tag}/job/1/n", "{tag}/job/2/r"]}, ["job/1/new", "job/2/ret/db1"]),
        ((), {"regex": "{tag}/job/[0-9]+/ret"}, ["job/1/ret/web1", "job/2/ret/db1"]),
        ((), {"fnmatch": "{tag}/job/?/new"}, ["job/1/new"]),
        ((), {"exact": "{tag}/job/1/new"}, ["job/1/new"]),
        (("{tag}/",), {"exclude": "{tag}/job/*/ret/*"}, ["job/1/new", "key"]),
        (("{tag}/",), {"exclude": ["{tag}/job/1", "{tag}/key"]}, ["job/2/ret/db1"]),
        (("{tag}/",), {"where": "data.n >= 2"}, ["key", "job/2/ret/db1"]),
        (("{tag}/job",), {"where": "data.n > 0 and tag != '{tag}/job/2/ret/db1'"}, ["job/1/ret/web1"]),
    ],
)
@pytest.mark.parametrize("live", [True, False])
def test_a_filter_chooses_events(
    bus: Bus, tag: str, patterns: tuple[str, ...], options: dict[str, Any], wanted: list[str], live: bool
) -> None:
    """The same live and from history."""

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(text) for text in value]  # pyright: ignore[reportUnknownVariableType]
        return value.replace("{tag}", tag)

    def publish() -> None:
        for n, name in enumerate(("job/1/new", "job/1/ret/web1", "key", "job/2/ret/db1")):
            bus.publish(f"{tag}/{name}", {"n": n}, level="written")

    start: str | int = "newest" if live else bus.ask("log")["end"]
    if not live:
        publish()
    arguments = {name: named(value) for name, value in options.items()}
    with bus.subscribe(*map(named, patterns), since=start, until_end=not live, **arguments) as events:
        if live:
            publish()
            assert [event.tag for event in read(events, len(wanted))] == [f"{tag}/{name}" for name in wanted]
        else:
            assert [event.tag for event in events] == [f"{tag}/{name}" for name in wanted]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"regex": "("}, InvalidPattern),
        ({"regex": "(a+)+"}, InvalidPattern),
        ({"startswith": "x" * 600}, InvalidPattern),
        ({"where": "data."}, InvalidExpression),
        ({"where": "__import__('os')"}, InvalidExpression),
        ({"since": "not a time"}, InvalidSetting),
        ({"since": "@x"}, InvalidSetting),
        ({"since": True}, InvalidSetting),
        ({"since": 2**70}, InvalidSetting),
        ({"since": float("nan")}, InvalidSetting),
        ({"since": float("inf")}, InvalidSetting),
        ({"ack": "never"}, InvalidSetting),
        ({"credit_bytes": 0}, InvalidSetting),
        ({"credit_bytes": 1 << 30}, InvalidSetting),
        ({"since": 10**12}, NoSuchOffset),
        ({"since": -1}, NoSuchOffset),
        ({"cursor": "x" * 129}, SylviteError),
    ],
)
def test_what_cannot_be_subscribed_to_is_refused(
    bus: Bus, tag: str, options: dict[str, Any], error: type[SylviteError]
) -> None:
    """And the client goes on."""
    with pytest.raises(error):
        bus.subscribe(tag, **options)
    assert bus.publish(tag).offset >= 0


def test_a_request_too_big_for_a_message_is_not_made_again(bus: Bus, tag: str) -> None:
    """The broker ends the connection over it; the client makes another one, without that request."""
    with pytest.raises(SylviteError):
        bus.subscribe(tag, cursor="x" * (2 << 20))
    with pytest.raises(SylviteError):
        bus.ask("log", text="x" * (2 << 20))
    assert bus.publish(tag).offset >= 0


def test_a_subscription_starts_where_it_is_told(bus: Bus, tag: str) -> None:
    """Every way to say it means the same place: behind the first two of five events."""
    publish_some(bus, tag, 2)
    first, second = (bus.get(bus.publish(f"{tag}/{n}", {"n": n}).offset) for n in (2, 3))
    bus.publish(f"{tag}/4", {"n": 4})
    moment = datetime.fromtimestamp(first.stamp_ns // 1000 / 1_000_000, UTC)
    for since, wanted in {
        "oldest": [0, 1, 2, 3, 4],
        "newest": [],
        None: [],
        f"@{first.offset}": [2, 3, 4],
        first.offset: [2, 3, 4],
        first.position: [3, 4],
        second.position: [4],
        first.stamp_ns / 1_000_000_000 + 3600: [],
        "1h": [0, 1, 2, 3, 4],
        "now": [],
    }.items():
        assert seen(bus.subscribe(tag, since=since, until_end=True)) == wanted, since
    for since in (moment, moment.isoformat(), moment.timestamp() - 0.000_001):
        # The stamp is finer than these say: they mean a place at the first event or right before it.
        found = seen(bus.subscribe(tag, since=since, until_end=True))
        assert found[-3:] == [2, 3, 4], since


def test_until_end_ends_with_what_is_there(bus: Bus, tag: str) -> None:
    """Later events are not on it; and it is gone from the broker when it has ended."""
    publish_some(bus, tag, 3)
    events = bus.subscribe(tag, since="oldest", until_end=True)
    assert events.end == bus.ask("log")["end"]
    assert not events.ended
    publish_some(bus, tag, 1)
    assert seen(events) == [0, 1, 2]
    assert events.ended
    assert events.next(DEADLINE_S) is None
    assert not any(client["subscriptions"] for client in bus.ask("stats")["clients"])


def test_until_end_ends_though_nothing_fits(bus: Bus, tag: str) -> None:
    publish_some(bus, tag, 3)
    assert list(bus.subscribe("no/such/tag", since="oldest", until_end=True)) == []


def test_ended_is_not_said_while_there_are_events(bus: Bus, tag: str) -> None:
    """Three events of one delivery: only behind the third is the end."""
    start = bus.ask("log")["end"]
    bus.publish_many((tag, {"n": n}) for n in range(3))
    with bus.subscribe(tag, since=start, until_end=True) as events:
        for _ in range(3):
            assert not events.ended
            read(events, 1)
        assert events.next(DEADLINE_S) is None
        assert events.ended


def test_position_is_where_another_subscription_goes_on(bus: Bus, tag: str) -> None:
    start = bus.ask("log")["end"]
    publish_some(bus, tag, 4)
    with bus.subscribe(tag, since=start) as events:
        assert events.position is None
        read(events, 2)
        position = events.position
    assert isinstance(position, Position)
    assert seen(bus.subscribe(tag, since=position, until_end=True)) == [2, 3]


def test_next_of_zero_reads_what_has_arrived(bus: Bus, other: Bus, tag: str) -> None:
    """It waits for nothing; yet what the socket holds is found, and an empty one is no error."""
    with bus.subscribe(tag) as events:
        assert events.next(0) is None
        other.publish(tag, {"n": 0})
        other.ask("log")  # The broker has handed both answers and the event to the sockets in this order.
        found = None
        until = time.monotonic() + DEADLINE_S
        while found is None and time.monotonic() < until:
            found = events.next(0)
        assert found is not None
        assert found.data == {"n": 0}
        assert events.next(0) is None


def test_next_is_none_in_time(bus: Bus, tag: str) -> None:
    with bus.subscribe(tag) as events:
        started = time.monotonic()
        assert events.next(0.05) is None
        assert 0.04 < time.monotonic() - started < DEADLINE_S
        assert not events.ended


def test_many_subscriptions_share_a_client(bus: Bus, tag: str) -> None:
    """Each gets its own events, in whatever order they are read."""
    subscriptions = [bus.subscribe(f"{tag}/{n}/") for n in range(40)]
    everything = bus.subscribe(tag)
    for n in range(40):
        bus.publish(f"{tag}/{n}/x", {"n": n}, level="written")
    for n in reversed(range(40)):
        assert read(subscriptions[n], 1)[0].data == {"n": n}
        subscriptions[n].close()
    assert [event.data["n"] for event in read(everything, 40)] == list(range(40))


def test_a_closed_subscription_yields_nothing_more(bus: Bus, tag: str) -> None:
    """Not even what had arrived; closing it twice is no error."""
    start = bus.ask("log")["end"]
    bus.publish_many((tag, {"n": n}) for n in range(3))
    events = bus.subscribe(tag, since=start)
    read(events, 1)
    events.close()
    events.close()
    assert list(events) == []
    assert events.next(0) is None
    assert events.ended


def test_a_slow_reader_holds_no_more_than_its_credit(bus: Bus, other: Bus, tag: str) -> None:
    """Ten times the credit is published before anything is read, and all of it is read in the end."""
    with bus.subscribe(tag, credit_bytes=100_000) as events:
        other.publish_many((tag, {"n": n, "fill": "x" * 1000}) for n in range(1000))
        bus.ask("log")
        assert [event.data["n"] for event in read(events, 1000)] == list(range(1000))


def test_a_subscription_held_back_gets_what_is_synced(bus: Bus, tag: str) -> None:
    with bus.subscribe(tag, synced=True) as events:
        offsets = publish_some(bus, tag, 3)
        assert [event.offset for event in read(events, 3)] == offsets
    assert seen(bus.subscribe(tag, since="oldest", synced=True, until_end=True)) == [0, 1, 2]


# -- Cursors -----------------------------------------------------------------------------------------------------


def test_what_is_not_acknowledged_comes_again(connect: Connections, bus: Bus, shared: BrokerProcess, tag: str) -> None:
    """With manual acknowledgement: after the client's death, the next one starts behind what was acknowledged."""
    reader = connect(shared.socket)
    events = reader.subscribe(tag, cursor=tag, ack="manual")
    publish_some(bus, tag, 5)
    first, second, *_ = read(events, 4)
    events.ack(second)
    events.ack(first)  # Already done: no step back.
    reader.close()
    with connect(shared.socket).subscribe(tag, cursor=tag, ack="manual") as again:
        assert [event.data["n"] for event in read(again, 3)] == [2, 3, 4]
        assert again.next(0) is None


def test_what_is_acknowledged_does_not_come_again(
    connect: Connections, bus: Bus, shared: BrokerProcess, tag: str
) -> None:
    """Also of a client that dies right after it."""
    reader = connect(shared.socket)
    events = reader.subscribe(tag, cursor=tag, ack="manual")
    publish_some(bus, tag, 3)
    events.ack(read(events, 3)[-1])
    reader.close()
    with connect(shared.socket).subscribe(tag, cursor=tag) as again:
        assert again.next(0) is None
        publish_some(bus, tag, 1)
        assert [event.data["n"] for event in read(again, 1)] == [0]


def test_an_event_is_done_when_the_next_one_is_asked_for(
    connect: Connections, bus: Bus, shared: BrokerProcess, tag: str
) -> None:
    """With automatic acknowledgement: leaving in order does the last one too, leaving with an error does not."""
    with pytest.raises(KeyError), bus.subscribe(tag, cursor=tag) as events:
        publish_some(bus, tag, 3)
        read(events, 1)
        raise KeyError
    with connect(shared.socket).subscribe(tag, cursor=tag) as events:
        assert [event.data["n"] for event in read(events, 2)] == [0, 1]
    with connect(shared.socket).subscribe(tag, cursor=tag) as events:
        assert [event.data["n"] for event in read(events, 1)] == [2]


def test_a_new_cursor_starts_where_it_is_told(bus: Bus, tag: str) -> None:
    """A known one goes on where it was, whether oldest or newest is said; a place is taken literally."""
    offsets = publish_some(bus, tag, 3)
    with bus.subscribe(tag, cursor=f"{tag}/new") as events:
        assert events.next(0) is None
    with bus.subscribe(tag, cursor=f"{tag}/old", since="oldest") as events:
        assert [event.data["n"] for event in read(events, 3)] == [0, 1, 2]
    with bus.subscribe(tag, cursor=f"{tag}/old", since="oldest", until_end=True) as events:
        assert seen(events) == []
    with bus.subscribe(tag, cursor=f"{tag}/old", since=offsets[1], until_end=True) as events:
        assert seen(events) == [1, 2]


def test_a_cursor_read_to_the_end_can_be_acknowledged_behind_it(bus: Bus, tag: str) -> None:
    """Events first, acknowledgement after the loop: it counts, though the subscription has ended."""
    publish_some(bus, tag, 3)
    with bus.subscribe(tag, cursor=tag, since="oldest", ack="manual", until_end=True) as events:
        *_, last = events
        events.ack(last)
    assert list(bus.subscribe(tag, cursor=tag, until_end=True)) == []


def test_one_reader_at_a_time_holds_a_cursor(bus: Bus, other: Bus, tag: str) -> None:
    """The second one is refused, on the same client and on another; closing lets go of it."""
    with bus.subscribe(tag, cursor=tag):
        for client in (bus, other):
            with pytest.raises(CursorInUse):
                client.subscribe(tag, cursor=tag)
    bus.subscribe(tag, cursor=tag).close()
    other.ask("cursor_delete", name=tag)


# -- Wait, get, request, ask -------------------------------------------------------------------------------------


def test_wait_returns_the_first_event_that_fits(bus: Bus, tag: str) -> None:
    start = bus.ask("log")["end"]
    publish_some(bus, tag, 3)
    assert bus.wait(tag, since=start, where="data.n == 1", timeout_s=DEADLINE_S).data == {"n": 1}
    assert bus.wait(tag, since=start, exclude=f"{tag}/0", timeout_s=DEADLINE_S).data == {"n": 1}


def test_wait_ends_in_time(bus: Bus, tag: str) -> None:
    with pytest.raises(WaitTimeout):
        bus.wait(tag, timeout_s=0.05)
    with pytest.raises(TimeoutError):
        bus.wait(tag, timeout_s=0.05)


def test_get_returns_the_event_at_an_offset(bus: Bus, tag: str) -> None:
    offsets = publish_some(bus, tag, 3)
    assert [bus.get(offset).data["n"] for offset in offsets] == [0, 1, 2]


def test_get_says_what_is_not_written_yet(bus: Bus) -> None:
    """The next offset, one far beyond it, and one that cannot be."""
    for offset in (bus.ask("log")["end"], 10**12, -1):
        with pytest.raises(NoSuchOffset):
            bus.get(offset)


def test_request_returns_the_event_that_answers(bus: Bus, shared: BrokerProcess, tag: str) -> None:
    """By its cause: another event on the same tag, and one that answers something else, are not taken for it."""
    before = bus.publish(f"{tag}/ask", {"n": 0}).offset

    def answer(asked: Subscription, client: Client) -> None:
        with client:
            event = read(asked, 1)[0]
            client.publish(f"{tag}/answer", {"n": -1})
            client.publish(f"{tag}/answer", {"n": -2}, cause=before)
            client.publish(f"{tag}/answer", {"n": event.data["n"] + 1}, cause=event)

    client = Client.connect(shared.socket)
    answering = threading.Thread(target=answer, args=(client.subscribe(f"{tag}/ask"), client), daemon=True)
    answering.start()
    found = bus.request(f"{tag}/ask", {"n": 41}, reply=f"{tag}/answer", timeout_s=DEADLINE_S)
    answering.join(DEADLINE_S)
    assert (found.data, found.hop) == ({"n": 42}, 1)


def test_a_request_that_nobody_answers_ends_in_time(bus: Bus, tag: str) -> None:
    """It was published all the same."""
    with pytest.raises(WaitTimeout):
        bus.request(f"{tag}/ask", reply=f"{tag}/answer", timeout_s=1.0)
    assert len(list(bus.subscribe(f"{tag}/ask", since="oldest", until_end=True))) == 1


def test_get_says_what_retention_has_dropped(connect: Connections, short_log: BrokerProcess) -> None:
    with pytest.raises(OffsetGone):
        connect(short_log.socket).get(0)


def test_ask_answers_and_refuses(bus: Bus) -> None:
    """An answer is a map; what there is not, and what cannot be said, are errors, and the client goes on."""
    assert bus.ask("log")["log_id"] == bus.welcome.log_id
    with pytest.raises(SylviteError):
        bus.ask("no_such_verb")
    with pytest.raises(SylviteError):
        bus.ask("log", colour="red")
    with pytest.raises(InvalidData):
        bus.ask("log", thing=object())
    assert bus.ask("log")["log_id"] == bus.welcome.log_id


# -- Gaps --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker whose log has lost its first events to retention; each event has its offset as `n`."""
    settings = BrokerSettings(log=LogSettings(segment_bytes=64 * 1024, keep_bytes=128 * 1024))
    with BrokerProcess(tmp_path_factory.mktemp("short"), settings=settings) as process:
        client = Connections("sync")(process.socket)
        n = 0
        while not client.ask("log")["oldest"]:
            n += client.publish_many(("t/x", {"n": n + m, "fill": "x" * 500}) for m in range(100))
        client.close()
        yield process


def test_a_gap_is_raised_and_reading_goes_on(connect: Connections, short_log: BrokerProcess) -> None:
    """EventsMissed says which events; behind it comes the first one that is there, and nothing is lost between."""
    bus = connect(short_log.socket)
    oldest = bus.ask("log")["oldest"]
    with bus.subscribe("t/", since=0, until_end=True) as events:
        with pytest.raises(EventsMissed) as caught:
            events.next(DEADLINE_S)
        gap = caught.value.gap
        assert isinstance(gap, Gap)
        assert (gap.first, gap.next, gap.reason, gap.count) == (0, oldest, "retention", oldest)
        assert next(iter(events)).offset == oldest
        assert events.gaps == 1


def test_a_gap_goes_to_who_asked_for_it(connect: Connections, short_log: BrokerProcess) -> None:
    """With `on_gap`, iteration is not interrupted."""
    bus = connect(short_log.socket)
    gaps: list[Gap] = []
    log = bus.ask("log")
    with bus.subscribe("t/", since=0, until_end=True, on_gap=gaps.append) as events:
        assert len(list(events)) == len(
            {event.offset for event in bus.subscribe("t/", since=log["oldest"], until_end=True)}
        )
    assert [gap.next for gap in gaps] == [log["oldest"]]


def test_oldest_is_no_gap(connect: Connections, short_log: BrokerProcess) -> None:
    bus = connect(short_log.socket)
    with bus.subscribe("t/", since="oldest") as events:
        assert read(events, 1)[0].offset == bus.ask("log")["oldest"]
        assert events.gaps == 0


def test_events_are_checked_against_the_limit_of_the_broker(connect: Connections, tmp_path_factory: Any) -> None:
    """Before they are sent: so one that is too big takes no others of its block with it."""
    settings = BrokerSettings(limits=Limits(event_bytes=1000))
    with BrokerProcess(tmp_path_factory.mktemp("small"), settings=settings) as process:
        bus = connect(process.socket)
        with pytest.raises(EventTooBig):
            bus.publish("t/x", {"text": "x" * 1000})
        with bus.publisher() as publisher:
            publisher.publish("t/x", {})
            with pytest.raises(EventTooBig):
                publisher.publish("t/x", {"text": "x" * 1000})
        assert publisher.acknowledged == 1
        bus.close()


# -- The end -----------------------------------------------------------------------------------------------------


def test_a_closed_client_says_so(bus: Bus, tag: str) -> None:
    """Whatever is asked of it; closing it again is no error."""
    events = bus.subscribe(tag)
    publisher = bus.publisher()
    publisher.publish(tag, {})
    bus.close()
    bus.close()
    for call in (
        lambda: bus.publish(tag),
        lambda: bus.subscribe(tag),
        lambda: bus.ask("log"),
        lambda: bus.get(0),
        lambda: bus.wait(tag),
        lambda: bus.request(tag, reply=tag),
        lambda: events.next(DEADLINE_S),
        publisher.flush,
        lambda: bus.welcome,
    ):
        with pytest.raises(ConnectionLost):
            call()


def test_a_client_can_be_left_at_any_time(connect: Connections, shared: BrokerProcess, tag: str) -> None:
    """As a context manager, with a subscription and a publisher open; the broker has nothing left of it."""
    with connect(shared.socket, name="leaver") as bus:
        bus.subscribe(tag)
        bus.publisher().publish(tag, {})
    names = [client["client"] for client in connect(shared.socket).ask("stats")["clients"]]
    assert "leaver" not in names


def test_the_error_of_a_publisher_is_not_for_retry(bus: Bus) -> None:
    """A publisher tries again by itself; an error made up by the caller is none of ours."""
    with pytest.raises(InvalidData):
        bus.retry(AckTimeout("from somewhere else"))


def test_the_next_event_of_several_subscriptions(bus: Bus, tag: str) -> None:
    """Whichever has one; nothing of the others is lost meanwhile, and the end of one does not end the wait."""
    both: Any
    first, second = both = bus.subscribe(f"{tag}/a"), bus.subscribe(f"{tag}/b")
    assert bus.next_of(both, 0.0) is None
    for name in ("b", "a", "b"):
        bus.publish(f"{tag}/{name}", {})
    found = [bus.next_of(both, DEADLINE_S) for _ in range(3)]
    assert sorted(event.tag[-1] for _, event in filter(None, found)) == ["a", "b", "b"]
    assert all((subscription is first) == event.tag.endswith("a") for subscription, event in filter(None, found))
    first.close()
    bus.publish(f"{tag}/b", {"last": True})
    last = bus.next_of(both, DEADLINE_S)
    assert last is not None
    assert last[1].data == {"last": True}
    second.close()
    assert bus.next_of(both, DEADLINE_S) is None
