"""Masters of a cluster with minions, each `sylvite master` and `sylvite minion` as processes: what users have."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from sylvite import Client, Event, MasterPlace
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.cluster.dev import DevCluster
from sylvite.daemons.options.reading import load_master
from sylvite.jobs.known_minions import KnownMinions, read_known
from sylvite.jobs.store import read_jobs
from tests.cluster.servers import settings
from tests.daemons.nodes import Daemon, Site

WITHIN_S = 90.0
MASTERS = ("mars", "venus")


class ClusterMaster(Site):
    """One of the masters."""

    def __init__(self, folder: Path, name: str, servers: DevCluster, **options: str) -> None:
        folder.mkdir()
        super().__init__(folder)
        self.name = name
        cluster = msgspec.json.encode(settings(servers, node=name)).decode()
        self.write(
            self.master_file, "m", interface="127.0.0.1", ret_port=str(self.port), id=name, salt_sockets="false",
            cluster=cluster, **options,
        )  # fmt: skip

    @property
    def place(self) -> MasterPlace:
        return MasterPlace.of(load_master(self.master_file).options)

    def known(self) -> KnownMinions:
        return read_known(self.data / "minions.db")

    def present(self) -> dict[str, str]:
        """Return who is here, and with which other master, if so."""
        if not (self.data / "minions.db").exists():
            return {}
        with self.known() as known:
            return {record.id: record.master for record in known.records() if record.is_present}


class ClusterSite:
    """Two masters that know the keys of all minions; `minions`: the masters of each, in its order."""

    def __init__(self, folder: Path, servers: DevCluster, minions: Mapping[str, Sequence[str]], **options: str) -> None:
        self.folder = folder
        self.masters = {name: ClusterMaster(folder / name, name, servers, **options) for name in MASTERS}
        self.daemons: dict[str, Daemon] = {}
        self._minions: dict[str, Site] = {}
        self._stack = contextlib.ExitStack()
        self._make_keys(minions)

    def __getitem__(self, name: str) -> ClusterMaster:
        return self.masters[name]

    def __enter__(self) -> Self:
        try:
            for name in (*MASTERS, *self._minions):
                self.start(name)
            self.until(lambda: all(self._minions.keys() <= each.present().keys() for each in self.masters.values()))
            self.until(lambda: all(self._has_grains(each) for each in self.masters.values()))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if error is not None:
            for name, daemon in self.daemons.items():
                error.add_note(f"--- {name}\n{daemon.log.read_text()[-4000:]}")

    def start(self, name: str) -> Daemon:
        daemon = self.masters[name].master() if name in self.masters else self._minions[name].minion()
        self.daemons[name] = self._stack.enter_context(daemon)
        return daemon

    def end_minion(self, name: str) -> None:
        self.daemons[name].kill()

    def bus_of(self, minion: str) -> Path:
        return self._minions[minion].minion_bus

    def until(self, holds: Callable[[], bool], what: str = "it does not happen") -> None:
        deadline = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline, what
            time.sleep(0.05)

    def until_returned_once(self, minion: str, jids: Sequence[str]) -> None:
        """Wait until both masters keep what a minion returned of these jobs, and see that it did each once, and that nothing came twice."""
        for master in self.masters.values():
            self.until(lambda master=master: all(returned(master, jid) == [minion] for jid in jids))
            tags = Counter(event.tag for event in events(master, f"salt/job/*/ret/{minion}"))
            assert [tags[f"salt/job/{jid}/ret/{minion}"] for jid in jids] == [1] * len(jids)
        with Client.connect(self.bus_of(minion)) as bus:
            done = bus.subscribe(exact="__schedule_return", since="oldest", until_end=True)
            times = Counter(event.data["jid"] for event in done)
        assert [times[jid] for jid in jids] == [1] * len(jids)

    def _has_grains(self, master: ClusterMaster) -> bool:
        with master.known() as known:
            return self._minions.keys() <= known.grains().keys()

    def _make_keys(self, minions: Mapping[str, Sequence[str]]) -> None:
        first, *others = (self.masters[name].data for name in MASTERS)
        with KeyFolder(first / "keys", make=True) as folder:
            finger = load_or_make_pair(folder, "master")[0].fingerprint
        with Keyring.open(first / "keys") as keyring:
            for name, masters in minions.items():
                site = Site(self._below(name), name)
                with KeyFolder(site.folder / "n" / "pki", make=True) as folder:
                    pair, _ = load_or_make_pair(folder, "minion")
                keyring.expect(name, pair.fingerprint, time.time_ns())
                keyring.ask(name, pair.public, "127.0.0.1", time.time_ns())  # Accepted, and not at the first meeting.
                addresses = [f"127.0.0.1:{self.masters[master].port}" for master in masters]
                given: dict[str, Any] = {"master": json.dumps(addresses), "master_finger": f'"{finger}"'}
                more = {
                    "recon_default": "300",
                    "recon_max": "500",
                    "acceptance_wait_time": "1",
                    "salt_sockets": "false",
                }
                site.write(site.minion_file, "n", id=name, **given, **more)
                self._minions[name] = site
        for other in others:
            shutil.copytree(first, other)

    def _below(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


def events(master: ClusterMaster, pattern: str) -> list[Event]:
    """Return what is in the log of a master."""
    with Client.connect(master.bus) as bus, bus.subscribe(fnmatch=pattern, since="oldest", until_end=True) as found:
        return list(found)


def returned(master: ClusterMaster, jid: str) -> list[str]:
    """Return who has answered, as the job cache of a master has it."""
    with read_jobs(master.data / "jobs.db") as reader:
        return sorted(reader.returned(jid))
