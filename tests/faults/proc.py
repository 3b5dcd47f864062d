"""What the kernel knows of a process: /proc."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

STOPS_WITHIN_S = 20.0
_ESTABLISHED = "01"


def memory_bytes(pid: int, what: str = "VmRSS") -> int:
    """Return what is in memory of a process, or with VmHWM the peak of it."""
    return _number(pid, what) * 1024


def reset_peak(pid: int) -> None:
    """Count VmHWM anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def stop(pid: int) -> None:
    """Stop a process that is no child of ours in the middle of whatever it does; return when it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + STOPS_WITHIN_S
    while _fields(pid)[0] != "T":
        assert time.monotonic() < deadline, "it does not stop"
        time.sleep(0.0005)


def go_on(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


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


def unread_bytes(port: int) -> int:
    """Return how much lies in the kernel for whoever has this port of TCP, over IPv4, and has not been read."""
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if int(local.partition(":")[2], 16) == port and state == _ESTABLISHED:
            found += int(queues.partition(":")[2], 16)
    return found


def _fields(pid: int) -> list[str]:
    """Return what stands in its `stat` behind the name of the program: first the state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def _number(pid: int, what: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1])
    raise AssertionError(f"{what} is not there")
