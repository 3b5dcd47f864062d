"""Pulling out of a stream of real NATS servers: what is lost on its way shows, also where nothing comes behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from nats.js import api

from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.pull import Pull
from sylvite.errors import ClusterUnreachable
from tests.cluster.servers import settings


@asynccontextmanager
async def pulling(servers: DevCluster) -> AsyncGenerator[tuple[Connection, Pull]]:
    """A stream with three messages, and what has been opened to read it."""
    async with await Connection.open(settings(servers)) as connection:
        await connection.jetstream.add_stream(api.StreamConfig(name="s", subjects=["s"]))  # type: ignore[reportUnknownMemberType] - nats-py leaves a type in it open
        for number in range(3):
            await connection.jetstream.publish("s", b"%d" % number)
        pull = Pull(connection, "s", "s", "the stream", fetch_s=0.2)
        await pull.open(api.DeliverPolicy.ALL)
        yield connection, pull
        await pull.close()


async def lose_one(pull: Pull) -> None:
    """Take a message as if it had been sent and had never come."""
    subscription = pull._pull  # type: ignore[reportPrivateUsage] - nothing outside can lose it at will
    assert subscription is not None
    assert len(await subscription.fetch(1)) == 1


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


def test_that_who_reads_for_us_has_gone_shows(nats: DevCluster) -> None:
    async def main() -> None:
        async with pulling(nats) as (connection, pull):
            assert await pull.fetch()
            await connection.jetstream.delete_stream("s")
            with pytest.raises(ClusterUnreachable):
                for _ in range(3):
                    await pull.fetch()

    asyncio.run(main())
