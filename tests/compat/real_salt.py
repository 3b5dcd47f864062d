"""Salt itself, unmodified, each release in an environment of its own below .venv-salt/: made once, from locked versions.

Needs nothing but Python itself, so that it can be done beside the making of our own environment.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sylvite.compat.frames import Framing

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-salt"
INSTALL_S = 1200.0


class Release(NamedTuple):
    """`framing`: what its programs want where they read."""

    name: str
    framing: Framing

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    def ensure(self) -> None:
        """Make its environment, or make it anew where its lock file has changed."""
        lock, ready = ROOT / "requirements" / f"salt{self.name}.lock", self.folder / "ready"
        FOLDER.mkdir(exist_ok=True)
        with open(FOLDER / f"{self.name}.lock", "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # Of several runs of the tests, one makes it.
            if ready.exists() and ready.read_bytes() == lock.read_bytes():
                return
            _run(sys.executable, "-m", "venv", "--clear", self.folder)
            pip = (self.python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check")
            _run(*pip, "--require-hashes", "-r", lock)
            ready.write_bytes(lock.read_bytes())

    def environment(self) -> dict[str, str]:
        """Return that of its programs: nothing of ours is in it."""
        dropped = ("PYTHON", "SALT_", "SYLVITE_", "VIRTUAL_ENV")
        return {name: value for name, value in os.environ.items() if not name.startswith(dropped)} | {
            "PYTHONUNBUFFERED": "1"
        }


RELEASES = (Release("3008", "stream"), Release("3006", "length"))


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=INSTALL_S, check=False
    )  # fmt: skip
    assert done.returncode == 0, f"Salt could not be installed: {done.stdout[-2000:]}{done.stderr[-2000:]}"


if __name__ == "__main__":
    for release in RELEASES:
        release.ensure()
