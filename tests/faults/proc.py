"""What the kernel knows of a process: /proc."""

from __future__ import annotations

from pathlib import Path


def memory_bytes(pid: int, what: str = "VmRSS") -> int:
    """Return what is in memory of a process, or with VmHWM the peak of it."""
    return _number(pid, what) * 1024


def reset_peak(pid: int) -> None:
    """Count VmHWM anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def threads(pid: int) -> int:
    return _number(pid, "Threads")


def descriptors(pid: int, *, but_below: Path) -> int:
    """Return how many it has open, but for the files below a folder."""
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += not link.readlink().is_relative_to(but_below)
        except FileNotFoundError:
            pass  # Closed since it was listed.
    return found


def cpu_s(pid: int) -> float:
    """Return how long its threads have worked so far; of those that have ended, nothing is known."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _number(pid: int, what: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1])
    raise AssertionError(f"{what} is not there")
