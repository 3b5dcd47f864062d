"""Starting tests/faults/traffic_program.py, and programs like it, and hearing what they say."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SAYS_WITHIN_S = 120.0


class TrafficProcess:
    """Made by `traffic` or `program`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def says(self) -> dict[str, Any]:
        """Return the next thing that it says."""
        output = self._process.stdout
        assert output is not None
        assert select.select([output], [], [], SAYS_WITHIN_S)[0], "it says nothing"
        line = output.readline()
        assert line, f"it has ended with code {self._process.wait()}"
        return json.loads(line)

    def has_said(self) -> bool:
        """Say whether `says` would return at once."""
        output = self._process.stdout
        assert output is not None
        return bool(select.select([output], [], [], 0)[0])

    def begin(self) -> None:
        """Let go one that was told to wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    def end_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def stop(self) -> None:
        """Stop it in the middle of whatever it does; return when it has stopped."""
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)


@contextmanager
def traffic(verb: str, socket: Path, *arguments: object) -> Generator[TrafficProcess]:
    """A process of publishers or subscribers, gone at the end."""
    with program("tests.faults.traffic_program", verb, socket, *arguments) as process:
        yield process


@contextmanager
def program(module: str, *arguments: object) -> Generator[TrafficProcess]:
    """A process that runs a module, and says things in JSON; gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    try:
        yield TrafficProcess(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
