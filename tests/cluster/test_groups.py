"""Groups of readers on two masters, with real servers, brokers and bridges: nothing is lost, and each event is done once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sylvite.cli.exit_codes import NO
from sylvite.client.sync_client import Client
from sylvite.cluster import holding
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.groups import Group
from sylvite.cluster.holding import Batch
from sylvite.cluster.leases import Leases
from sylvite.cluster.part import Position
from sylvite.cluster.permissions import allowed_of
from sylvite.cluster.positions import Entry, Positions, bucket_name, part_name
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.tenure import Fence
from sylvite.errors import ClusterUnfit, InvalidSetting, LeaseLost
from tests.cli.program import Program
from tests.cluster.masters import Master
from tests.cluster.members import MemberProcess
from tests.cluster.servers import settings
from tests.daemons.nodes import until

WITHIN_S = 60.0
EVERY_S = 0.02
LIFE_S = 2.0


@contextmanager
def two_masters(folder: Path, nats: DevCluster) -> Generator[tuple[Master, Master]]:
    with Master(folder / "mars", nats, "mars") as mars, Master(folder / "venus", nats, "venus") as venus:
        yield mars, venus


def publish(master: Master, first: int, count: int) -> None:
    with Client.connect(master.socket) as client:
        for number in range(first, first + count):
            client.publish(f"t/{master.node}", {"n": number})


class Publishing:
    """Publishes on masters, each its own numbers, while it is entered.  `count`: the next one on each."""

    def __init__(self, *masters: Master, first: int = 0) -> None:
        self.count = first
        self._masters = masters
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Publishing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        clients = [Client.connect(master.socket) for master in self._masters]
        while not self._ending.wait(EVERY_S):
            for master, client in zip(self._masters, clients, strict=True):
                client.publish(f"t/{master.node}", {"n": self.count})
            self.count += 1
        for client in clients:
            client.close()


def has(member: MemberProcess, node: str, above: int = -1) -> Callable[[], bool]:
    return lambda: any(line["node"] == node and line["data"]["n"] > above for line in member.lines())


def check_order(lines: list[dict[str, Any]]) -> None:
    """Of each master everything came in order; only what is said to have been handed out before goes back."""
    for node in ("mars", "venus"):
        of_node = [(line["data"]["n"], "redelivered" in line) for line in lines if line["node"] == node]
        assert all(
            after == before + 1 or is_again or after > before for (before, _), (after, is_again) in pairwise(of_node)
        )


def test_members_that_are_killed_and_paused_lose_nothing_and_double_only_what_they_did_not_acknowledge(
    nats: DevCluster, tmp_path: Path
) -> None:
    """While events flow on both masters: one member is killed, another one stands still and goes on, a third takes over from both."""
    with (
        two_masters(tmp_path, nats) as (mars, venus),
        MemberProcess(mars, "g", tmp_path / "first", "t/", quick=True) as first,
        MemberProcess(venus, "g", tmp_path / "second", "t/", quick=True) as second,
        MemberProcess(mars, "g", tmp_path / "third", "t/", quick=True) as third,
    ):
        members = [first, second, third]
        with Publishing(mars, venus) as publishing:
            until(lambda: bool(first.lines() or third.lines()) and has(second, "venus")())
            first.kill()
            second.pause()
            until(lambda: has(third, "mars")() and has(third, "venus")())
            back = publishing.count
            second.resume()
            until(lambda: has(second, "venus", back)() and has(third, "mars", back)())
        wanted = {(node, number) for node in ("mars", "venus") for number in range(publishing.count)}
        until(lambda: wanted <= set(_numbers(members)))
        assert (second.stop(), third.stop()) == (0, 0)
    lines = [member.lines() for member in members]
    for each in lines:
        check_order(each)
    assert set(_numbers(members)) == wanted
    fresh = Counter((line["node"], line["data"]["n"]) for each in lines for line in each if "redelivered" not in line)
    assert max(fresh.values()) == 1, "twice, and not said so"
    assert sum(count - 1 for count in Counter(_numbers(members)).values()) < len(wanted) / 2


def _numbers(members: list[MemberProcess]) -> list[tuple[str, int]]:
    return [(line["node"], line["data"]["n"]) for member in members for line in member.lines()]


async def take(group: Group, count: int, *, acknowledge: bool = True) -> list[Batch]:
    """Return so many events, or a few more."""
    found: list[Batch] = []
    async with asyncio.timeout(WITHIN_S):
        async for batch in group.read():
            found.append(batch)
            if acknowledge:
                await batch.acknowledge()
            if sum(len(each.events) for each in found) >= count:
                break
    return found


def numbers(batches: list[Batch]) -> list[tuple[str, int]]:
    return sorted((batch.node, event.data["n"]) for batch in batches for event in batch.events)


def run_on(nats: DevCluster, node: str, do: Callable[[Connection], Awaitable[Any]], **changes: Any) -> Any:
    async def main() -> Any:
        async with await Connection.open(settings(nats, node=node, **changes)) as connection:
            return await do(connection)

    return asyncio.run(main())


def test_a_reader_that_moves_to_another_master_goes_on_where_it_was(nats: DevCluster, tmp_path: Path) -> None:
    """And what it was handed out and has not acknowledged comes again, and says so."""

    async def read(connection: Connection, count: int, *, acknowledge: bool = True) -> list[Batch]:
        async with Group(connection, "mover", "t/", life_s=LIFE_S) as group:
            return await take(group, count, acknowledge=acknowledge)

    def of_both(first: int) -> list[tuple[str, int]]:
        return [(node, first + number) for node in ("mars", "venus") for number in range(5)]

    with two_masters(tmp_path, nats) as (mars, venus):
        for master in (mars, venus):
            publish(master, 0, 5)
        assert numbers(run_on(nats, "mars", lambda connection: read(connection, 10))) == of_both(0)
        for master in (mars, venus):
            publish(master, 5, 5)
        given = run_on(nats, "venus", lambda connection: read(connection, 1, acknowledge=False))
        assert not any(batch.redelivered for batch in given)
        again = run_on(nats, "mars", lambda connection: read(connection, 10))
        assert numbers(again) == of_both(5)
        (node,) = {batch.node for batch in given}
        first = next(batch for batch in again if batch.node == node)
        assert first.redelivered
        assert first.events[0].envelope()["redelivered"] is True
        assert not any(batch.redelivered for batch in again if batch.node != node)
        check_what_is_shown(Program(mars.bus.folder / "none.sock", tmp_path), mars)


def check_what_is_shown(program: Program, master: Master) -> None:
    """How far the group is that has read ten events, and that it can be forgotten."""
    of_master = ("--config", str(master.file))
    (group,) = json.loads(program("cluster", "groups", "--json", *of_master).out)
    assert group["name"] == "mover"
    assert [(part["node"], part["holder"], part["until"] >= 10) for part in group["parts"]] == [
        ("mars", "", True),
        ("venus", "", True),
    ]
    header, *rows = program("cluster", "status", *of_master).lines[-3:]
    assert header.split() == ["GROUP", "EVENTS", "OF", "HELD", "BY", "DONE", "UP", "TO", "BEHIND", "BY"]
    assert [row.split()[:3] for row in rows] == [["mover", "mars", "nobody"], ["mover", "venus", "nobody"]]
    assert program("cluster", "groups", "--delete", "mover", *of_master).lines == ["forgotten: mover"]
    assert program("cluster", "groups", "--delete", "mover", *of_master).code == NO


def test_a_new_group_can_begin_with_what_comes(nats: DevCluster, tmp_path: Path) -> None:
    """Of a master that nobody knew then, that is all."""

    async def main(connection: Connection, mars: Master) -> None:
        async with Group(connection, "g", "t/", newest=True, life_s=LIFE_S) as group:
            await asyncio.to_thread(publish, mars, 5, 5)
            assert numbers(await take(group, 5)) == [("mars", number) for number in range(5, 10)]
            await asyncio.to_thread(late, mars)
            assert numbers(await take(group, 3)) == [("venus", number) for number in range(3)]

    def late(mars: Master) -> None:
        with Master(tmp_path / "venus", nats, "venus") as venus:
            publish(venus, 0, 3)
            with Client.connect(mars.socket) as client, client.subscribe("t/venus", since="oldest") as events:
                assert [events.next(WITHIN_S) is not None for _ in range(3)] == [True] * 3

    with Master(tmp_path / "mars", nats, "mars") as mars:
        with Client.connect(mars.socket) as client:
            for number in range(5):
                client.publish("t/mars", {"n": number}, level="replicated", timeout_s=WITHIN_S)
        run_on(nats, "mars", lambda connection: main(connection, mars))


def test_a_member_that_was_overtaken_cannot_move_the_position(nats: DevCluster, tmp_path: Path) -> None:
    """Though it believes that it has the lease: it has stood still, and does not know for how long."""

    async def main(connection: Connection) -> None:
        positions = Positions(connection)
        async with Group(connection, "g", "t/", life_s=30.0) as group:
            (batch,) = await take(group, 1, acknowledge=False)
            there, _ = await positions.read("g", "mars")
            assert there is not None
            later = Fence(there.fence.epoch, there.fence.revision + 1)
            entry, _ = await positions.claim("g", "mars", later, Position())
            assert entry.position == there.position
            with pytest.raises(LeaseLost, match="mars has taken over since"):
                await batch.acknowledge()
            with pytest.raises(LeaseLost, match="a tenure that began later has asked since"):
                await positions.claim("g", "mars", there.fence, Position())
            assert (await positions.read("g", "mars")).entry == entry

    with Master(tmp_path / "mars", nats, "mars") as mars:
        publish(mars, 0, 5)
        run_on(nats, "mars", main)


def test_without_the_fence_it_could(nats: DevCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: who writes whatever is there, moves a position back that another one has moved on."""

    async def blindly(positions: Positions, group: str, node: str, entry: Entry, _: int) -> int:
        bucket = await connection_of(positions).jetstream.key_value("sylvite_groups")
        return await bucket.put(f"{group}.part.{node}", msgspec.json.encode(entry))

    def connection_of(positions: Positions) -> Connection:
        return vars(positions)["_connection"]

    async def main(connection: Connection, group: str) -> tuple[int, int]:
        first, second = Positions(connection), Positions(connection)
        stale, revision = await first.claim(group, "mars", Fence(1, 1), Position())
        entry, later = await second.claim(group, "mars", Fence(1, 2), Position())
        await second.write(group, "mars", msgspec.structs.replace(entry, position=Position(number=9)), later)
        try:
            await first.write(group, "mars", msgspec.structs.replace(stale, position=Position(number=3)), revision)
        except LeaseLost:
            pass
        there = (await second.read(group, "mars")).entry
        assert there is not None
        return there.position.number, there.fence.revision

    assert run_on(nats, "mars", lambda connection: main(connection, "with")) == (9, 2)
    monkeypatch.setattr(Positions, "write", blindly)
    assert run_on(nats, "mars", lambda connection: main(connection, "without")) == (3, 1)


def test_positions_that_are_lost_are_written_again_by_who_knows_them(nats: DevCluster, tmp_path: Path) -> None:
    """What was handed out and not acknowledged when they went comes again, and says so."""

    async def main(connection: Connection, mars: Master) -> None:
        async with Group(connection, "g", "t/", life_s=LIFE_S) as group:
            first = await take(group, 5)
            await asyncio.to_thread(publish, mars, 5, 5)
            (batch,) = await take(group, 1, acknowledge=False)
            await connection.jetstream.delete_stream(f"KV_{bucket_name(connection.settings)}")
            with pytest.raises(LeaseLost, match="its position is gone"):
                await batch.acknowledge()
            again = await take(group, 5)
            assert [number for _, number in numbers(first)] == list(range(5))
            assert [number for _, number in numbers(again)] == list(range(5, 10))
            assert again[0].redelivered

    with Master(tmp_path / "mars", nats, "mars") as mars:
        publish(mars, 0, 5)
        run_on(nats, "mars", lambda connection: main(connection, mars))


@pytest.mark.long
def test_servers_that_die_and_stand_still_lose_nothing(nats: DevCluster, tmp_path: Path) -> None:
    """Its own server is killed; then all stand still for longer than a tenure, and what was not acknowledged comes again."""

    async def main(connection: Connection, publishing: Publishing) -> list[tuple[str, int, bool]]:
        seen: list[tuple[str, int, bool]] = []

        async def read(group: Group) -> None:
            async for batch in group.read():
                seen.extend((batch.node, event.data["n"], batch.redelivered) for event in batch.events)
                try:
                    await batch.acknowledge()
                except LeaseLost:
                    continue

        async def until_seen(number: int) -> None:
            async with asyncio.timeout(2 * WITHIN_S):
                while {("mars", number), ("venus", number)} - {each[:2] for each in seen}:
                    await asyncio.sleep(0.05)

        async with Group(connection, "g", "t/", life_s=LIFE_S) as group:
            reading = asyncio.create_task(read(group))
            await until_seen(10)
            nats.kill(connection.server)
            await until_seen(publishing.count)
            nats.restart_all()
            for server in nats.servers:
                nats.pause(server.name)
            await asyncio.sleep(2 * LIFE_S)
            for server in nats.servers:
                nats.resume(server.name)
            publishing.__exit__()
            await until_seen(publishing.count - 1)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return seen

    with two_masters(tmp_path, nats) as (mars, venus), Publishing(mars, venus) as publishing:
        seen = run_on(nats, "mars", lambda connection: main(connection, publishing))
        for node in ("mars", "venus"):
            fresh = [number for of, number, is_again in seen if of == node and not is_again]
            assert fresh == sorted(set(fresh))
            assert {number for of, number, _ in seen if of == node} == set(range(publishing.count))


@pytest.mark.long
def test_what_the_stream_keeps_no_longer_is_asked_for_and_comes_from_the_log(
    nats: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has read for longer than that: what comes then stands behind a hole."""
    monkeypatch.setattr(holding, "LATE_S", 0.5)
    kept: dict[str, Any] = {"keep_s": 2.0, "keep_bytes": None}

    async def read(connection: Connection, count: int) -> list[tuple[str, int]]:
        async with Group(connection, "g", "t/", life_s=LIFE_S) as group:
            return numbers(await take(group, count))

    async def is_empty(connection: Connection) -> None:
        async with asyncio.timeout(WITHIN_S):
            while (await connection.jetstream.stream_info("sylvite_log")).state.messages:
                await asyncio.sleep(0.1)

    with Master(tmp_path / "mars", nats, "mars", **kept) as mars:
        publish(mars, 0, 5)
        assert len(run_on(nats, "mars", lambda connection: read(connection, 5), **kept)) == 5
        publish(mars, 5, 5)
        run_on(nats, "mars", is_empty, **kept)
        with Publishing(mars, first=10):
            here = run_on(nats, "mars", lambda connection: read(connection, 6), **kept)
        assert here == [("mars", number) for number in range(5, 5 + len(here))]


def test_each_master_may_do_it_with_its_own_user(tmp_path: Path) -> None:
    plain = ClusterSettings()
    with DevCluster(tmp_path / "nats", {node: allowed_of(plain, node) for node in ("mars", "venus")}) as servers:

        async def main() -> None:
            given = [
                settings(servers, node=node, credentials=str(servers.credentials(node))) for node in ("mars", "venus")
            ]
            async with (
                await Connection.open(given[0]) as mars,
                await Connection.open(given[1]) as venus,
                Group(mars, "g") as first,
                Group(venus, "g") as second,
            ):
                assert (first.parts, second.parts) == ([], [])
                positions = Positions(venus)
                await positions.claim("g", "a.b", Fence(1, 1), Position())
                assert list((await positions.groups())["g"]) == ["a.b"]
                async with Leases(mars).hold(part_name("g", "a.b")) as lease:
                    await asyncio.wait_for(lease.held(), WITHIN_S)
                assert await positions.delete("g")
                assert not await positions.delete("g")

        asyncio.run(main())


def test_what_is_none_of_ours_is_refused(nats: DevCluster) -> None:
    async def foreign(connection: Connection) -> None:
        name = bucket_name(connection.settings)
        await connection.jetstream.add_stream(name=f"KV_{name}", subjects=[f"$KV.{name}.>"], num_replicas=1)  # type: ignore[reportUnknownMemberType]
        with pytest.raises(ClusterUnfit, match="it has 1 replicas, not 3"):
            async with Group(connection, "g"):
                pass
        with pytest.raises(InvalidSetting, match="must be 1 to 80 letters"):
            Group(connection, "no name")

    run_on(nats, "mars", foreign)
