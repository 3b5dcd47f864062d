"""Processes to measure in, and what the system says of them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import statistics
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
_fork = multiprocessing.get_context("fork")


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


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


class Worker:
    """A function in a forked process: `ready` waits for its word, `result` for what it returns.

    The function gets a call that it makes when it is ready, and its other arguments.
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

    def ready(self) -> Worker:
        word, content = self._ours.recv()
        assert word == "ready", content
        return self

    def result(self) -> Any:
        word, content = self._ours.recv()
        self._process.join()
        assert word == "result", content
        return content

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()


def _work(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    gc.collect()
    gc.freeze()  # What the parent had made is not this process's to look through.
    try:
        pipe.send(("result", function(lambda: pipe.send(("ready", None)), *arguments)))
    except BaseException:
        pipe.send(("failed", traceback.format_exc()))
        raise
