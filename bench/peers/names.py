"""`salt.utils.event` as programs written for Salt use it: over our bus (the distribution sylvite-salt), and Salt's own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from bench.peers.peer import Guarantee, ServerProcess
from bench.peers.salt import Salt
from bench.versions import distribution_versions


class SaltNames(Salt):
    """Salt's own."""

    cannot: ClassVar[Mapping[str, str]] = {}
    notes: ClassVar[Mapping[str, str]] = {
        **Salt.notes,
        "publish": "`fire_event` returns once the socket has taken it; nothing is acknowledged",
    }


class SylviteNames(Salt):
    """Ours: the same programs, in an environment where `import salt` finds Sylvite."""

    title = "Sylvite, by Salt's names"
    guarantee = Guarantee.SYNCED
    promise = "once it is synced"
    advice = "the same programs, in an environment with the distribution `sylvite-salt`; all settings as they come"
    level: ClassVar[str] = "synced"
    environment = "names"
    cannot: ClassVar[Mapping[str, str]] = {}
    notes: ClassVar[Mapping[str, str]] = {}

    def start(self) -> None:
        sockets = self.folder / "sock"
        config = self.folder / "master"
        config.write_text(f"sock_dir: {sockets}\nid: bench\n")
        sockets.mkdir(mode=0o700)
        self._options = import_module("salt.config").master_config(str(config))
        policy = self.folder / "broker.yaml"
        policy.write_text(f"policy:\n  level: {self.level}\n")
        program = Path(sys.executable).parent / "sylvite"
        bus = sockets / "bus.sock"
        self._process = ServerProcess([program, "broker", "--dir", sockets, "--config", policy], self.folder)
        self._process.wait_until(bus.exists)

    def pids(self) -> dict[str, int]:
        assert self._process is not None
        return {"broker": self._process.pid}

    def versions(self) -> dict[str, str]:
        return distribution_versions("sylvite", "sylvite-salt")


class SylviteNamesWritten(SylviteNames):
    title = "Sylvite, by Salt's names, `written`"
    guarantee = Guarantee.WRITTEN
    promise = "once it is written"
    advice = "as the next, with `policy: {level: written}` for the broker"
    level = "written"
