"""Keys and tokens over two masters, from outside: real masters with their bridges, three NATS servers, a minion, commands."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sylvite import Client
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.cluster.dev import DevCluster
from tests.cluster.sites import WITHIN_S, ClusterMaster
from tests.daemons.nodes import Site


def cli(*words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "sylvite", *words], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def states(master: ClusterMaster) -> dict[str, str]:
    keys = cli("keys", "list", "--config", str(master.master_file), "--json")["keys"]
    return {each["id"]: each["state"] for each in keys}


def told(master: ClusterMaster) -> Counter[str]:
    """Return which changes of keys are in a master's log, and how often."""
    with Client.connect(master.bus) as bus, bus.subscribe(exact="salt/key", since="oldest", until_end=True) as events:
        return Counter(event.data["act"] for event in events)


def test_a_minion_is_accepted_and_revoked_at_the_master_that_it_is_not_connected_to(
    nats: DevCluster, tmp_path: Path
) -> None:
    """It waits at venus, is accepted on mars, and its session at venus ends when it is revoked on mars."""
    mars, venus = (ClusterMaster(tmp_path / name, name, nats) for name in ("mars", "venus"))
    with KeyFolder(mars.data / "keys", make=True) as folder:
        finger = load_or_make_pair(folder, "master")[0].fingerprint
    shutil.copytree(mars.data, venus.data)
    (tmp_path / "web1").mkdir()
    web1 = Site(tmp_path / "web1", "web1")
    web1.write(
        web1.minion_file, "n", id="web1", master=f"127.0.0.1:{venus.port}", master_finger=f'"{finger}"', acceptance_wait_time="1",
    )  # fmt: skip
    with ExitStack() as stack:
        for daemon in (mars.master(), venus.master(), web1.minion()):
            stack.enter_context(daemon)
        until(lambda: states(mars) == {"web1": "pending"}, "who waits at venus is not listed on mars")
        cli("keys", "accept", "web1", "--config", str(mars.master_file), "--yes")
        until(lambda: "web1" in venus.present(), "who was accepted on mars is not let in by venus")
        cli("keys", "revoke", "web1", "--config", str(mars.master_file), "--yes")
        until(lambda: "web1" not in venus.present(), "who was revoked on mars keeps the session with venus")
        assert states(venus) == states(mars) == {"web1": "revoked"}
        for master in (mars, venus):
            until(
                lambda master=master: told(master) == Counter(("pending", "accepted", "revoked")),
                "each change is told once, on each master",
            )
        made = cli("tokens", "create", "ada", "--scope", "events:read:**", "--dir", str(venus.data), "--json")
        listed = ("tokens", "list", "--dir", str(mars.data), "--json")
        until(lambda: [each["id"] for each in cli(*listed)] == [made["id"]], "a token of venus does not count on mars")
        cli("tokens", "revoke", made["id"], "--dir", str(mars.data))
        others = ("tokens", "list", "--dir", str(venus.data), "--json")
        until(lambda: cli(*others) == [], "a token that was taken back on mars counts on venus")
