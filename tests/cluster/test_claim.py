"""Two masters of one name: the later one stops, whatever has happened to the earlier one meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from sylvite.cli.exit_codes import CONFIGURATION
from sylvite.client.sync_client import Client
from sylvite.cluster.claim import Claim, Claims, has_ended, of_this_process
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import DevCluster
from sylvite.core.event import Event
from tests.cluster.masters import Master
from tests.cluster.servers import settings

WITHIN_S = 60.0


def test_who_has_ended_is_known_on_the_same_machine_alone() -> None:
    ours = of_this_process("abc")
    assert not has_ended(ours)
    gone = msgspec.structs.replace(ours, pid=2**22 + 1)
    assert has_ended(gone)
    assert not has_ended(msgspec.structs.replace(gone, boot="another"))
    assert not has_ended(msgspec.structs.replace(gone, space="another"))
    assert not has_ended(Claim("someone"))


def told(client: Client, name: str) -> Event:
    with client.subscribe(f"sylvite/cluster/{name}", since="oldest") as events:
        event = events.next(WITHIN_S)
    assert event is not None, f"{name} is not told"
    return event


def replicate(master: Master, tag: str) -> None:
    """Publish, so that the bridge has the name and works."""
    with Client.connect(master.socket) as client:
        client.publish(tag, {}, level="replicated", timeout_s=WITHIN_S)


def exit_code(master: Master) -> int:
    assert master.bridge is not None
    return master.bridge.wait(WITHIN_S)


def play_a_second_of_the_same_name(folder: Path, nats: DevCluster, without: str | None = None) -> None:
    with Master(folder / "first", nats, "mars") as first:
        replicate(first, "a")
        with Master(folder / "second", nats, "mars", without=without) as second:
            if without is not None:
                replicate(second, "b")
                assert second.bridge is not None
                assert second.bridge.poll() is not None, "both go on"
            assert exit_code(second) == CONFIGURATION
            assert "the name 'mars' belongs to another master" in second.bridge_log.read_text()
            with Client.connect(second.socket) as client:
                assert told(client, "name_taken").data["node"] == "mars"
        with Client.connect(first.socket) as client:
            assert f"process {os.getpid()}" not in told(client, "rival").data["where"]
        replicate(first, "c")
        # The first one goes in order: a third has the name at once, with a log of its own.
        assert first.end_bridge() == 0
        first.bridge = None
        with Master(folder / "third", nats, "mars") as third:
            replicate(third, "d")


def test_the_later_of_two_stops_and_the_earlier_goes_on(nats: DevCluster, tmp_path: Path) -> None:
    play_a_second_of_the_same_name(tmp_path, nats)


@pytest.mark.long
def test_a_bridge_that_claims_no_name_is_found_out(nats: DevCluster, tmp_path: Path) -> None:
    """Negative control."""
    with pytest.raises(AssertionError, match="both go on"):
        play_a_second_of_the_same_name(tmp_path, nats, without="the claim")


def test_who_stood_still_finds_its_name_taken(nats: DevCluster, tmp_path: Path) -> None:
    with Master(tmp_path / "first", nats, "mars") as first, Master(tmp_path / "second", nats, "venus") as other:
        replicate(first, "a")
        first.pause_bridge()
        with Master(tmp_path / "third", nats, "mars") as second:
            replicate(second, "b")
            first.resume_bridge()
            assert exit_code(first) == CONFIGURATION
            assert "has taken it while this one was not heard" in first.bridge_log.read_text()
            replicate(second, "c")
            replicate(other, "d")


def test_a_killed_one_is_back_at_once_here_and_after_a_moment_elsewhere(nats: DevCluster, tmp_path: Path) -> None:
    async def as_from_another_machine() -> None:
        async with await Connection.open(settings(nats)) as connection:
            claims = Claims(connection, "mars")
            seen = await claims.read()
            assert seen.claim is not None
            assert await claims.write(msgspec.structs.replace(seen.claim, boot="another"), seen.number)
            assert await claims.write(seen.claim, seen.number) is None  # Somebody was faster.

    with Master(tmp_path / "mars", nats, "mars") as mars:
        replicate(mars, "a")
        for is_elsewhere in (False, True):
            mars.kill_bridge()
            if is_elsewhere:
                asyncio.run(as_from_another_machine())
            mars.start_bridge()
            replicate(mars, "b")


@pytest.mark.long
def test_the_copy_of_a_machine_goes_on_once_the_original_has_gone(nats: DevCluster, tmp_path: Path) -> None:
    """Also where the original went on after the copy was made: the places of their events are of two epochs."""
    with Master(tmp_path / "venus", nats, "venus") as venus:
        mars = Master(tmp_path / "mars", nats, "mars")
        with mars:
            replicate(mars, "n/1")
        shutil.copytree(tmp_path / "mars", tmp_path / "copy")
        with mars:
            replicate(mars, "n/2")
            replicate(mars, "n/3")
        with Master(tmp_path / "copy", nats, "mars") as copy, Client.connect(venus.socket) as client:
            replicate(copy, "n/4")
            with client.subscribe("n", since="oldest") as events:
                heard = [events.next(WITHIN_S) for _ in range(4)]
        assert [event.tag for event in heard if event is not None] == ["n/1", "n/2", "n/3", "n/4"]
