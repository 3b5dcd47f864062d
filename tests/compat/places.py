"""Programs written for Salt, run against a bus of ours, and what is known of real Salt."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sylvite.client.sync_client import Client

ROOT = Path(__file__).parent.parent.parent
GOLDEN = Path(__file__).parent / "golden"
SHIM = ROOT / "compat" / "src"
"""Where the package `salt` of ours is."""
WITHIN_S = 60.0


def shim_environment() -> dict[str, str]:
    """Return an environment in which `import salt` finds ours."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SALT_", "SYLVITE_"))}
    return {**inherited, "PYTHONPATH": f"{SHIM}{os.pathsep}{ROOT / 'src'}", "PYTHONUNBUFFERED": "1"}


def start_program(
    source: str, *, python: str = sys.executable, env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        env=shim_environment() if env is None else env,
    )  # fmt: skip


def run_program(source: str, **more: Any) -> str:
    """Return what a program prints; it has to succeed."""
    return finish(start_program(source, **more))


def finish(program: subprocess.Popen[str]) -> str:
    try:
        out, err = program.communicate(timeout=WITHIN_S)
    except subprocess.TimeoutExpired:
        program.kill()
        out, err = program.communicate()
        raise AssertionError(f"it does not end; it printed:\n{out}\n{err}") from None
    assert program.returncode == 0, f"exit code {program.returncode}:\n{out}\n{err}"
    return out


def wait_until(holds: Callable[[], bool], what: str, *, within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.02)  # Between two looks at another process.


def subscriptions(bus: Client) -> set[tuple[int, int]]:
    """Return which there are, by connection and number: one that is new is seen also while others go."""
    clients: list[dict[str, Any]] = bus.ask("stats")["clients"]
    return {(each["connection"], one["id"]) for each in clients for one in each["subscriptions"]}


def write_master(folder: Path, sock_dir: Path, **options: object) -> Path:
    """Write the file of a master whose bus is in a folder; return it."""
    file = folder / "master"
    lines = [f"sock_dir: {sock_dir}", f"cachedir: {folder / 'cache-of-the-master-that-is-not-used'}"]
    file.write_text("\n".join([*lines, *(f"{name}: {value}" for name, value in options.items())]) + "\n")
    return file
