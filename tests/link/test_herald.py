"""What the link itself has to tell: in order, again where the bus was away, and never more than so much of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from sylvite.client.async_client import AsyncClient
from sylvite.errors import AckUnknown, ConnectionLost, SylviteError
from sylvite.link.herald import Herald


class Bus:
    """Takes events; the first `errors` are raised in its place."""

    def __init__(self, *errors: SylviteError) -> None:
        self.taken: list[str] = []
        self.retried: list[AckUnknown] = []
        self._errors = list(errors)

    async def publish(self, tag: str, data: dict[str, Any]) -> None:
        assert data == {}
        if self._errors:
            raise self._errors.pop(0)
        self.taken.append(tag)

    async def retry(self, error: AckUnknown) -> None:
        self.retried.append(error)


def told(bus: Bus, tags: list[str], is_done: Callable[[], bool], waiting_max: int = 100) -> None:
    async def scene() -> None:
        herald = Herald(cast(AsyncClient, bus), waiting_max=waiting_max)
        for tag in tags:
            herald.tell(tag, {})
        task = asyncio.create_task(herald.run())
        async with asyncio.timeout(20):
            while not is_done():
                await asyncio.sleep(0)
        task.cancel()

    asyncio.run(scene())


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sylvite.link.herald.AGAIN_S", 0.0)


def test_events_are_told_in_their_order() -> None:
    bus, tags = Bus(), [f"a/{number}" for number in range(20)]
    told(bus, tags, lambda: bus.taken == tags)


def test_one_whose_fate_is_unknown_is_asked_for_again_and_not_said_anew() -> None:
    unknown = AckUnknown("no answer")
    bus = Bus(unknown)
    told(bus, ["a"], lambda: bus.retried == [unknown])
    assert bus.taken == []


def test_a_bus_that_is_away_is_waited_for() -> None:
    bus = Bus(ConnectionLost("away"), ConnectionLost("away"))
    told(bus, ["a"], lambda: bus.taken == ["a"])


def test_beyond_its_limit_events_are_dropped_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus()
    told(bus, ["a", "b", "c", "d"], lambda: "2 events of the link were dropped" in caplog.text, waiting_max=2)
    assert bus.taken == ["a", "b"]
