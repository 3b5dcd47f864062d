"""The beacons of a minion, as the process that they are."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from sylvite.client.async_client import AsyncClient
from sylvite.core.event import pack_data
from sylvite.daemons.beacons import running_beacons
from sylvite.daemons.configuration import Configuration, minion_configuration
from sylvite.daemons.options.minion import MinionOptions
from sylvite.testing.broker import BrokerProcess

WITHIN_S = 60.0


@pytest.fixture
def broker(tmp_path: Path) -> Generator[BrokerProcess]:
    with BrokerProcess(tmp_path / "bus") as process:
        yield process


def configured(folder: Path, **watched: Any) -> Configuration[MinionOptions]:
    """Return the options of a minion, which stand in a file, with beacons below the same folder."""
    file = folder / "minion"
    file.write_text(
        json.dumps({"id": "web1", "file_roots": {"base": [str(folder)]}, "root_dir": str(folder), "beacons": watched})
    )
    file.chmod(0o600)
    return minion_configuration(file)


def opts(folder: Path, **watched: Any) -> dict[str, Any]:
    return {"id": "web1", "beacon_dirs": [str(folder)], "beacons": watched}


def processes() -> set[int]:
    """Return the processes of beacons that we have started."""
    found: set[int] = set()
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        if b"beacon_process" in Path(f"/proc/{child}/cmdline").read_bytes():
            found.add(int(child))
    return found


def test_what_they_tell_is_on_the_bus_again_after_a_kill(tmp_path: Path, broker: BrokerProcess) -> None:
    async def watch() -> None:
        async with (
            AsyncClient.connect(broker.socket) as client,
            await client.subscribe(exact="__beacons_return") as told,
            running_beacons(configured(tmp_path, status=[{"uptime": ["all"]}, {"interval": 0.2}]), broker.socket),
        ):
            first = await told.next(WITHIN_S)
            assert first is not None
            event = first.data["beacons"][0]
            assert event["beacon_name"] == "status"
            assert event["tag"].startswith("salt/beacon/web1/status/")
            assert event["data"]["data"]["uptime"]["seconds"] > 0
            assert "_stamp" in first.data

            (pid,) = processes()
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(WITHIN_S):
                while not processes() - {pid}:
                    await asyncio.sleep(0.05)
                began = await told.next(WITHIN_S)
                assert began is not None
        assert not processes()

    asyncio.run(watch())


def test_one_that_hangs_does_not_hold_up_the_end(tmp_path: Path, broker: BrokerProcess) -> None:
    (tmp_path / "_beacons").mkdir(mode=0o755)
    (tmp_path / "_beacons" / "stuck.py").write_text(
        f"import pathlib, time\ndef beacon(config):\n    pathlib.Path({str(tmp_path / 'in')!r}).touch()\n    time.sleep(3600)\n"
    )
    (tmp_path / "_beacons" / "stuck.py").chmod(0o644)

    async def watch() -> None:
        async with running_beacons(configured(tmp_path, stuck=[]), broker.socket), asyncio.timeout(WITHIN_S):
            while not (tmp_path / "in").exists():
                await asyncio.sleep(0.05)
        assert not processes()

    asyncio.run(watch())


def test_what_is_configured_later_runs_from_then_on(tmp_path: Path, broker: BrokerProcess) -> None:
    async def watch() -> None:
        configuration = configured(tmp_path)
        async with (
            AsyncClient.connect(broker.socket) as client,
            await client.subscribe(exact="__beacons_return") as told,
            running_beacons(configuration, broker.socket),
        ):
            assert await told.next(0.5) is None
            assert not processes()
            configured(tmp_path, status=[{"uptime": ["all"]}])
            assert configuration.reload()
            assert await told.next(WITHIN_S) is not None
            (pid,) = processes()
            configured(tmp_path)
            assert configuration.reload()
            async with asyncio.timeout(WITHIN_S):
                while processes():
                    await asyncio.sleep(0.05)
            assert not Path(f"/proc/{pid}").exists()

    asyncio.run(watch())


def test_it_ends_with_the_minion(tmp_path: Path, broker: BrokerProcess) -> None:
    """Killed, a minion says goodbye to nobody: its beacons see by themselves that it has gone."""
    task = pack_data({"opts": opts(tmp_path, status=[]), "grains": {}, "socket": str(broker.socket)})
    (tmp_path / "task").write_bytes(task)
    script = (
        "import subprocess, sys, time\n"
        f"process = subprocess.Popen([sys.executable, '-m', 'sylvite.daemons.beacon_process'], stdin=open({str(tmp_path / 'task')!r}))\n"
        "print(process.pid, flush=True)\ntime.sleep(3600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as minion:
        assert minion.stdout is not None
        pid = int(minion.stdout.readline())

        async def watch() -> None:
            async with AsyncClient.connect(broker.socket) as client:
                assert await client.wait("__beacons_return", since="oldest", timeout_s=WITHIN_S)
                minion.kill()
                async with asyncio.timeout(WITHIN_S):
                    while Path(f"/proc/{pid}").exists():
                        await asyncio.sleep(0.05)

        asyncio.run(watch())


def test_it_logs_as_the_minion_does(tmp_path: Path, broker: BrokerProcess) -> None:
    configuration = configured(tmp_path, load=[])
    log = tmp_path / "log"
    (tmp_path / "minion").write_text(
        json.dumps({**json.loads((tmp_path / "minion").read_text()), "log_format": "json", "log_file": str(log)})
    )
    assert configuration.reload()

    async def watch() -> None:
        async with running_beacons(configuration, broker.socket), asyncio.timeout(WITHIN_S):
            while not log.exists() or not log.read_text():
                await asyncio.sleep(0.05)

    asyncio.run(watch())
    line = json.loads(log.read_text().splitlines()[0])
    assert (line["logger"], line["level"]) == ("sylvite.beacons", "error")
    assert line["message"].startswith("the beacon load is not used: Averages configuration is required")


def test_without_a_bus_it_says_so(tmp_path: Path) -> None:
    task = pack_data({"opts": opts(tmp_path, status=[]), "grains": {}, "socket": str(tmp_path / "none.sock")})
    ended = subprocess.run(
        [sys.executable, "-m", "sylvite.daemons.beacon_process"],
        input=task,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 69
    assert "the beacons have no bus" in ended.stderr.decode()
    assert "Traceback" not in ended.stderr.decode()
