"""Processes to measure in, and what the system says of them."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import statistics
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
WORKER_S = 600.0
"""How long the word of a worker is waited for."""
_fork = multiprocessing.get_context("fork")
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG (prctl(2))


def die_with_parent() -> None:
    """Let the system end this process when its parent ends, however that ends: nothing outlives a run."""
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


class Spread(NamedTuple):
    """The median of some runs, and the least and the most of them."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def cpu_s(pid: int) -> float:
    """Return the seconds of processor time that a process has used, its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def family(pid: int) -> set[int]:
    """Return a process and all that come from it."""
    found = {pid}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue  # It has ended meanwhile.
        for child in children:
            found |= family(int(child))
    return found


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def memory_peak_bytes(pid: int | str = "self") -> int:
    """Return the most resident memory that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def forget_memory_peak(pid: int) -> None:
    """Let `memory_peak_bytes` of a process begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class Line:
    """A worker's line to the process that started it: called, it says that the worker is ready."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def __call__(self) -> None:
        self._pipe.send(("ready", None))

    def told_to_go(self, timeout_s: float) -> bool:
        """Wait that long for the word to begin."""
        return self._pipe.poll(timeout_s)


class Worker:
    """A function in a forked process: `ready` waits for its word, `result` for what it returns.

    The function gets its Line, on which it says that it is ready, and its other arguments.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._ours, theirs = _fork.Pipe()
        self._process = _fork.Process(target=_work, args=(theirs, function, arguments), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def ready(self, timeout_s: float = WORKER_S) -> Worker:
        self._hear("ready", timeout_s)
        return self

    def go(self) -> None:
        """Tell a worker that waits for it to begin."""
        self._ours.send("go")

    def result(self, timeout_s: float = WORKER_S) -> Any:
        content = self._hear("result", timeout_s)
        self._process.join(timeout_s)
        return content

    def _hear(self, wanted: str, timeout_s: float) -> Any:
        if not self._ours.poll(timeout_s):
            raise TimeoutError(f"a worker has not said {wanted!r} within {timeout_s:g} s")
        word, content = self._ours.recv()
        if word != wanted:
            raise RuntimeError(content)
        return content

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()


def _work(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    die_with_parent()
    gc.collect()
    gc.freeze()  # What the parent had made is not this process's to look through.
    try:
        pipe.send(("result", function(Line(pipe), *arguments)))
    except BaseException:
        pipe.send(("failed", traceback.format_exc()))
        raise
