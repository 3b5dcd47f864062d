"""A network of machines, each a folder of its own with its configuration, in which `sylvite` is run as an operator would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sylvite import Client, Event
from tests.daemons.nodes import WITHIN_S, Daemon, free_port


class Node:
    """A machine: a folder of its own, in which `sylvite` finds the configuration."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def configure(self, node: str, **options: object) -> None:
        lines = "".join(f"{name}: {value}\n" for name, value in {"root_dir": self.folder, **options}.items())
        (self.folder / node).write_text(lines)

    def __call__(self, *words: str, code: int | None = 0) -> str:
        """Run `sylvite` and return what it prints.  `code`: its exit code; None: whatever."""
        environment = {**os.environ, "SYLVITE_CONFIG_DIR": str(self.folder)}
        for name in ("SYLVITE_SOCKET", "SYLVITE_DIR"):
            environment.pop(name, None)
        done = subprocess.run(
            [sys.executable, "-m", "sylvite", *words],
            env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False,
        )  # fmt: skip
        assert code in (None, done.returncode), done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def ask(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))

    def run(self, node: str, *more: str) -> Daemon:
        return Daemon(self.folder, node, "--config", str(self.folder / node), *more)


class Network:
    """A master, and as many minions as are made."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.master = Node(folder / "m")
        self.master.configure("master", id="mars", interface="127.0.0.1", ret_port=self.port)
        self.bus = self.master.folder / "var" / "run" / "sylvite" / "master" / "bus.sock"

    def minion(self, name: str, id_: str, **options: object) -> Node:
        made = Node(self.folder / name)
        made.configure("minion", id=id_, master=f"127.0.0.1:{self.port}", acceptance_wait_time=1, **options)
        return made

    def pinned(self, name: str, id_: str, **options: object) -> Node:
        return self.minion(name, id_, master_finger=f'"{self.master("keys", "finger").strip()}"', **options)

    def sees(self, tag: str, where: str = "True", *, after: Event | None = None) -> Event:
        """Wait for an event on the master's bus; return it."""
        with Client.connect(self.bus) as bus:
            since = "oldest" if after is None else after.offset
            return bus.wait(tag, where=where, since=since, timeout_s=WITHIN_S)

    def states(self) -> list[tuple[str, str]]:
        return [(key["id"], key["state"]) for key in self.master.ask("keys", "list")["keys"]]
