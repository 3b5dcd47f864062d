"""Masters of a cluster for tests: a real broker each, with a real bridge as a process beside it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from sylvite.broker.settings import BrokerSettings
from sylvite.cluster.dev import DevCluster
from sylvite.testing.broker import BrokerProcess
from tests.cluster.servers import settings

READY_WITHIN_S = 60.0
ROOT = Path(__file__).parents[2]


class Master:
    """`bus`: its broker, in FOLDER; `bridge`: the process."""

    def __init__(
        self, folder: Path, servers: DevCluster, node: str, /, *, without: str | None = None, **changes: Any
    ) -> None:
        """`without`: the safeguard that the bridge is to run without (tests/faults/cluster_controls.py)."""
        self.node = node
        self._program = ("sylvite",) if without is None else ("tests.faults.cluster_controls", without)
        self.bus = BrokerProcess(folder, settings=BrokerSettings(has_cluster=True))
        self.bridge: subprocess.Popen[bytes] | None = None
        self.file = folder / "master.yaml"
        self.bridge_log = folder / "bridge.log"
        self._cluster = settings(servers, node=node, **changes)

    def __enter__(self) -> Self:
        self.bus.start()
        try:
            self.start_bridge()
        except BaseException:
            self.bus.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end_bridge()
        finally:
            self.bus.__exit__(kind, error, trace)
        if error is not None and self.bridge_log.exists():
            error.add_note(f"--- bridge of {self.node}\n{self.bridge_log.read_text()[-6000:]}")

    @property
    def socket(self) -> Path:
        return self.bus.socket

    def start_bridge(self) -> None:
        options = {"data_dir": str(self.bus.folder), "id": self.node, "cluster": msgspec.to_builtins(self._cluster)}
        self.file.write_bytes(msgspec.json.encode(options))
        self.file.chmod(0o600)
        ready, theirs = os.pipe()
        words = ["cluster", "bridge", "--master", str(self.file), "--ready-fd", str(theirs)]
        with self.bridge_log.open("ab") as log:
            self.bridge = subprocess.Popen(
                [sys.executable, "-m", *self._program, "--socket", str(self.socket), *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs], process_group=0, cwd=ROOT,
            )  # fmt: skip
        os.close(theirs)
        try:
            readable, _, _ = select.select([ready], [], [], READY_WITHIN_S)
            if not readable or not os.read(ready, 16):
                self.kill_bridge()
                raise AssertionError(f"the bridge did not start:\n{self.bridge_log.read_text()}")
        finally:
            os.close(ready)

    def kill_bridge(self) -> None:
        assert self.bridge is not None
        self.bridge.kill()
        self.bridge.wait()

    def pause_bridge(self) -> None:
        assert self.bridge is not None
        self.bridge.send_signal(signal.SIGSTOP)

    def resume_bridge(self) -> None:
        assert self.bridge is not None
        self.bridge.send_signal(signal.SIGCONT)

    def end_bridge(self) -> int | None:
        """Stop the bridge in order; return its exit code."""
        if self.bridge is None:
            return None
        self.bridge.send_signal(signal.SIGCONT)
        self.bridge.terminate()
        try:
            return self.bridge.wait(20)
        except subprocess.TimeoutExpired:
            self.kill_bridge()
            raise
