"""The product as a user installs it: a wheel in an environment of its own, compiled, with nothing of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import venv
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent


def _environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | more


def install(folder: Path) -> Path:
    """Install the wheel of this checkout with what it depends on; return the folder of its programs."""

    def run(*command: str | Path) -> None:
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, env=_environment())

    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    venv.create(folder / "env", with_pip=True)
    programs = folder / "env" / "bin"
    run(programs / "pip", "install", "-q", "--require-hashes", "-r", ROOT / "requirements" / "run.lock")
    run(programs / "pip", "install", "-q", "--no-deps", next(folder.glob("sylvite-*.whl")))
    return programs


def size_bytes(programs: Path) -> int:
    """Return what the packages take on the disk, without pip and setuptools, which every environment has."""
    (packages,) = (programs.parent / "lib").glob("python*/site-packages")
    return sum(
        path.stat().st_size
        for path in packages.rglob("*")
        if path.is_file() and path.relative_to(packages).parts[0].partition("-")[0] not in ("pip", "setuptools")
    )


def distribution_bytes(*names: str) -> int:
    """Return what Python packages of this environment take on the disk, with their compiled files."""
    return sum(
        path.stat().st_size
        for name in names
        for path in {Path(str(file.locate())) for file in distribution(name).files or ()}
        if path.is_file()
    )


def debian_bytes(*names: str) -> int:
    """Return the installed size of Debian packages, without those that they depend on."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Installed-Size}\n", *names], capture_output=True, text=True, check=True, timeout=30
    )  # fmt: skip
    return sum(int(line) * 1024 for line in shown.stdout.split())


def times_s(command: list[str | Path], runs: int, **more: str) -> list[float]:
    """Return how long a program takes, from its start to its end."""
    times: list[float] = []
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run(
            [str(part) for part in command], check=True, stdout=subprocess.DEVNULL, env=_environment(**more)
        )  # fmt: skip
        times.append(time.perf_counter() - started)
    return times
