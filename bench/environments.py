"""What the comparison needs that the product does not: environments for the peers' clients, and Debian packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKS = {"bench": "bench.lock", "salt": "bench.salt.lock", "names": "run.lock"}
INSTALL_S = 900.0
PROGRAMS = {"redis-server": "redis-server", "mosquitto": "mosquitto", "mosquitto-clients": "mosquitto_pub"}
"""Debian packages, and the program that shows whether one is there."""


class NotInstalled(Exception):
    """What a peer needs is not there and cannot be had."""


def _run(*command: str | Path, **more: str) -> None:
    """Raises NotInstalled, with the last line that the program printed."""
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=INSTALL_S, check=False,
            stdin=subprocess.DEVNULL, env={**os.environ, **more},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines()
        raise NotInstalled(said[-1] if said else f"{command[0]} failed")


@cache
def interpreter(environment: str) -> Path:
    """Return the Python of an environment; make it first, or anew where its lock file has changed.

    Raises NotInstalled.
    """
    if environment == "product":
        return Path(sys.executable)
    folder = ROOT / ".venv" / environment
    lock, ready, python = ROOT / "requirements" / LOCKS[environment], folder / "ready", folder / "bin" / "python"
    if not ready.exists() or ready.read_bytes() != lock.read_bytes():
        print(f"making the environment {folder.relative_to(ROOT)}", file=sys.stderr)
        _run(sys.executable, "-m", "venv", "--clear", folder)
        _run(python, "-m", "pip", "install", "-q", "--require-hashes", "-r", lock)
        ready.write_bytes(lock.read_bytes())
    if environment == "names":
        _install_ours(python)
    return python


def _install_ours(python: Path) -> None:
    """Install this checkout, and Salt's names for it, from wheels: each time, since it changes.  Raises NotInstalled."""
    with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as folder:
        pip = (sys.executable, "-m", "pip")
        _run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT, ROOT / "compat")
        into = (python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--force-reinstall")
        _run(*into, *Path(folder).glob("*.whl"))


def ensure_debian(packages: tuple[str, ...]) -> None:
    """Install Debian packages that are missing.  Raises NotInstalled."""
    paths = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in packages if shutil.which(PROGRAMS[name], path=paths) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotInstalled(f"Debian's {' and '.join(missing)} cannot be installed here")
    print(f"installing {', '.join(missing)}", file=sys.stderr)
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # its own service is not wanted
    _run("apt-get", "-q", "update", **quiet)
    _run("apt-get", "-q", "-y", "--no-install-recommends", "install", *missing, **quiet)
