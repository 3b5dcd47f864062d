"""Who is here: facts, presence, heartbeats, limits, for real."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from sylvite import Event
from sylvite.auth.keys import make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.core.event import pack_data
from sylvite.jobs.minions import MinionRecord, read_minions
from sylvite.link import master_end
from sylvite.testing.broker import BrokerProcess
from tests.link.nodes import SETTINGS, Node, buses, hurry, play, take, until

PRESENCE = msgspec.structs.replace(SETTINGS, presence_events=True, loop_interval_s=0.3)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr("sylvite.link.presence.LINGER_S", 0.1)


def record(node: Node) -> MinionRecord | None:
    with read_minions(node.folder / "minions.db") as minions:
        return next(iter(minions.records()), None)


def ignore(wire: object, data: bytes) -> None:
    """In the place of what a minion does with what it receives."""


def is_here(node: Node) -> bool:
    known = record(node)
    return known is not None and known.is_present


async def changes(bus: AsyncClient) -> list[Event]:
    subscription = await bus.subscribe("salt/presence/change", since="oldest", until_end=True)
    return [event async for event in subscription]


def test_who_comes_and_goes_is_told_and_kept(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(PRESENCE), buses(node) as (master, _):
            async with node.minion() as end:
                await until(lambda: end.is_up)
                (came,) = await take(master, 1, "salt/presence/change")
                assert {"new": came.data["new"], "lost": came.data["lost"]} == {"new": ["alpha"], "lost": []}
                await master.wait("salt/presence/present", where="'alpha' in data.present", timeout_s=20)
                await until(lambda: is_here(node))
            lost = (await take(master, 2, "salt/presence/change"))[1]
            assert {"new": lost.data["new"], "lost": lost.data["lost"]} == {"new": [], "lost": ["alpha"]}
            await until(lambda: not is_here(node))
            known = record(node)
            assert known is not None
            assert (known.address, known.reason) == ("127.0.0.1", "goodbye: the minion is stopping")

    play(tmp_path, scene)


def test_a_link_that_starts_anew_tells_nobody_new(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with buses(node) as (master, _):
            async with node.master(PRESENCE), node.minion() as end:
                await until(lambda: end.is_up)
                await take(master, 1, "salt/presence/change")
                await until(lambda: is_here(node))
            # The minion was told to stop after its master was gone: it is missed, not lost.
            async with node.master(PRESENCE), node.minion() as end:
                await until(lambda: end.is_up)
                present = await master.wait("salt/presence/present", timeout_s=20)
                assert present.data["present"] == ["alpha"]
                await until(lambda: is_here(node))
            assert [event.data["new"] for event in await changes(master)] in (
                [["alpha"]],
                [["alpha"], []],
            )

    play(tmp_path, scene)


def test_no_events_of_presence_where_they_are_off(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), buses(node) as (master, _):
            async with node.minion() as end:
                await until(lambda: end.is_up)
                await until(lambda: is_here(node))
            await until(lambda: not is_here(node))
            assert not [
                event async for event in await master.subscribe("salt/presence/", since="oldest", until_end=True)
            ]

    play(tmp_path, scene)


def test_the_grains_of_a_minion_are_kept_under_its_own_id(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), buses(node) as (master, _), node.minion() as end:
            end.tell(pack_data({"id": "beta", "os": "Debian"}))
            (told,) = await take(master, 1, "minion/refresh/")
            assert told.tag == "minion/refresh/alpha"
            assert told.data["Minion data cache refresh"] == "alpha"
            with read_minions(node.folder / "minions.db") as minions:
                assert minions.grains() == {"alpha": {"id": "alpha", "os": "Debian"}}
            end.tell(pack_data({"os": "Ubuntu"}))
            await take(master, 2, "minion/refresh/")
            with read_minions(node.folder / "minions.db") as minions:
                assert minions.grains_of("alpha")["os"] == "Ubuntu"

    play(tmp_path, scene)


@pytest.mark.parametrize("off", ["minion_data_cache", "minion_data_cache_events"])
def test_options_gate_what_is_kept_of_grains_and_told(tmp_path: Path, off: str) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        settings = msgspec.structs.replace(SETTINGS, **{off: False})
        async with node.master(settings), buses(node) as (master, minion), node.minion() as end:
            end.tell(pack_data({"os": "Debian"}))
            await until(lambda: end.is_up)
            await node.fire(minion, "myco/after")
            await take(master, 1, "myco/after")
            await until(lambda: is_here(node))
            with read_minions(node.folder / "minions.db") as minions:
                assert bool(minions.grains()) == (off == "minion_data_cache_events")
            refreshed = await master.subscribe("minion/refresh/", since="oldest", until_end=True)
            assert not [event async for event in refreshed]

    play(tmp_path, scene)


def test_a_minion_beyond_max_minions_is_turned_away_as_full(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        beta = make_pair()
        node.keyring.expect("beta", beta.fingerprint, 1)
        settings = msgspec.structs.replace(SETTINGS, max_minions=1)
        async with node.master(settings), buses(node) as (master, _), node.minion() as first:
            await until(lambda: first.is_up)
            async with node.minion("beta", beta, socket=other.socket) as second:
                event = await master.wait("salt/auth", where="data.act == 'full'", since="oldest", timeout_s=20)
                assert (event.data["id"], event.data["result"]) == ("beta", False)
                assert not second.is_up

    with BrokerProcess(tmp_path / "beta") as other:
        play(tmp_path, scene)


def test_a_minion_that_is_silent_is_asked_and_then_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is dead and was never closed: the cable was cut, the machine lost its power."""
    monkeypatch.setattr(master_end, "BEATS_S", 0.05)
    monkeypatch.setattr(master_end, "PING_S", 0.1)
    monkeypatch.setattr(master_end, "SILENT_S", 0.5)

    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(PRESENCE) as end, buses(node) as (master, _), node.minion() as minion:
            await until(lambda: minion.is_up)
            await asyncio.sleep(1.0)
            assert "alpha" in end.sessions, "it has answered, and stays"
            monkeypatch.setattr(minion, "received", ignore)
            await until(lambda: not is_here(node))
            known = record(node)
            assert known is not None
            assert known.reason == "nothing was heard of it"
            change = (await take(master, 2, "salt/presence/change"))[1]
            assert change.data["lost"] == ["alpha"]

    play(tmp_path, scene)


def test_of_a_minion_whose_key_was_deleted_nothing_is_known_any_more(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), buses(node) as (master, _), node.minion() as end:
            end.tell(pack_data({"os": "Debian"}))
            await take(master, 1, "minion/refresh/")
            node.keyring.delete("alpha", node.minion_pair.fingerprint, 1)
            await until(lambda: record(node) is None)

    play(tmp_path, scene)


def test_two_machines_with_one_key_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that was cloned, its key with it: each takes over the connection of the other."""
    monkeypatch.setattr("sylvite.link.patience.TAKEN_OVER_S", 0.05)

    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), buses(node) as (master, _), node.minion(), node.minion(socket=other.socket):
            (told,) = await take(master, 1, "salt/link/twins")
            assert (told.data["id"], told.data["addresses"]) == ("alpha", ["127.0.0.1"])

    with BrokerProcess(tmp_path / "other") as other:
        play(tmp_path, scene)


def test_strangers_do_not_keep_a_minion_waiting(tmp_path: Path) -> None:
    """As many as fit hold connections open, say half of a hello, or nonsense: who is in, and who comes, do not notice."""
    settings = msgspec.structs.replace(SETTINGS, line_max=40, line_per_address_max=30, half_open_max=5)

    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(settings) as end, buses(node) as (master, minion):
            streams = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(40)]
            for number, (_, writer) in enumerate(streams):
                writer.write((b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", b"")[number % 3])
            async with node.minion() as known:
                await until(lambda: known.is_up)
                await node.fire(minion, "myco/through")
                await take(master, 1, "myco/through")
            assert end.door.turned_away > 0
            for _, writer in streams:
                writer.close()
            await until(lambda: len(end.door) == 0)

    play(tmp_path, scene)
