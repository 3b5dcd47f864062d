"""Logs to put in the place of another: copies of one log at several moments of its life, and a strange one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, broker_output
from tests.faults.proc import go_on, stop

SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=8 * 1024, keep_free_bytes=0))
CURSOR = "kept"
LIVES = (40, 40, 20)
"""Events of each life of the log: each has an epoch of its own."""
SNAPSHOT = 10
"""So many events of the last life are in the snapshot."""
STRANGE = 130


class Logs:
    """`folders`: copies, by name.  In each life the cursor `kept` was moved to the end."""

    def __init__(self, forks: Forks, folder: Path) -> None:
        self.folders: Mapping[str, Path] = {
            name: folder / name for name in ("early", "middle", "snapshot", "full", "strange")
        }
        self._forks, self._place = forks, folder / "making"
        self._number = 0
        self._life(LIVES[0], "early")
        self._life(LIVES[1], "middle")
        self._life(LIVES[2], "full", snapshot=True)
        shutil.rmtree(self._place / "log")
        self._life(STRANGE, "strange")

    def _life(self, events: int, name: str, *, snapshot: bool = False) -> None:
        broker = self._forks.start(Start(str(self._place), SETTINGS))
        assert broker.ready, broker_output(self._place)
        with Client.connect(self._place / "bus.sock") as client:
            if snapshot:
                self._publish(client, SNAPSHOT)
                stop(broker.pid)
                shutil.copytree(self._place / "log", self.folders["snapshot"])
                go_on(broker.pid)
                events -= SNAPSHOT
            self._publish(client, events)
            with client.subscribe("load/", since="oldest", cursor=CURSOR, until_end=True) as subscription:
                for _ in subscription:
                    pass
        assert self._forks.stop(broker.pid) == 0, broker_output(self._place)
        shutil.copytree(self._place / "log", self.folders[name])

    def _publish(self, client: Client, events: int) -> None:
        """Synced, so that a snapshot is whole."""
        for number in range(self._number, self._number + events):
            client.publish(f"load/{number % 2}", {"n": number, "pad": "x" * 100}, level="synced")
        self._number += events

    def put(self, name: str | None, log: Path) -> None:
        """Replace a log by a copy; by nothing, where there is no name."""
        shutil.rmtree(log)
        if name is not None:
            shutil.copytree(self.folders[name], log)
