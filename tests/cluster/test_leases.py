"""Leases in the key-value store of real NATS servers: who has one, what happens when servers go, and whose bucket it is."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from nats.js import api

from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.leases import Leases, bucket_name
from sylvite.cluster.tenure import Fence
from sylvite.errors import ClusterUnfit, LeaseLost
from tests.cluster.servers import once_led, settings

WITHIN_S = 60.0


async def leases_of(connection: Connection, life_s: float = 2.0) -> Leases:
    return await Leases(connection, life_s=life_s).open()


def test_one_has_it_and_the_next_takes_it_at_once_when_it_is_given_up(nats: DevCluster) -> None:
    async def main() -> None:
        async with (
            await Connection.open(settings(nats, node="mars")) as mars,
            await Connection.open(settings(nats, node="venus")) as venus,
        ):
            of_mars, of_venus = await leases_of(mars, 30.0), await leases_of(venus, 30.0)
            changes: list[Fence | None] = []
            async with of_venus.hold("presence", on_change=changes.append) as second:
                async with of_mars.hold("other") as other:
                    await other.held()
                fence = await second.held()
                async with of_mars.hold("presence") as first:
                    while not first.tenure.holder:
                        await asyncio.sleep(0)
                    with pytest.raises(LeaseLost, match="as far as we know it is that of venus"):
                        first.fence()
                    assert [(each.name, each.node) for each in await of_mars.held()] == [("presence", "venus")]
            assert changes == [fence, None]
            async with of_mars.hold("presence") as first:
                assert await asyncio.wait_for(first.held(), WITHIN_S) > fence
            assert await of_mars.held() == []

    asyncio.run(main())


def test_it_is_kept_while_a_server_goes_and_comes_back(nats: DevCluster) -> None:
    """Also the one that we are connected to: renewals go to another one in time."""

    async def main() -> None:
        async with await Connection.open(settings(nats, node="mars")) as connection:
            leases = await leases_of(connection, 20.0)
            lost: list[Fence | None] = []
            async with leases.hold(
                "presence", on_change=lambda fence: lost.append(fence) if fence is None else None
            ) as lease:
                fence = await asyncio.wait_for(lease.held(), WITHIN_S)
                renewed = lease.tenure.until_s
                nats.kill(connection.server)
                async with asyncio.timeout(WITHIN_S):
                    while lease.tenure.until_s == renewed:
                        await asyncio.sleep(0.05)
                assert (lease.fence(), lost) == (fence, [])

    asyncio.run(main())


def test_it_is_lost_in_time_while_no_server_answers(nats: DevCluster) -> None:
    """Who holds it hears of that before anybody else could have it; and has it again when they are back."""

    async def main() -> None:
        async with await Connection.open(settings(nats, node="mars")) as connection:
            leases = await leases_of(connection, 2.0)
            async with leases.hold("presence") as lease:
                fence = await asyncio.wait_for(lease.held(), WITHIN_S)
                for server in nats.servers:
                    nats.pause(server.name)
                await asyncio.wait_for(lease.lost(), WITHIN_S)
                with pytest.raises(LeaseLost):
                    lease.fence()
                for server in nats.servers:
                    nats.resume(server.name)
                assert await asyncio.wait_for(lease.held(), WITHIN_S) >= fence

    asyncio.run(main())


def test_a_bucket_that_is_lost_makes_later_fences_not_lower_ones(nats: DevCluster) -> None:
    async def main() -> None:
        async with await Connection.open(settings(nats, node="mars")) as connection:
            leases = await leases_of(connection, 1.0)
            async with leases.hold("presence") as lease:
                former = await asyncio.wait_for(lease.held(), WITHIN_S)
                await connection.jetstream.delete_stream(f"KV_{bucket_name(connection.settings)}")
                await asyncio.wait_for(lease.lost(), WITHIN_S)
                assert await asyncio.wait_for(lease.held(), WITHIN_S) > former

    asyncio.run(main())


def test_a_bucket_that_is_not_ours_is_refused(nats: DevCluster) -> None:
    async def main() -> None:
        async with await Connection.open(settings(nats)) as connection:
            name = bucket_name(connection.settings)
            config = api.KeyValueConfig(name, storage=api.StorageType.MEMORY)
            bucket = await connection.jetstream.create_key_value(config)  # type: ignore[reportUnknownMemberType]
            with pytest.raises(ClusterUnfit, match="it has 1 replicas, not 3; it is in memory"):
                await leases_of(connection)
            alone = msgspec.structs.replace(connection.settings, name="other", replicas=1)
            connection.settings = alone
            leases = await leases_of(connection)
            other = await connection.jetstream.key_value("other_leases")
            await once_led(lambda: other.put("presence", b"none of ours"))
            assert bucket is not None
            with pytest.raises(ClusterUnfit, match=r"holds what is none of ours.*delete the key presence"):
                await leases.held()

    asyncio.run(main())
