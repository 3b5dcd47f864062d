"""What masters share, in the key-value store of real NATS servers: who wrote it, how a watch ends and begins anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js import api

from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.permissions import allowed_of
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.shared import VALUE_BYTES_MAX, Entry, Shared, bucket_name, decode, encode, stream_config
from sylvite.errors import ClusterError, ClusterRefused, ClusterUnfit, InvalidInput
from tests.cluster.servers import settings

WITHIN_S = 60.0


@asynccontextmanager
async def shared_of(servers: DevCluster, node: str) -> AsyncGenerator[tuple[Connection, Shared]]:
    async with await Connection.open(settings(servers, node=node)) as connection:
        yield connection, Shared(connection, node)


async def all_of(watch: AsyncGenerator[Entry | None]) -> list[Entry]:
    """Return what a watch yields until it has said all."""
    found: list[Entry] = []
    async with asyncio.timeout(WITHIN_S):
        async for entry in watch:
            if entry is None:
                return sorted(found)
            found.append(entry)
    raise AssertionError("a watch has ended")


async def seen(watch: AsyncGenerator[Entry | None], wanted: Entry | None) -> None:
    """Wait until a watch has yielded this."""
    async with asyncio.timeout(WITHIN_S):
        async for entry in watch:
            if entry == wanted:
                return
    raise AssertionError("a watch has ended")


async def put(shared: Shared, item: str, value: bytes) -> None:
    """Put an entry, as often as the servers need."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                return await shared.put("keys", item, value)
            except ClusterError:
                await asyncio.sleep(0.1)


@given(text=st.text(max_size=40))
def test_any_text_is_one_word_of_a_key(text: str) -> None:
    word = encode(text)
    assert word.isascii()
    assert word
    assert not set(word) & set(". *>%\n")
    assert decode(word) == text


@pytest.mark.parametrize("word", ["", "a.b", "=2", "=2e", "a=", "ä", "=FF"])
def test_a_word_of_somebody_elses_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"none of our words|decode"):
        decode(word)


def test_all_is_seen_then_that_it_was_all_then_each_change(nats: DevCluster) -> None:
    async def main() -> None:
        async with shared_of(nats, "mars") as (_, mars), shared_of(nats, "ve.nus") as (_, venus):
            async with aclosing(venus.watch("keys")) as watch:
                assert await all_of(watch) == [], "nobody has made the bucket"
                await mars.put("keys", "web1.example.com", b"1")
                await mars.put("tokens", "other", b"of another part")
                await seen(watch, Entry("mars", "web1.example.com", b"1"))
                await venus.put("keys", "web1.example.com", b"2")
                await seen(watch, Entry("ve.nus", "web1.example.com", b"2"))
                await mars.put("keys", "web1.example.com", b"3")
                await mars.delete("keys", "web1.example.com")
                await mars.delete("keys", "never there")
                await seen(watch, Entry("mars", "web1.example.com", None))
            largest = b"v" * VALUE_BYTES_MAX
            for number in range(20):
                await mars.put("keys", f"large/{number}", largest)
            async with aclosing(venus.watch("keys")) as watch:
                found = await all_of(watch)
            assert [each for each in found if each.value is None] == [
                Entry("mars", "never there", None),
                Entry("mars", "web1.example.com", None),
            ]
            assert Entry("ve.nus", "web1.example.com", b"2") in found
            assert sum(each.value == largest for each in found) == 20

    asyncio.run(main())


def test_what_is_too_large_is_refused(nats: DevCluster) -> None:
    async def main() -> None:
        async with shared_of(nats, "mars") as (_, mars):
            with pytest.raises(InvalidInput, match="at most 307200 are shared"):
                await mars.put("keys", "web1", b"v" * (VALUE_BYTES_MAX + 1))
            with pytest.raises(InvalidInput, match="too long to be shared"):
                await mars.put("keys", "w" * 513, b"")

    asyncio.run(main())


def test_a_watch_begins_anew_when_servers_were_away(nats: DevCluster) -> None:
    """All of them, and so also the one that read for it; what was written before is there again."""

    async def main() -> None:
        async with shared_of(nats, "mars") as (_, mars), shared_of(nats, "venus") as (_, venus):
            await mars.open()
            await mars.put("keys", "web1", b"1")
            async with aclosing(venus.watch("keys")) as watch:
                assert await all_of(watch) == [Entry("mars", "web1", b"1")]
                for server in nats.servers:
                    nats.kill(server.name)
                reading = asyncio.create_task(all_of(watch))
                await asyncio.sleep(0)
                nats.restart_all()
                assert await reading == [Entry("mars", "web1", b"1")]
                await put(mars, "web1", b"2")
                await seen(watch, Entry("mars", "web1", b"2"))

    asyncio.run(main())


def test_a_bucket_that_is_deleted_is_made_again_and_found_empty(nats: DevCluster) -> None:
    async def main() -> None:
        async with shared_of(nats, "mars") as (connection, mars), shared_of(nats, "venus") as (_, venus):
            await mars.put("keys", "web1", b"1")
            async with aclosing(venus.watch("keys")) as watch:
                assert await all_of(watch) == [Entry("mars", "web1", b"1")]
                await connection.jetstream.delete_stream(f"KV_{bucket_name(connection.settings)}")
                assert await all_of(watch) == []
                await put(mars, "web1", b"2")
                await seen(watch, Entry("mars", "web1", b"2"))

    asyncio.run(main())


def test_a_bucket_that_is_not_ours_is_refused(nats: DevCluster) -> None:
    async def main() -> None:
        async with shared_of(nats, "mars") as (connection, mars):
            changed = stream_config(connection.settings)
            changed.allow_rollup_hdrs, changed.deny_purge, changed.num_replicas = True, False, 1
            await connection.jetstream.add_stream(changed)  # type: ignore[reportUnknownMemberType]
            with pytest.raises(ClusterUnfit, match="allow_rollup_hdrs is True, not False; it has 1 replicas, not 3"):
                await mars.put("keys", "web1", b"1")

    asyncio.run(main())


@pytest.mark.usefixtures("nats")
def test_nobody_writes_for_another_master_or_takes_its_entries_away(tmp_path: Path) -> None:
    """With the permissions that `sylvite cluster dev` writes, and servers of its own for that."""
    nodes = ("mars", "ve.nus")
    plain = ClusterSettings()
    with DevCluster(tmp_path / "nats", {node: allowed_of(plain, node) for node in nodes}) as servers:

        async def main() -> None:
            async with AsyncExitStack() as stack:
                opened: list[tuple[Connection, Shared]] = []
                for node in nodes:
                    own = msgspec.structs.replace(
                        settings(servers, node=node), credentials=str(servers.credentials(node))
                    )
                    connection = await stack.enter_async_context(await Connection.open(own))
                    opened.append((connection, Shared(connection, node)))
                (_, mars), (connection, venus) = opened
                await put(mars, "web1", b"1")
                await put(venus, "web1", b"2")
                with pytest.raises(ClusterRefused, match="permissions violation"):
                    await Shared(connection, "mars").put("keys", "web1", b"forged")
                all_away = {"Nats-Rollup": "all"}
                with pytest.raises(ClusterError, match="rollup"), connection.asking("taking all away"):
                    subject = f"$KV.{bucket_name(plain)}.{encode('ve.nus')}.keys.web1"
                    await connection.jetstream.publish(subject, b"", headers=all_away)
                async with aclosing(venus.watch("keys")) as watch:
                    assert await all_of(watch) == [Entry("mars", "web1", b"1"), Entry("ve.nus", "web1", b"2")]

        asyncio.run(main())


def test_what_is_none_of_ours_in_the_bucket_is_passed_over(nats: DevCluster) -> None:
    async def main() -> None:
        async with shared_of(nats, "mars") as (connection, mars):
            await mars.put("keys", "web1", b"1")
            for key in ("mars.keys.a.b", "mars.keys.a%b"):
                await connection.jetstream.publish(f"$KV.{bucket_name(connection.settings)}.{key}", b"")
            async with aclosing(mars.watch("keys")) as watch:
                assert await all_of(watch) == [Entry("mars", "web1", b"1")]

    asyncio.run(main())


def test_a_bucket_is_one_of_the_key_value_store(nats: DevCluster) -> None:
    """So that the tools of NATS show it."""

    async def main() -> None:
        async with shared_of(nats, "mars") as (connection, mars):
            await mars.put("keys", "web1.example", b"1")
            bucket = await connection.jetstream.key_value(bucket_name(connection.settings))
            assert (await bucket.get("mars.keys.web1=2Eexample")).value == b"1"
            assert (await bucket.status()).stream_info.config.storage == api.StorageType.FILE

    asyncio.run(main())
