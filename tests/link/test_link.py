"""The link for real: two brokers as processes, TLS on loopback, a keyring on the disk."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from sylvite.auth.enrolment import read_pins
from sylvite.auth.keyring_values import State
from sylvite.auth.keys import make_pair
from sylvite.core.known_tags import BEACONS, OUTBOX, RETURN
from sylvite.link.minion_session import Arrived, MinionSession
from tests.link.nodes import JID, Node, buses, hurry, play, take, until


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def test_an_event_of_a_minion_reaches_the_masters_bus_in_salts_shape(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), node.minion(), buses(node) as (master, minion):
            await node.fire(minion, "myco/mytag/success", {"message": "It works!"})
            (event,) = await take(master, 1, "myco/")
            assert event.sender == "minion:alpha"
            assert {key: event.data[key] for key in ("id", "cmd", "tag", "data")} == {
                "id": "alpha",
                "cmd": "_minion_event",
                "tag": "myco/mytag/success",
                "data": {"message": "It works!"},
            }
            assert abs(event.data["ts"] - time.time()) < 60

    play(tmp_path, scene)


def test_a_minion_waits_until_its_key_is_accepted(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        async with node.master(), node.minion() as end, buses(node) as (master, minion):
            await node.fire(minion, "myco/early")
            await until(lambda: bool(node.keyring.all_keys("alpha")))
            (key,) = node.keyring.all_keys("alpha")
            assert key.state is State.PENDING
            assert not end.is_up
            node.keyring.accept("alpha", node.minion_pair.fingerprint, time.time_ns())
            await take(master, 1, "myco/early")
            acts = [event.data["act"] for event in await take(master, 2, "salt/key")]
            assert acts == ["pending", "accepted"]
            asked = [event.data["act"] for event in await take(master, 1, "salt/auth")]
            assert asked[0] == "pend"

    play(tmp_path, scene)


def test_what_is_fired_while_the_master_is_away_arrives_once_and_in_order(tmp_path: Path) -> None:
    """The master's link is stopped and started again, and the minion's too, under a minion that goes on firing."""

    async def scene(node: Node) -> None:
        node.accept()
        async with buses(node) as (master, minion):
            number = 0

            async def some(count: int) -> None:
                nonlocal number
                for _ in range(count):
                    await node.fire(minion, f"myco/{number % 7}", {"n": number})
                    number += 1

            await some(20)
            for _ in range(3):
                async with node.master():
                    async with node.minion() as end:
                        await until(lambda: end.is_up)
                        await some(30)
                    await some(10)
                    async with node.minion():
                        await some(30)
                await some(10)
            async with node.master(), node.minion():
                events = await take(master, number, "myco/")
            await asyncio.sleep(0)
            assert [event.data["data"]["n"] for event in events] == list(range(number))
            everything = [event async for event in await master.subscribe("myco/", since="oldest", until_end=True)]
            assert len(everything) == number

    play(tmp_path, scene)


def test_a_key_that_is_revoked_has_its_session_ended(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master() as end, node.minion() as minion_end_, buses(node) as (master, minion):
            await until(lambda: minion_end_.is_up)
            node.keyring.revoke("alpha", node.minion_pair.fingerprint, time.time_ns())
            await until(lambda: not end.sessions)
            await node.fire(minion, "myco/late")
            assert not [event async for event in await master.subscribe("myco/", since="oldest", until_end=True)]

    play(tmp_path, scene)


def test_a_master_with_another_key_is_told_nothing(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        other = read_pins([make_pair().fingerprint])
        async with node.master(), node.minion(pins=other) as end, buses(node) as (master, minion):
            await node.fire(minion, "myco/secret")
            await asyncio.sleep(0.3)
            assert not end.is_up
            assert node.keyring.all_keys() == []
            assert not [event async for event in await master.subscribe(since="oldest", until_end=True)]

    play(tmp_path, scene)


def test_a_job_goes_down_to_the_minions_it_names_and_its_return_comes_up(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), node.minion() as end, buses(node) as (master, minion):
            await until(lambda: end.is_up)
            job: dict[str, Any] = {
                "jid": JID,
                "fun": "test.ping",
                "arg": [],
                "tgt": "*",
                "tgt_type": "glob",
                "user": "root",
            }
            await master.publish(f"salt/job/{JID}/new", {**job, "minions": ["alpha"], "missing": []})
            await master.publish(f"salt/job/{JID}/publish", {**job, "ret": ""})
            (down,) = await take(minion, 1, "salt/job/")
            assert (down.tag, down.data["fun"]) == (f"salt/job/{JID}/publish", "test.ping")
            load = {"cmd": "_return", "jid": JID, "return": True, "retcode": 0, "success": True, "fun": "test.ping"}
            await minion.publish(OUTBOX, load)
            (back,) = await take(master, 1, f"salt/job/{JID}/ret/")
            assert (back.tag, back.data["return"]) == (f"salt/job/{JID}/ret/alpha", True)

    play(tmp_path, scene)


def test_what_a_minion_may_not_write_is_refused_and_told(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), node.minion(), buses(node) as (master, minion):
            await node.fire(minion, "salt/key", {"act": "accept"})
            await node.fire(minion, "salt/minion/beta/start")
            await node.fire(minion, "myco/fine")
            await take(master, 1, "myco/fine")
            told = await take(master, 1, "salt/link/refused")
            assert told[0].data["id"] == "alpha"
            assert told[0].data["first_tag"] == "salt/key"
            keys = [event async for event in await master.subscribe("salt/key", since="oldest", until_end=True)]
            assert all(event.sender.startswith("uid:") for event in keys)

    play(tmp_path, scene)


def test_a_stranger_with_an_id_that_is_taken_is_denied(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), buses(node) as (master, minion):
            async with node.minion() as end:
                await until(lambda: end.is_up)
            await node.fire(minion, "myco/forged")
            async with node.minion(pair=make_pair()) as stranger:
                await until(lambda: len(node.keyring.all_keys("alpha")) == 2)
                assert not stranger.is_up
            assert State.DENIED in {key.state for key in node.keyring.all_keys("alpha")}
            assert not [event async for event in await master.subscribe("myco/", since="oldest", until_end=True)]

    play(tmp_path, scene)


def test_what_beacons_have_seen_goes_up_as_the_events_in_it(tmp_path: Path) -> None:
    async def scene(node: Node) -> None:
        node.accept()
        async with node.master(), node.minion(), buses(node) as (master, minion):
            seen = [{"tag": "salt/beacon/alpha/load/", "data": {"id": "alpha", "1m": 5}}]
            await minion.publish(BEACONS, {"beacons": seen})
            (event,) = await take(master, 1, "salt/beacon/")
            assert (event.tag, event.data["1m"]) == ("salt/beacon/alpha/load/", 5)

    play(tmp_path, scene)


def keep_quiet(session: MinionSession, arrived: Arrived) -> None:
    """In the place of telling the minion that a load was taken."""


def test_a_return_that_nobody_asked_for_gets_one_jid_however_often_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The master has stored it, and the minion was not told: it says it again, and the master makes another jid."""

    async def scene(node: Node) -> None:
        node.accept()
        async with buses(node) as (master, minion):
            load: dict[str, Any] = {
                "cmd": "_return",
                "jid": "req",
                "fun": "test.ping",
                "fun_args": [],
                "return": True,
                "retcode": 0,
            }
            with monkeypatch.context() as deaf:
                deaf.setattr(MinionSession, "taken", keep_quiet)
                async with node.master(), node.minion():
                    await minion.publish(OUTBOX, {"tag": "myco/first", "data": {}})
                    await minion.publish(RETURN, load)
                    await take(master, 1, "salt/job/")
            async with node.master(), node.minion():
                await node.fire(minion, "myco/after")
                await take(master, 1, "myco/after")
            returned = await master.subscribe("salt/job/", since="oldest", until_end=True)
            (event,) = [event async for event in returned]
            assert event.tag == f"salt/job/{event.data['jid']}/ret/alpha"
            assert len(event.data["jid"]) == 20

    play(tmp_path, scene)


def test_a_job_that_is_published_while_a_minion_is_away_for_a_moment_reaches_it(tmp_path: Path) -> None:
    """Once: it does not do it again when it is back a second time."""

    async def scene(node: Node) -> None:
        node.accept()
        async with buses(node) as (master, minion):

            async def publish(jid: str) -> None:
                job: dict[str, Any] = {"jid": jid, "fun": "test.ping", "arg": [], "tgt": "*", "tgt_type": "glob"}
                await master.publish(f"salt/job/{jid}/new", {**job, "minions": ["alpha", "beta"]})
                await master.publish(f"salt/job/{jid}/publish", job)

            async with node.master() as end:
                async with node.minion() as first:
                    await until(lambda: first.is_up)
                await until(lambda: not end.sessions)
                await publish("20261123224631804181")
                for _ in range(2):
                    async with node.minion() as again:
                        await until(lambda again=again: again.is_up)
                        await take(minion, 1, "salt/job/20261123224631804181/publish")
                        await node.fire(minion, "myco/after")
                        await take(master, 1, "myco/after")
            brought = await minion.subscribe("salt/job/", since="oldest", until_end=True)
            assert len([event async for event in brought]) == 1

    play(tmp_path, scene)


def test_a_job_outlives_a_link_that_is_gone_again_before_its_minions_are_back(tmp_path: Path) -> None:
    """And one that was on its way when the link went, or has come already, comes once."""

    async def scene(node: Node) -> None:
        node.accept()
        async with buses(node) as (master, minion):

            async def publish(jid: str) -> None:
                job: dict[str, Any] = {"jid": jid, "fun": "test.ping", "arg": [], "tgt": "*", "tgt_type": "glob"}
                await master.publish(f"salt/job/{jid}/new", {**job, "minions": ["alpha"]})
                await master.publish(f"salt/job/{jid}/publish", job)

            async with node.master(), node.minion() as first:
                await until(lambda: first.is_up)
                await publish("20261123224631804181")
                await take(minion, 1, "salt/job/20261123224631804181/publish")
            await publish("20261123224631804182")
            for _ in range(2):
                async with node.master(), node.minion("beta", make_pair()):
                    # By then the link has read all that the log has.
                    await until(lambda: bool(node.keyring.all_keys("beta")))
            async with node.master(), node.minion():
                await take(minion, 2, "salt/job/")
                await node.fire(minion, "myco/after")
                await take(master, 1, "myco/after")
            brought = await minion.subscribe("salt/job/", since="oldest", until_end=True)
            assert [event.data["jid"][-1] async for event in brought] == ["1", "2"]

    play(tmp_path, scene)
