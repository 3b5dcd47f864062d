"""Brokers that are started, killed and started again in a few milliseconds: forked from a warm parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.faults.broker_parent import FAULTS_FILE, DiskFault, Start, Started

ANSWER_WITHIN_S = 60.0
ROOT = Path(__file__).parents[2]
Answer = TypeVar("Answer")


class Forks:
    """Made by `forked_brokers`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def start(self, start: Start) -> Started:
        """Fork a broker; return once clients can connect, or it has ended."""
        return self._ask({"verb": "start", **msgspec.to_builtins(start)}, Started)

    def kill(self, pid: int) -> None:
        """End it as a crash would."""
        assert self._end(pid, signal.SIGKILL) == -signal.SIGKILL

    def stop(self, pid: int) -> int:
        """Ask it to stop; return its exit code."""
        return self._end(pid, signal.SIGTERM)

    def ended(self, pid: int) -> int:
        """Wait until it ends by itself; return its exit code."""
        return self._end(pid, 0)

    def _end(self, pid: int, number: int) -> int:
        return self._ask({"verb": "end", "pid": pid, "signal": int(number)}, dict[str, int])["code"]

    def _ask(self, command: object, kind: type[Answer]) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], ANSWER_WITHIN_S)[0]:
            raise AssertionError(f"the parent of brokers does not answer {command}")
        return msgspec.json.decode(self._process.stdout.readline(), type=kind)


@contextmanager
def forked_brokers(parent: str = "tests.faults.broker_parent") -> Generator[Forks]:
    """A parent of brokers; at the end none of them is left.  `parent`: the program that it is."""
    process = subprocess.Popen(
        [sys.executable, "-m", parent],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True,
    )  # fmt: skip
    try:
        yield Forks(process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def faults_that_happened(folder: Path) -> list[str]:
    """What the broker in that folder has written down when its DiskFault happened."""
    told = folder / FAULTS_FILE
    return told.read_text().splitlines() if told.exists() else []


def broker_output(folder: Path) -> str:
    """What the brokers in that folder have printed."""
    return (folder / "broker.log").read_text(errors="replace")


__all__ = ["DiskFault", "Forks", "Start", "Started", "broker_output", "faults_that_happened", "forked_brokers"]
