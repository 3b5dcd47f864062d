"""Running the real program in tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import msgspec

COMMAND = (sys.executable, "-m", "sylvite")
TIMEOUT_S = 60.0


class Done(msgspec.Struct, frozen=True):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Program:
    """The command line, with the socket of one broker in its environment."""

    def __init__(self, socket: Path, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SYLVITE_SOCKET": str(socket), "TZ": "UTC", "TERM": "xterm"}

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Done:
        """Run it to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin.encode() if isinstance(stdin, str) else (stdin or b""),
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
            env=self.environment,
            cwd=self.folder,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: str, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start it, with pipes for what it writes."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            cwd=self.folder,
        )


def read_line(stream: IO[bytes] | None) -> str:
    """Wait for the next line; empty at the end."""
    assert stream is not None
    return stream.readline().decode()
