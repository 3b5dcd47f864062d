"""The servers that `sylvite cluster dev` and tests run: real ones, with the settings that keep our promises."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from pathlib import Path

import pytest
from nats.js.api import KeyValueConfig

from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import Allowed, DevCluster
from sylvite.errors import InvalidSetting
from tests.cluster.servers import is_paused, once_led, runs, settings
from tests.daemons.nodes import WITHIN_S, until


def test_servers_elect_a_leader_and_keep_what_they_acknowledged(nats: DevCluster) -> None:
    """Also when the leader is killed, and comes back."""

    async def main() -> None:
        leader = await nats.wait_until_led()
        async with await Connection.open(settings(nats)) as connection:
            bucket = await connection.jetstream.create_key_value(KeyValueConfig("b", replicas=3))  # type: ignore[reportUnknownMemberType]
            await once_led(lambda: bucket.put("k", b"kept"))
            nats.kill(leader)
            assert leader not in nats.pids
            assert await nats.wait_until_led(count=2) != leader
            nats.restart_all()
            await nats.wait_until_led()
            async with await Connection.open(settings(nats)) as other:
                assert await _kept(other) == b"kept"

    asyncio.run(main())


async def _kept(connection: Connection) -> bytes | None:
    """What is kept under a name; asked again while servers find their leader."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            with contextlib.suppress(TimeoutError):
                return (await (await connection.jetstream.key_value("b")).get("k")).value


def test_a_server_can_be_paused(nats: DevCluster) -> None:
    pid = nats.pids["n2"]
    nats.pause("n2")
    until(lambda: is_paused(pid))
    nats.resume("n2")
    until(lambda: not is_paused(pid))


def test_nobody_else_can_read_what_is_kept(nats: DevCluster) -> None:
    # What the servers take away meanwhile is passed over.
    for folder, folders, names in os.walk(nats.folder):
        here = Path(folder)
        with contextlib.suppress(FileNotFoundError):
            assert not folders or here.stat().st_mode & 0o077 == 0
            for path in [here / name for name in names if "jetstream" not in here.parts]:
                assert path.suffix == ".log" or stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(nats.folder.stat().st_mode) == 0o700


def test_a_second_start_finds_ports_keys_and_content(tmp_path: Path) -> None:
    with DevCluster(tmp_path / "c", {"mars": Allowed(), "venus": Allowed()}) as first:
        urls, seed, pids = first.urls, first.credentials("venus").read_text(), first.pids
    assert first.pids == {}
    assert not any(runs(pid) for pid in pids.values())
    with DevCluster(tmp_path / "c", {"mars": Allowed(), "venus": Allowed()}) as second:
        assert (second.urls, second.credentials("venus").read_text()) == (urls, seed)
    kept = tmp_path / "c" / "cluster.json"
    kept.write_text(kept.read_text().replace('"n2"', '"b"'))
    with pytest.raises(InvalidSetting, match="has other servers than ours; choose another folder"):
        DevCluster(tmp_path / "c").prepare()
    kept.write_text("{}")
    with pytest.raises(InvalidSetting, match="is not ours"):
        DevCluster(tmp_path / "c").prepare()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Not one process is left."""
    (tmp_path / "c" / "n1").mkdir(parents=True)
    (tmp_path / "c" / "n1" / "jetstream").write_text("no folder")
    servers = DevCluster(tmp_path / "c")
    with pytest.raises(InvalidSetting, match=r"n1.*has ended: .*storage directory"):
        servers.start()
    assert servers.pids == {}
