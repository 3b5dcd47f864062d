"""A master that is killed: its parts end by themselves, and the next one finds its places free."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from sylvite import Client
from tests.daemons.nodes import WITHIN_S, Site, children_of


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + WITHIN_S
    while any(map(is_there, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(is_there, pids))


def test_parts_end_when_their_master_is_killed_and_another_one_takes_over(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.master() as master:
        parts = list(children_of(master.pid).values())
        assert len(parts) >= 2
        with Client.connect(site.bus) as bus:
            before = bus.publish("myco/before", {}).offset
        master.kill()
        assert gone(parts), f"of {parts} some are still there"
    with site.master(), Client.connect(site.bus) as bus:
        assert bus.publish("myco/after", {}).offset > before


def test_a_daemon_ends_in_order_when_who_leads_it_goes_away(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "sylvite", "broker", "--dir", str(tmp_path / "b")]
    with ours, subprocess.Popen(
        [*command, "--ready-fd", str(theirs.fileno())], pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True
    ) as broker:  # fmt: skip
        theirs.close()
        ours.settimeout(WITHIN_S)
        assert ours.recv(16) == b"ready\n"
        os.kill(broker.pid, 0)
        ours.close()
        assert "stopped; the log ends before @0" in broker.communicate(timeout=WITHIN_S)[1]
        assert broker.returncode == 0
