"""Members of a group for tests: each a process that writes what it is handed to a file, and acknowledges that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from tests.cluster.masters import ROOT, Master


class MemberProcess:
    """`sylvite tail --group`, with the file of a master: a context manager that starts and ends it.

    `quick`: with tenures of 2 s, so that others take over sooner.
    """

    def __init__(self, master: Master, group: str, output: Path, *arguments: str, quick: bool = False) -> None:
        self.output = output
        self._lines: list[dict[str, Any]] = []
        self._read = 0
        self.errors = output.with_suffix(".err")
        with output.open("wb") as out, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "tests.cluster.quick_member" if quick else "sylvite", "tail", "--group", group, "--config", str(master.file), "--json",
                    *arguments,
                ],
                stdin=subprocess.DEVNULL, stdout=out, stderr=errors, process_group=0, cwd=ROOT,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()
        if error is not None:
            error.add_note(f"--- {self.output.name}\n{self.errors.read_text()[-3000:]}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        self.process.terminate()
        return self.process.wait(60)

    def lines(self) -> list[dict[str, Any]]:
        """Return what it has written so far, in whole lines."""
        with self.output.open("rb") as output:
            output.seek(self._read)
            whole, end, _ = output.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        self._lines += [msgspec.json.decode(line) for line in whole.splitlines()]
        return self._lines
