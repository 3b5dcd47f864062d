"""Telling: what is told again at once, and what is counted."""

from __future__ import annotations

import asyncio
from typing import cast

from sylvite.client.async_client import AsyncClient
from sylvite.cluster.telling import Facts, Telling


class _Bus:
    """A bus of which only what is told of the cluster is wanted."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Facts]] = []

    async def ask(self, verb: str, *, name: str, data: Facts) -> dict[str, object]:
        assert verb == "cluster_event"
        self.told.append((name, data))
        return {}


def told(*news: tuple[str, str]) -> list[tuple[str, Facts]]:
    """Return what is published where these names are told of these masters, in one moment."""
    bus = _Bus()

    async def main() -> None:
        telling = Telling(cast("AsyncClient", bus))
        running = asyncio.create_task(telling.run())
        for name, about in news:
            telling.tell(name, about, node=about)
        await telling.finish()
        running.cancel()

    asyncio.run(main())
    return bus.told


def test_the_same_is_told_once() -> None:
    assert told(("lacks", "mars"), ("lacks", "mars"), ("lacks", "venus")) == [
        ("lacks", {"node": "mars"}),
        ("lacks", {"node": "venus"}),
    ]


def test_a_master_that_is_back_at_once_is_told_all_the_same() -> None:
    news = [("joined", "mars"), ("left", "mars"), ("joined", "mars"), ("lost", "mars"), ("joined", "mars")]
    assert [name for name, _ in told(*news)] == [name for name, _ in news]


def test_what_was_counted_meanwhile_stays_counted() -> None:
    news = (("joined", "mars"), ("joined", "mars"), ("left", "mars"), ("joined", "mars"))
    assert told(*news)[-1] == ("joined", {"node": "mars", "untold": 1})
