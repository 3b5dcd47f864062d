"""Brokers that die, stop and come back: nothing is lost, nothing comes twice, and every wait ends."""

from __future__ import annotations

import asyncio
import gc
import shutil
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from sylvite import (
    AckTimeout,
    AckUnknown,
    AsyncClient,
    BrokerNotReachable,
    ConnectionLost,
    EventsMissed,
    Gap,
    InvalidData,
    NotAuthenticated,
    Published,
    WaitTimeout,
)
from sylvite.testing.broker import BrokerProcess
from tests.client.ledger import history, numbers, repeated
from tests.contracts.clients import DEADLINE_S, Connections, read

SOON_S = 0.2
"""A deadline that is meant to pass."""


def restart(broker: BrokerProcess, how: str) -> None:
    if how == "kill":
        broker.kill()
    else:
        assert broker.stop() == 0
    broker.start()


def wipe(broker: BrokerProcess) -> None:
    """End the broker, and let it begin anew with an empty log."""
    broker.kill()
    shutil.rmtree(broker.folder / "log")
    broker.start()


# -- The broker goes and comes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_publisher_and_a_subscriber_outlive_the_broker(
    connect: Connections, broker: BrokerProcess, tag: str, how: str
) -> None:
    """Every event once, in order, in the log and for the subscriber; with much of it on its way at each end."""
    publishing, reading = connect(broker.socket), connect(broker.socket)
    events = reading.subscribe(f"{tag}/")
    found: list[int] = []
    with publishing.publisher() as publisher:
        for n in range(6000):
            publisher.publish(f"{tag}/x", {"n": n})
            if n % 2000 == 1999:
                restart(broker, how)
                while (event := events.next(0)) is not None:
                    found.append(event.data["n"])
    assert publisher.acknowledged == 6000
    found += numbers(read(events, 6000 - len(found)))
    assert found == list(range(6000))
    assert numbers(history(broker.socket, f"{tag}/")) == found
    assert events.gaps == 0


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_single_publishes_outlive_the_broker(connect: Connections, broker: BrokerProcess, tag: str, how: str) -> None:
    bus = connect(broker.socket)
    offsets: list[int] = []
    for n in range(9):
        offsets.append(bus.publish(f"{tag}/x", {"n": n}, timeout_s=DEADLINE_S).offset)
        if n % 3 == 2:
            restart(broker, how)
    events = history(broker.socket, f"{tag}/")
    assert numbers(events) == list(range(9))
    assert [event.offset for event in events] == offsets


def test_a_thousand_publishes_at_once_outlive_the_broker(broker: BrokerProcess, tag: str) -> None:
    """Each is acknowledged at an offset of its own, where the log has it, in the order of the calls."""

    async def publish(bus: AsyncClient, first: int) -> list[Published]:
        calls = [
            asyncio.create_task(bus.publish(f"{tag}/x", {"n": n}, timeout_s=DEADLINE_S))
            for n in range(first, first + 1000)
        ]
        await asyncio.sleep(0)  # One turn: all of them are on their way.
        broker.kill()
        broker.start()
        return await asyncio.gather(*calls)

    async def rounds() -> list[Published]:
        async with AsyncClient.connect(broker.socket) as bus:
            return [published for first in (0, 1000, 2000) for published in await publish(bus, first)]

    published = asyncio.run(rounds())
    events = history(broker.socket, f"{tag}/")
    assert numbers(events) == list(range(3000))
    assert [event.position for event in events] == [answer.position for answer in published]


def test_many_subscriptions_of_one_client_go_on(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """Live, in history, with a filter, with a cursor: each where it was."""
    bus = connect(broker.socket)
    bus.publish_many((f"{tag}/{n % 2}", {"n": n, "ten": n % 10 == 0}) for n in range(100))
    subscriptions = [
        bus.subscribe(f"{tag}/", since="oldest"),
        bus.subscribe(f"{tag}/1", since="oldest"),
        bus.subscribe(f"{tag}/", since="oldest", where="data.ten == true"),
        bus.subscribe(f"{tag}/", since="oldest", cursor=tag),
        bus.subscribe(f"{tag}/"),
    ]
    found = [numbers(read(events, 5)) for events in subscriptions[:4]] + [[]]
    restart(broker, "kill")
    bus.publish_many((f"{tag}/{n % 2}", {"n": n, "ten": n % 10 == 0}) for n in range(100, 200))
    for taken, events, count in zip(found, subscriptions, (195, 95, 15, 195, 100), strict=True):
        taken += numbers(read(events, count))
        assert events.next(0) is None
    everything = list(range(200))
    assert found == [everything, everything[1::2], everything[::10], everything, everything[100:]]


def test_what_a_cursor_has_not_done_comes_again_after_the_broker(
    connect: Connections, broker: BrokerProcess, tag: str
) -> None:
    """Received, not acknowledged, and both broker and reader die: it is redelivered."""
    bus, reader = connect(broker.socket), connect(broker.socket)
    events = reader.subscribe(f"{tag}/", cursor=tag, ack="manual")
    bus.publish_many((f"{tag}/x", {"n": n}) for n in range(10))
    received = read(events, 10)
    events.ack(received[2])
    reader.ask("log")
    restart(broker, "stop")
    assert events.next(0) is None
    cursors = {cursor["name"]: cursor["offset"] for cursor in reader.ask("cursors")["cursors"]}
    assert cursors[tag] == received[3].offset
    reader.close()
    with connect(broker.socket).subscribe(f"{tag}/", cursor=tag, ack="manual") as again:
        assert numbers(read(again, 7)) == [3, 4, 5, 6, 7, 8, 9]


def test_what_a_cursor_has_done_is_done_after_the_broker(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """Acknowledged while the broker was away: the broker that comes back hears of it."""
    bus, reader = connect(broker.socket), connect(broker.socket)
    events = reader.subscribe(f"{tag}/", cursor=tag, ack="manual")
    bus.publish_many((f"{tag}/x", {"n": n}) for n in range(10))
    received = read(events, 10)
    broker.stop()
    events.ack(received[6])
    broker.start()
    reader.ask("log")
    events.ack(received[9])
    reader.close()
    assert list(connect(broker.socket).subscribe(f"{tag}/", cursor=tag, until_end=True)) == []


def test_a_wiped_log_is_a_gap(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """`reset` says that this is another history; reading goes on with all of it."""
    bus = connect(broker.socket)
    bus.publish_many((f"{tag}/x", {"n": n}) for n in range(10))
    events = bus.subscribe(f"{tag}/", since="oldest")
    assert numbers(read(events, 10)) == list(range(10))
    position = events.position
    wipe(broker)
    bus.publish(f"{tag}/x", {"n": 100}, timeout_s=DEADLINE_S)
    with pytest.raises(EventsMissed) as caught:
        events.next(DEADLINE_S)
    assert isinstance(caught.value.gap, Gap)
    assert (caught.value.gap.reason, caught.value.gap.count) == ("reset", None)
    assert numbers(read(events, 1)) == [100]
    gaps: list[Gap] = []
    assert numbers(list(bus.subscribe(f"{tag}/", since=position, until_end=True, on_gap=gaps.append))) == [100]
    assert [gap.reason for gap in gaps] == ["reset"]


def test_reading_to_the_end_ends_in_a_wiped_log(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """The old end is never reached any more: the new one is the end."""
    bus = connect(broker.socket)
    bus.publish_many((f"{tag}/x", {"n": n, "fill": "x" * 100_000}) for n in range(20))
    events = bus.subscribe(f"{tag}/", since="oldest", until_end=True, credit_bytes=1)
    wipe(broker)
    connect(broker.socket).publish(f"{tag}/x", {"n": 100})
    found: list[int] = []
    with pytest.raises(EventsMissed):
        while (event := events.next(DEADLINE_S)) is not None:
            found.append(event.data["n"])
    assert found == list(range(len(found)))
    assert len(found) < 20
    assert numbers(list(events)) == [100]
    assert events.ended


def test_a_cursor_goes_on_in_a_wiped_log(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """After the reset, acknowledgements count again, though the offsets are lower than before."""
    bus = connect(broker.socket)
    bus.publish_many((f"{tag}/x", {"n": n}) for n in range(10))
    events = bus.subscribe(f"{tag}/", since="oldest", cursor=tag, ack="manual")
    events.ack(read(events, 10)[-1])
    wipe(broker)
    with pytest.raises(EventsMissed):
        events.next(DEADLINE_S)
    bus.publish_many((f"{tag}/x", {"n": n}) for n in range(3))
    events.ack(read(events, 3)[1])
    bus.close()
    assert numbers(read(connect(broker.socket).subscribe(f"{tag}/", cursor=tag), 1)) == [2]


# -- The broker does not answer ----------------------------------------------------------------------------------


def test_publish_to_a_stopped_broker_ends_in_time_and_can_be_tried_again(
    connect: Connections, broker: BrokerProcess, tag: str
) -> None:
    """Nobody knows what became of it; the retry answers, and it is in the log once."""
    bus = connect(broker.socket)
    broker.pause()
    with pytest.raises(AckTimeout) as caught:
        bus.publish(f"{tag}/x", {"n": 1}, timeout_s=SOON_S)
    with pytest.raises(AckTimeout):
        bus.retry(caught.value, timeout_s=SOON_S)
    broker.resume()
    published = bus.retry(caught.value)
    assert bus.retry(caught.value) == published
    assert [event.offset for event in history(broker.socket, f"{tag}/")] == [published.offset]


def test_a_full_socket_holds_nobody_beyond_the_deadline(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """A pipelined publisher has filled it: publisher, publish, subscribe and ask end; then all goes on."""
    bus = connect(broker.socket)
    publisher = bus.publisher(timeout_s=SOON_S)
    broker.pause()
    taken = 0
    with pytest.raises(AckTimeout):
        while True:
            publisher.publish(f"{tag}/x", {"n": taken, "fill": "x" * 10_000})
            taken += 1
    with pytest.raises(AckTimeout) as caught:
        bus.publish(f"{tag}/x", {"n": -1}, timeout_s=SOON_S)
    with pytest.raises(WaitTimeout):
        bus.subscribe(f"{tag}/", timeout_s=SOON_S)
    with pytest.raises(WaitTimeout):
        bus.ask("log", timeout_s=SOON_S)
    with pytest.raises(AckTimeout):
        publisher.flush()
    broker.resume()
    publisher.flush()
    bus.retry(caught.value)
    assert publisher.published == publisher.acknowledged == taken
    found = numbers(history(broker.socket, f"{tag}/"))
    assert sorted(found) == [-1, *range(taken)]
    assert [n for n in found if n >= 0] == list(range(taken))


def test_what_never_arrived_is_published_by_its_retry(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """It waited in the socket of a broker that died: only the retry brings it into the log."""
    bus = connect(broker.socket)
    bus.publish(f"{tag}/x", {"n": 0})
    broker.pause()
    with pytest.raises(AckTimeout) as caught:
        bus.publish(f"{tag}/x", {"n": 1}, timeout_s=SOON_S)
    broker.kill()
    broker.start()
    assert numbers(history(broker.socket, f"{tag}/")) == [0]
    bus.publish(f"{tag}/x", {"n": 2}, timeout_s=DEADLINE_S)
    bus.retry(caught.value, timeout_s=DEADLINE_S)
    assert numbers(history(broker.socket, f"{tag}/")) == [0, 2, 1]


def test_a_retry_belongs_to_the_client_that_published(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """Under another client's name the broker could take it for another event."""
    bus, other = connect(broker.socket), connect(broker.socket)
    other.publish(f"{tag}/x", {"n": 0})
    broker.pause()
    with pytest.raises(AckTimeout) as caught:
        bus.publish(f"{tag}/x", {"n": 1}, timeout_s=SOON_S)
    broker.resume()
    with pytest.raises(InvalidData):
        other.retry(caught.value)
    bus.retry(caught.value)
    assert numbers(history(broker.socket, f"{tag}/")) == [0, 1]


def test_events_at_level_none_do_not_pile_up(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """The socket alone bounds what is on its way; once it is full, the publisher waits, and says so in time."""
    bus = connect(broker.socket)
    publisher = bus.publisher(level="none", timeout_s=SOON_S)
    broker.pause()
    with pytest.raises(AckTimeout):
        while publisher.published < 20_000:
            publisher.publish(f"{tag}/x", {"fill": "x" * 1000})
    assert publisher.published < 4000
    broker.resume()
    publisher.flush()
    bus.ask("log")
    assert len(history(broker.socket, f"{tag}/")) == publisher.published


@pytest.mark.parametrize("level", ["none", "written"])
def test_calls_that_time_out_leave_nothing_behind(
    connect: Connections, broker: BrokerProcess, tag: str, level: str
) -> None:
    """Fifty times 100 kB for a broker that does not read: tried again and again, and memory does not grow with it."""
    bus = connect(broker.socket)
    data = {"fill": "x" * 100_000}
    broker.pause()
    tracemalloc.start()
    try:
        for _ in range(25):
            try:
                bus.publish(f"{tag}/x", data, level=level, timeout_s=0.01)
            except AckTimeout as error:
                with pytest.raises(AckTimeout):
                    bus.retry(error, timeout_s=0.01)
        gc.collect()  # Errors of tasks lie in cycles.
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_500_000
    broker.resume()
    assert bus.publish(f"{tag}/x", timeout_s=DEADLINE_S).offset >= 0


def test_closing_does_not_wait_for_a_stopped_broker(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """Though the socket is full, and much is unread."""
    bus = connect(broker.socket)
    publisher = bus.publisher(timeout_s=SOON_S)
    broker.pause()
    with pytest.raises(AckTimeout):
        while True:
            publisher.publish(f"{tag}/x", {"fill": "x" * 10_000})
    bus.close()
    broker.resume()


def test_connecting_to_a_stopped_broker_ends_in_time(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    broker.pause()
    with pytest.raises(BrokerNotReachable, match="does not answer"):
        connect(broker.socket, timeout_s=SOON_S)


# -- The broker is away ------------------------------------------------------------------------------------------


def test_without_a_broker_nothing_is_sent_and_said_so(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """ConnectionLost, not AckUnknown: this event is certainly not in the log; reading just finds nothing."""
    bus = connect(broker.socket)
    events = bus.subscribe(f"{tag}/")
    broker.kill()
    assert events.next(SOON_S) is None
    with pytest.raises(ConnectionLost, match="nothing was sent"):
        bus.publish(f"{tag}/x", {"n": 1}, timeout_s=SOON_S)
    with pytest.raises(ConnectionLost):
        bus.ask("log", timeout_s=SOON_S)
    with pytest.raises(ConnectionLost):
        _ = bus.welcome
    broker.start()
    bus.publish(f"{tag}/x", {"n": 2}, timeout_s=DEADLINE_S)
    assert numbers(read(events, 1)) == [2]
    assert numbers(history(broker.socket, f"{tag}/")) == [2]


def test_looking_without_waiting_finds_the_broker_again(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """A caller that never waits, next(0) again and again, gets its connection and its events."""
    bus = connect(broker.socket)
    events = bus.subscribe(f"{tag}/")
    restart(broker, "kill")
    with connect(broker.socket) as other:
        offset = other.publish(f"{tag}/x", {"n": 1}).offset
    found = None
    for _ in range(100_000):
        if (found := events.next(0)) is not None:
            break
    assert found is not None
    assert found.offset == offset


def test_after_reconnect_s_the_loss_is_said(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    """To who waits, however it waits; and when the broker is back, the next call finds it."""
    bus = connect(broker.socket, reconnect_s=SOON_S)
    events = bus.subscribe(f"{tag}/")
    broker.kill()
    with pytest.raises(ConnectionLost, match="has been away"):
        events.next(DEADLINE_S)
    with pytest.raises(ConnectionLost):
        while True:  # Each of these waits is shorter than the limit; all of them together are not.
            events.next(SOON_S / 10)
    broker.start()
    bus.publish(f"{tag}/x", {"n": 1}, timeout_s=DEADLINE_S)
    assert numbers(read(events, 1)) == [1]


def test_a_limit_of_zero_means_no_second_connection(connect: Connections, broker: BrokerProcess, tag: str) -> None:
    bus = connect(broker.socket, reconnect_s=0)
    restart(broker, "kill")
    with pytest.raises((ConnectionLost, AckUnknown)):
        bus.publish(f"{tag}/x", timeout_s=DEADLINE_S)


def test_no_broker_is_an_error_at_once(connect: Connections, tmp_path: Path) -> None:
    """Connect does not try again: the caller learns where it looked, and why there was nothing."""
    with pytest.raises(BrokerNotReachable, match="no such file") as caught:
        connect(tmp_path / "bus.sock")
    assert caught.value.address == str(tmp_path / "bus.sock")
    for name in ("bus.tcp", "broken.tcp"):
        if name == "broken.tcp":
            (tmp_path / name).write_text("{}")
        with pytest.raises(BrokerNotReachable):
            connect(tmp_path / name)


# -- TCP ---------------------------------------------------------------------------------------------------------


def test_a_broker_on_tcp_is_reached_by_its_file(connect: Connections, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Token and port come from the file, also when the broker comes back with others."""
    with BrokerProcess(tmp_path_factory.mktemp("tcp"), arguments=("--tcp", "127.0.0.1:0")) as broker:
        path = broker.folder / "bus.tcp"
        bus = connect(path)
        events = bus.subscribe("t/")
        bus.publish("t/x", {"n": 1})
        restart(broker, "kill")
        bus.publish("t/x", {"n": 2}, timeout_s=DEADLINE_S)
        assert numbers(read(events, 2)) == [1, 2]
        wrong = msgspec.json.decode(path.read_bytes()) | {"token": "0" * 64}
        (broker.folder / "wrong.tcp").write_bytes(msgspec.json.encode(wrong))
        with pytest.raises(NotAuthenticated):
            connect(broker.folder / "wrong.tcp")
        bus.close()


def test_the_ledger_sees_what_came_twice() -> None:
    assert repeated([1, 2, 1]) == [1]
