"""`make run-cluster`, as a process: one master is killed, and nobody misses an event."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite import Client
from tests.docs.script import Run
from tests.docs.session import at_most

WITHIN_S = 240
EVENTS = 100


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    started = Run("run_cluster.py", tmp_path_factory.mktemp("run"))
    try:
        with at_most(WITHIN_S):
            yield started
    finally:
        started.process.kill()
        started.process.communicate()


def connected_to(config: str) -> set[str]:
    """Return which minions a master has: whom the first in its list asks to wait, the next may know by then, and lets in."""
    words = [sys.executable, "-m", "sylvite", "presence", "--config", config, "--json"]
    shown = json.loads(subprocess.run(words, capture_output=True, check=True, timeout=WITHIN_S).stdout)
    return {each["id"] for each in shown if not each.get("master")}


def test_a_master_is_killed_and_nothing_is_missing(run: Run, tmp_path: Path) -> None:
    """What it had taken stands at the other one, its minions go over, and when it is back it has what it missed.

    At the end no file and no process is left.
    """
    folder = Path(run.until(r"four minions below (\S+),")[1])
    for status in (r"JetStream is led by n[123]", r"^mars +here", r"^venus +here"):
        run.until(status)
    run.until(r"A job of venus reaches")
    assert {run.until(r"^(\w+):$")[1] for _ in range(4)} == {"web1", "web2", "db1", "db2"}
    mars, venus = (folder / "bus" / name / "bus.sock" for name in ("mars", "venus"))
    assert run.until(r"sylvite publish myco/from/mars n=1 --socket (\S+)")[1] == str(mars)
    victim = int(run.until(r"kill -9 (\d+) ")[1])
    again = shlex.split(run.until(r"(sylvite master --config .*?) +#")[1])
    run.until(r"^Events:")
    with Client.connect(mars) as client:
        for number in range(EVENTS):
            client.publish("myco/from/mars", {"n": number})
    for number in range(EVENTS):
        run.until(rf"  myco/from/mars  n={number}$")
    here = connected_to(again[again.index("--config") + 1])
    os.kill(victim, signal.SIGKILL)
    run.until(r"sylvite/cluster/left  node='mars'")
    assert {run.until(r"salt/minion/(\w+)/start")[1] for _ in here} == here
    with Client.connect(venus) as client:
        offsets = [client.publish("myco/from/venus", {"n": number}).offset for number in range(EVENTS)]
    assert offsets == sorted(offsets)
    with (tmp_path / "mars.log").open("wb") as log:
        back = subprocess.Popen([sys.executable, "-m", *again], stdout=log, stderr=log)
    try:
        run.until(r"sylvite/cluster/joined  node='mars'")
        with (
            Client.connect(mars, reconnect_s=WITHIN_S) as client,
            client.subscribe("myco/from/", since="oldest") as events,
        ):
            found = [(event.tag, event.data["n"]) for event in (next(events) for _ in range(2 * EVENTS))]
    finally:
        back.terminate()
        back.wait(60.0)
    assert found == [(f"myco/from/{name}", number) for name in ("mars", "venus") for number in range(EVENTS)]

    said = "".join((folder / f"{name}.log").read_text() for name in ("mars", "venus"))
    assert "do not let us" not in said, "a master has all permissions that it needs"
    run.process.send_signal(signal.SIGTERM)
    run.until("stopped; the temporary folder is gone")
    assert run.process.wait() == 0
    assert not folder.exists()
    left = subprocess.run(("pgrep", "-f", str(folder)), capture_output=True, text=True, check=False).stdout
    assert left == ""
