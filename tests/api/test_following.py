"""Streams that follow: written to at once, together, and from where each of them was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from sylvite.api.following import LOOK_S, Fallen, Following, Kind
from sylvite.api.tail import Entry
from sylvite.core.event import Gap
from tests.api.nodes import Api
from tests.daemons.nodes import WITHIN_S


class Wire:
    """What one has been written.  `room`: for so many texts."""

    def __init__(self, room: int = 1000) -> None:
        self.texts: list[bytes] = []
        self.room = room

    def write(self, text: bytes) -> bool:
        if len(self.texts) >= self.room:
            return False
        self.texts.append(text)
        return True


def _numbers(entries: Sequence[Entry]) -> bytes:
    return b" ".join(b"%d" % entry.next for entry in entries)


def entries(*ends: int) -> list[Entry]:
    return [Entry(Gap(end - 1, end, "retention", 1)) for end in ends]


def kind(name: str = "a", idle_s: float = 1000.0) -> Kind:
    return Kind(name, _numbers, b"beat", idle_s)


def test_all_of_a_kind_are_written_the_same() -> None:
    async def run() -> None:
        following, wires = Following(), [Wire(), Wire(), Wire()]
        made: list[bytes] = []

        def text(found: Sequence[Entry]) -> bytes:
            made.append(_numbers(found))
            return made[-1]

        same = Kind("same", text, b"", 1000.0)
        tasks = [asyncio.create_task(following.follow(same, wire.write, 5)) for wire in wires]
        await asyncio.sleep(0)
        following.tell(entries(5, 6), 5, None)
        following.tell(entries(7), 7, None)
        assert [wire.texts for wire in wires] == [[b"5 6", b"7"]] * 3
        assert made == [b"5 6", b"7"]
        following.end(8, 12)
        assert await asyncio.gather(*tasks) == [Fallen(8, 12)] * 3

    asyncio.run(run())


def test_one_that_takes_nothing_goes_on_from_there_and_others_do_not_notice() -> None:
    async def run() -> None:
        following, slow, full, fast = Following(), Wire(1), Wire(0), Wire()
        tasks = [asyncio.create_task(following.follow(kind(), wire.write, 5)) for wire in (slow, full, fast)]
        await asyncio.sleep(0)
        following.tell(entries(5), 5, 50)
        following.tell(entries(6), 6, 60)
        assert await asyncio.wait_for(tasks[0], WITHIN_S) == (6, 60)
        assert await asyncio.wait_for(tasks[1], WITHIN_S) == (5, None), "it has had none: its own place counts"
        following.tell(entries(7), 7, 70)
        assert fast.texts == [b"5", b"6", b"7"]
        assert slow.texts == [b"5"]
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        following.tell(entries(8), 8, 80)
        assert fast.texts == [b"5", b"6", b"7"], "it has gone"

    asyncio.run(run())


def test_heartbeats_are_for_those_who_have_had_nothing() -> None:
    async def run() -> None:
        following, wire, other = Following(), Wire(), Wire()
        tasks = [
            asyncio.create_task(following.follow(kind("idle", LOOK_S / 2), wire.write, 0)),
            asyncio.create_task(following.follow(kind("patient"), other.write, 0)),
        ]
        async with asyncio.timeout(WITHIN_S):
            while not wire.texts:
                await asyncio.sleep(LOOK_S / 4)
        assert (wire.texts[0], other.texts) == (b"beat", [])
        following.end(0, None)
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_each_is_written_what_it_may_see_and_nothing_twice(api: Api, token: str) -> None:
    """Streams of several scopes, filters and forms that come and go while events come."""
    ours, count = api.token("events:read:follow/a/**", "events:read:follow/end"), 300
    paths: list[tuple[str, str, Callable[[str], bool]]] = [
        ("/v1/events/stream?tag=follow/", token, lambda _: True),
        ("/v1/events/stream?tag=follow/b", token, lambda tag: tag.startswith("follow/b")),
        ("/v1/events/stream?tag=follow/", ours, lambda tag: tag.startswith("follow/a/") or tag == "follow/end"),
    ]
    with ExitStack() as stack:
        streams = [(stack.enter_context(api.stream(path, key)), sees) for path, key, sees in paths for _ in range(2)]
        tags = [f"follow/{'ab'[number % 2]}/{number}" for number in range(count)] + ["follow/end", "follow/b"]
        for first in range(0, len(tags), 50):
            lines = "".join(json.dumps({"tag": tag}) + "\n" for tag in tags[first : first + 50])
            assert api.ask("POST", "/v1/events", token, lines, Content_Type="application/x-ndjson").status == 201
        for stream, sees in streams:
            wanted = [tag for tag in tags if sees(tag)]
            assert [event["tag"] for event in stream.events(len(wanted))] == wanted
