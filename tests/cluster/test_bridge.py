"""Two masters and the stream between them: what is published on one is on the other, once and in order."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from sylvite.client.async_client import AsyncClient
from sylvite.client.sync_client import Client
from sylvite.cluster.dev import DevCluster
from sylvite.core.batch import Passage
from sylvite.core.block import BlockBuilder
from sylvite.core.event import Event, pack_data
from sylvite.link.minion_session import PLACES
from tests.cluster.masters import Master

WAIT_S = 60.0


def take(client: Client, count: int, *patterns: str, since: str = "oldest") -> list[Event]:
    """Return so many events that match, from the oldest on."""
    found: list[Event] = []
    with client.subscribe(*patterns, since=since) as events:
        while len(found) < count:
            event = events.next(WAIT_S)
            assert event is not None, f"only {len(found)} of {count} have come"
            found.append(event)
    return found


def test_what_one_publishes_the_other_has(nats: DevCluster, tmp_path: Path) -> None:
    with (
        Master(tmp_path / "mars", nats, "mars") as mars,
        Master(tmp_path / "venus", nats, "venus") as venus,
        Client.connect(mars.socket) as on_mars,
        Client.connect(venus.socket) as on_venus,
    ):
        for number in range(10):
            on_mars.publish("t/mars", {"number": number})
        on_venus.publish("t/venus", {"number": 0})
        events = take(on_venus, 10, "t/mars")
        assert [event.data["number"] for event in events] == list(range(10))
        assert {event.sender for event in events} == {f"{on_mars.welcome.sender}@mars"}
        (back,) = take(on_mars, 1, "t/venus")
        assert back.sender == f"{on_venus.welcome.sender}@venus"


def test_a_minion_that_goes_on_to_another_master_is_in_each_log_once(nats: DevCluster, tmp_path: Path) -> None:
    """The first one is cut off: the second gets what comes later first, and of the first what both have."""

    async def say(master: Master, offsets: list[int], first: int) -> None:
        blocks: list[tuple[int, bytes, int, Passage | None]] = []
        for offset in offsets:
            builder = BlockBuilder()
            builder.add("t/load", pack_data({"offset": offset}))
            passage = Passage(first * PLACES, (offset + 1) * PLACES)
            blocks.append((offset * PLACES, builder.take()[0], 1, passage))
            first = offset + 1
        async with AsyncClient.connect(master.socket) as link:
            assert await link.relay_many("minion:web1", 77, blocks) == [None] * len(offsets)

    with (
        Master(tmp_path / "mars", nats, "mars") as mars,
        Master(tmp_path / "venus", nats, "venus") as venus,
        Client.connect(mars.socket) as on_mars,
        Client.connect(venus.socket) as on_venus,
    ):
        mars.kill_bridge()
        asyncio.run(say(mars, [3, 4, 7, 9], 0))  # Of these the minion hears that 3 and 4 are taken.
        asyncio.run(say(venus, [7, 9, 12], 5))
        on_venus.publish("t/end", {}, level="replicated", timeout_s=WAIT_S)
        mars.start_bridge()
        on_mars.publish("t/end", {})
        for client in (on_mars, on_venus):
            take(client, 2, "t/end")
            events = take(client, 5, "t/load")
            assert sorted(event.data["offset"] for event in events) == [3, 4, 7, 9, 12]
            assert len(list(client.subscribe("t/load", since="oldest", until_end=True))) == 5
        assert [event.data["offset"] for event in take(on_venus, 5, "t/load")] == [7, 9, 12, 3, 4]


def test_a_master_that_was_away_for_longer_than_the_stream_keeps_is_told_what_it_lacks(
    nats: DevCluster, tmp_path: Path
) -> None:
    small = 1024 * 1024
    with (
        Master(tmp_path / "mars", nats, "mars", keep_bytes=small) as mars,
        Master(tmp_path / "venus", nats, "venus", keep_bytes=small) as venus,
        Client.connect(mars.socket) as on_mars,
        Client.connect(venus.socket) as on_venus,
    ):
        on_mars.publish("t/mars", {"number": 0}, level="replicated", timeout_s=WAIT_S)
        take(on_venus, 1, "t/mars")
        venus.kill_bridge()
        for number in range(1, 40):
            on_mars.publish("t/mars", {"number": number, "pad": "x" * 100_000}, level="replicated", timeout_s=WAIT_S)
        venus.start_bridge()
        on_mars.publish("t/last", {"number": 40})
        take(on_venus, 1, "t/last")
        (gap,) = take(on_venus, 1, "sylvite/cluster/gap")
        there = list(on_venus.subscribe("t/mars", since="oldest", until_end=True))
        numbers = [event.data["number"] for event in there]
        assert numbers == [0, *range(40 - len(numbers) + 1, 40)]
        assert gap.data["node"] == "mars"
        assert gap.data["count"] >= 40 - len(numbers)


def test_a_master_whose_log_was_wiped_gets_the_others_events_and_sends_its_own(
    nats: DevCluster, tmp_path: Path
) -> None:
    with (
        Master(tmp_path / "mars", nats, "mars") as mars,
        Master(tmp_path / "venus", nats, "venus") as venus,
        Client.connect(venus.socket) as on_venus,
    ):
        with Client.connect(mars.socket) as on_mars:
            on_mars.publish("t/mars", {"number": 0})
        take(on_venus, 1, "t/mars")
        on_venus.publish("t/venus", {"number": 0}, level="replicated", timeout_s=WAIT_S)
        mars.end_bridge()
        mars.bus.stop()
        shutil.rmtree(mars.bus.folder / "log")
        mars.bus.start()
        mars.start_bridge()
        with Client.connect(mars.socket) as on_mars:
            on_mars.publish("t/mars", {"number": 1})
            assert [event.data["number"] for event in take(on_venus, 2, "t/mars")] == [0, 1]
            assert [event.data["number"] for event in take(on_mars, 1, "t/venus")] == [0]
