"""Masters and minions as processes, each below a folder of its own."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

WITHIN_S = 60.0


def free_port() -> int:
    """Return a port that nobody has; a moment later somebody may."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Daemon:
    """`sylvite COMMAND`, started and stopped: a context manager.  `said`: its line for --ready-fd.

    `before`: what stands before the program, such as a way into another network.
    """

    def __init__(self, folder: Path, *command: str, before: Sequence[str] = ()) -> None:
        self.log = folder / f"{command[0]}.log"
        self.said = ""
        self._command, self._before = command, before
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Daemon:
        reading, writing = os.pipe()
        try:
            with open(self.log, "ab") as log:
                self._process = subprocess.Popen(
                    [*self._before, sys.executable, "-m", "sylvite", *self._command, "--ready-fd", str(writing)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(writing,),
                )  # fmt: skip
        finally:
            os.close(writing)
        try:
            ready, _, _ = select.select([reading], [], [], WITHIN_S)
            self.said = os.read(reading, 64).decode().strip() if ready else ""
            if not self.said:
                self._process.kill()
                self._process.wait(WITHIN_S)
                raise AssertionError(f"{self._command[0]} did not start: {self.log.read_text()}")
        finally:
            os.close(reading)
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> int:
        """Stop it in order; return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(WITHIN_S)

    def wait(self) -> int:
        """Wait until it has ended by itself; return its exit code."""
        assert self._process is not None
        return self._process.wait(WITHIN_S)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(WITHIN_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
                raise


class Site:
    """A master and a minion, with their configurations."""

    def __init__(self, folder: Path, id_: str = "alpha") -> None:
        self.folder, self.id = folder, id_
        self.port = free_port()
        self.master_file, self.minion_file = folder / "master.yaml", folder / "minion.yaml"
        self.data = folder / "m" / "data"
        self.bus, self.minion_bus = folder / "m" / "run" / "bus.sock", folder / "n" / "run" / "bus.sock"
        self.write(self.master_file, "m", interface="127.0.0.1", ret_port=str(self.port), id="master")

    def write(self, file: Path, below: str, **options: str) -> None:
        at = self.folder / below
        places = {"data_dir": at / "data", "sock_dir": at / "run", "pki_dir": at / "pki", "cachedir": at / "cache"}
        file.write_text("".join(f"{name}: {value}\n" for name, value in {**places, **options}.items()))

    def configure_minion(self, **options: str) -> None:
        self.write(self.minion_file, "n", id=self.id, master=f"127.0.0.1:{self.port}", **options)

    def master(self) -> Daemon:
        return Daemon(self.folder, "master", "--config", str(self.master_file))

    def minion(self, *more: str) -> Daemon:
        return Daemon(self.folder, "minion", "--config", str(self.minion_file), *more)


def until(holds: Callable[[], bool], what: str = "it does not happen") -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def children_of(pid: int) -> dict[str, int]:
    """Return the processes that a process has started, by the command of `sylvite` that they run."""
    found: dict[str, int] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        # One that has just been forked has no command of its own yet.
        for word in [
            word for word in words if word in ("api", "broker", "cluster", "jobs", "link", "salt-sockets", "webhooks")
        ][:1]:
            found[word] = int(child)
    return found


def part_of(master: Daemon, name: str) -> int:
    """Return the process id of a part of a master; wait until it was started again, if need be."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if (pid := children_of(master.pid).get(name)) is not None:
            return pid
        time.sleep(0.05)
    raise AssertionError(f"{name} was not started again: {master.log.read_text()}")
