"""Which versions are measured."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path


def distribution_versions(*names: str) -> dict[str, str]:
    """Return the versions of Python packages in this environment."""
    return {name: version(name) for name in names}


def first_line(command: Sequence[str | Path]) -> str:
    """Return the first line that a program prints, whatever its exit code."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=30, check=False
    )  # fmt: skip
    return next(iter((done.stdout + done.stderr).splitlines()), "")
