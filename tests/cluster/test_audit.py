"""Audit: a reader that gets nothing of what is there is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from sylvite.client.async_client import AsyncClient
from sylvite.cluster import audit
from sylvite.cluster.audit import Audit
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.down import Down
from sylvite.cluster.ending import end_all
from sylvite.cluster.overview import listen
from sylvite.cluster.stream import Fetched, Reader, Stream
from sylvite.cluster.telling import Telling
from sylvite.cluster.up import Up
from sylvite.errors import ClusterError
from sylvite.testing.broker import BrokerProcess
from tests.cluster.servers import settings

WITHIN_S = 60.0


@pytest.mark.parametrize("is_stale", [True, False])
def test_a_reader_that_is_left_behind_is_given_up(
    nats: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_stale: bool
) -> None:
    """As where a server cannot catch up with the others: it has the consumer, and answers for it, but not the messages."""
    monkeypatch.setattr(audit, "SAY_S", 0.05)
    monkeypatch.setattr(audit, "LOOK_S", 0.5)

    async def nothing(_: Reader) -> Sequence[Fetched]:
        await asyncio.sleep(0.05)
        return ()

    if is_stale:
        monkeypatch.setattr(Reader, "fetch", nothing)

    async def main(socket: Path) -> BaseException | None:
        async with (
            asyncio.timeout(WITHIN_S),
            AsyncClient.connect(socket) as bus,
            await Connection.open(settings(nats)) as connection,
        ):
            stream, telling = Stream(connection, "mars"), Telling(bus)
            state = await stream.open()
            up, down = Up(bus, stream, telling), Down(bus, stream, telling)
            looking = asyncio.create_task(Audit(bus, stream, up, down, telling, state, {}).run())
            others = [asyncio.create_task(up.run()), asyncio.create_task(down.run())]
            await bus.publish("t/mars", {})
            while not is_stale and (down.number < 1 or down.idle_since_s is None):
                await asyncio.sleep(0.05)
            await asyncio.wait((looking,), timeout=None if is_stale else 2.0)
            ended = looking.exception() if looking.done() else None
            await end_all([looking, *others])
            return ended

    with BrokerProcess(tmp_path / "bus") as bus:
        ended = asyncio.run(main(bus.socket))
    if is_stale:
        assert isinstance(ended, ClusterError)
        assert "left behind at @0 of @1" in str(ended)
    else:
        assert ended is None


def test_a_master_says_how_much_is_not_in_the_stream_yet(nats: DevCluster, tmp_path: Path) -> None:
    async def main(socket: Path) -> int | None:
        async with (
            asyncio.timeout(WITHIN_S),
            AsyncClient.connect(socket) as bus,
            await Connection.open(settings(nats)) as connection,
            await Connection.open(settings(nats, node="venus")) as other,
        ):
            stream, telling = Stream(connection, "mars"), Telling(bus)
            state = await stream.open()
            up, down = Up(bus, stream, telling), Down(bus, stream, telling)
            for _ in range(5):
                await bus.publish("t/mars", {})
            up.until = 2  # It stands still here.
            looking = asyncio.create_task(Audit(bus, stream, up, down, telling, state, {}).run())
            try:
                return (await listen(other, {"mars"}))["mars"].waiting
            finally:
                await end_all([looking])

    with BrokerProcess(tmp_path / "bus") as bus:
        assert asyncio.run(main(bus.socket)) == 3
