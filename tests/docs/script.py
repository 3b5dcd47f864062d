"""A script of examples/ as a process, and what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import PROJECT
from tests.docs.session import WITHIN_S


class Run:
    """The script, and what it has printed so far."""

    def __init__(self, script: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROJECT / "examples" / script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "TMPDIR": str(folder)}, start_new_session=True,
        )  # fmt: skip

    def until(self, pattern: str) -> re.Match[str]:
        """Read lines up to the first that fits."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if found := re.search(pattern, line):
                return found
        pytest.fail(f"{pattern!r} was not printed: {self.process.communicate()[1]}")

    def end(self) -> None:
        """End it as its user would: so it ends what it has started, too."""
        self.process.terminate()
        self.process.communicate(timeout=WITHIN_S)
