"""Pulling out of a stream of real NATS servers: what is lost on its way shows, also where nothing comes behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from nats.js import JetStreamContext, api

from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.pull import Pull
from sylvite.errors import ClusterUnreachable
from tests.cluster.servers import once_led, settings


@asynccontextmanager
async def pulling(servers: DevCluster) -> AsyncGenerator[tuple[Connection, Pull]]:
    """A stream with three messages, and what has been opened to read it."""
    async with await Connection.open(settings(servers)) as connection:
        await connection.jetstream.add_stream(api.StreamConfig(name="s", subjects=["s"]))  # type: ignore[reportUnknownMemberType] - nats-py leaves a type in it open
        for number in range(3):
            await once_led(lambda data=b"%d" % number: connection.jetstream.publish("s", data))
        pull = Pull(connection, "s", "s", "the stream", fetch_s=0.2)
        await pull.open(api.DeliverPolicy.ALL)
        yield connection, pull
        await pull.close()


def inside(pull: Pull) -> JetStreamContext.PullSubscription:
    """Return what it pulls by: nothing outside can lose a message, or leave a server behind, at will."""
    subscription = pull._pull  # type: ignore[reportPrivateUsage] - what it pulls by is nobody else's
    assert subscription is not None
    return subscription


async def lose_one(pull: Pull) -> None:
    """Take a message as if it had been sent and had never come."""
    assert len(await inside(pull).fetch(1)) == 1


async def stand_still(connection: Connection, pull: Pull) -> None:
    """Have the servers give us nothing for a minute."""
    info = await inside(pull).consumer_info()
    until = (datetime.now(UTC) + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    answer = await connection.nats.request(
        f"$JS.API.CONSUMER.PAUSE.s.{info.name}", json.dumps({"pause_until": until}).encode(), timeout=10
    )
    assert json.loads(answer.data).get("paused"), answer.data
    while not json.loads((await connection.nats.request(f"$JS.API.CONSUMER.INFO.s.{info.name}")).data).get("paused"):
        await asyncio.sleep(0.05)


def test_all_comes_in_order_and_then_nothing(nats: DevCluster) -> None:
    async def main() -> None:
        async with pulling(nats) as (_, pull):
            assert pull.left == 3
            found: list[bytes] = []
            while len(found) < 3:
                found.extend(message.data for message in await pull.fetch())
            assert found == [b"0", b"1", b"2"]
            for _ in range(3):
                assert not await pull.fetch()
            assert pull.left == 0

    asyncio.run(main())


def test_what_is_lost_shows_by_what_comes_behind_it(nats: DevCluster) -> None:
    async def main() -> None:
        async with pulling(nats) as (_, pull):
            await lose_one(pull)
            with pytest.raises(ClusterUnreachable, match="something of the stream was lost on its way"):
                await pull.fetch()

    asyncio.run(main())


def test_what_is_lost_at_the_end_shows_as_well(nats: DevCluster) -> None:
    async def main() -> None:
        async with pulling(nats) as (_, pull):
            for _ in range(3):
                await lose_one(pull)
            assert not await pull.fetch()  # It may be on its way yet.
            with pytest.raises(ClusterUnreachable, match="something of the stream was lost on its way"):
                await pull.fetch()
            await pull.open(api.DeliverPolicy.ALL)
            assert await pull.fetch()

    asyncio.run(main())


def test_a_consumer_that_gives_nothing_though_there_is_more_shows(nats: DevCluster) -> None:
    async def main() -> None:
        async with pulling(nats) as (connection, pull):
            await stand_still(connection, pull)
            with pytest.raises(ClusterUnreachable, match="something of the stream was lost on its way"):
                for _ in range(10):
                    assert not await pull.fetch()

    asyncio.run(main())


def test_a_consumer_that_does_not_know_of_more_shows(nats: DevCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server's copy of the stream is left behind, and ends before that of the others."""

    async def main() -> None:
        async with pulling(nats) as (connection, pull):
            assert len(await pull.fetch()) == 3
            await stand_still(connection, pull)
            await connection.jetstream.publish("s", b"3")
            subscription = inside(pull)
            ask = subscription.consumer_info

            async def left_behind() -> api.ConsumerInfo:
                info = await ask()
                info.num_pending = 0
                return info

            monkeypatch.setattr(subscription, "consumer_info", left_behind)
            with pytest.raises(ClusterUnreachable, match="something of the stream was lost on its way"):
                for _ in range(10):
                    assert not await pull.fetch()

    asyncio.run(main())


def test_that_who_reads_for_us_has_gone_shows(nats: DevCluster) -> None:
    async def main() -> None:
        async with pulling(nats) as (connection, pull):
            assert await pull.fetch()
            await connection.jetstream.delete_stream("s")
            with pytest.raises(ClusterUnreachable):
                for _ in range(3):
                    await pull.fetch()

    asyncio.run(main())
