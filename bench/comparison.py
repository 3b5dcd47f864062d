"""Sylvite and its peers, one workload after the other: each run in a process group of its own, which never outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.columns import ONE_EACH, peer_class
from bench.environments import ROOT, NotInstalled, ensure_debian, interpreter
from bench.processes import Spread, spread
from bench.workloads import Outcome, ProcessUse

RUNS = 3
RUN_S = 420.0
QUICK_RUN_S = 90.0
WITHOUT_LEVEL = ("replay", "command", "script", "rest", "size")
"""Workloads that are the same at every level, so that one column for each product is enough."""
ONCE = ("replay", "stopped", "size")


@dataclass(frozen=True)
class Cell:
    """What was found for one workload and one peer; or the reason why there is nothing."""

    outcomes: list[Outcome]
    reason: str = ""

    def figure(self, name: str) -> Spread | None:
        values = [outcome.figures[name] for outcome in self.outcomes if name in outcome.figures]
        return spread(values) if values else None

    @property
    def count(self) -> int:
        return max((outcome.count for outcome in self.outcomes), default=0)

    @property
    def lost(self) -> int:
        return max((outcome.lost for outcome in self.outcomes), default=0)


@dataclass
class Comparison:
    """Everything that was found, by workload and peer."""

    peers: list[str]
    workloads: list[str]
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict[tuple[str, str], Cell])
    versions: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


class _Failed(Exception):
    """A run ended without a figure; the message is for a footnote."""


@contextmanager
def _group(process: subprocess.Popen[str]) -> Generator[None]:
    try:
        yield
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # It ended by itself, with all that it had started.
        process.wait()


def _measure(python: Path, peer: str, workload: str, *, quick: bool) -> dict[str, Any]:
    """Raises _Failed."""
    command = [str(python), "-m", "bench.measure", peer, workload, *(["--quick"] if quick else [])]
    timeout_s = QUICK_RUN_S if quick else RUN_S
    # Its temporary files are below ours, so that nothing stays even where it is killed.
    with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as folder, tempfile.TemporaryFile("w+") as errors:
        environment = {**os.environ, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"}
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
            start_new_session=True, env=environment,
        )  # fmt: skip
        with _group(process):
            try:
                printed, _ = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                raise _Failed(f"did not end within {timeout_s:g} s") from None
        if process.returncode:
            errors.seek(0)
            said = [line.strip() for line in errors.read().splitlines() if line.strip()]
            raise _Failed(said[-1][:200] if said else f"exit code {process.returncode}")
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found


def _outcome(found: dict[str, Any]) -> Outcome:
    uses = [ProcessUse(**use) for use in found["processes"]]
    return Outcome(found["figures"], found["count"], found["lost"], found["doubled"], uses)


class Results:
    """Runs that are done, one to a line of a file if there is one: a run that was broken off can go on."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._done: dict[tuple[str, str, int], Outcome] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                found = json.loads(line)
                self._done[found["peer"], found["workload"], found["run"]] = _outcome(found["outcome"])

    def get(self, peer: str, workload: str, run: int) -> Outcome | None:
        return self._done.get((peer, workload, run))

    def add(self, peer: str, workload: str, run: int, outcome: Outcome) -> None:
        if self._path is not None:
            line = {"peer": peer, "workload": workload, "run": run, "outcome": outcome.as_dict()}
            with self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")


def _cell(python: Path, peer: str, workload: str, results: Results, *, quick: bool) -> Cell:
    runs = 1 if quick or workload in ONCE else RUNS
    outcomes: list[Outcome] = []
    for run in range(runs):
        outcome = results.get(peer, workload, run)
        if outcome is None:
            try:
                outcome = _outcome(_measure(python, peer, workload, quick=quick))
            except _Failed as error:
                return Cell(outcomes, f"failed: {error}")
            results.add(peer, workload, run, outcome)
        outcomes.append(outcome)
    return Cell(outcomes)


def _prepare(peer: str) -> Path:
    """Return the interpreter for a peer, with all that it needs.  Raises NotInstalled."""
    kind = peer_class(peer)
    ensure_debian(kind.packages)
    return interpreter(kind.environment)


def columns_of(workload: str, peers: Sequence[str]) -> list[str]:
    """Return the peers that a workload is done with."""
    return [peer for peer in peers if peer in ONE_EACH] if workload in WITHOUT_LEVEL else list(peers)


def compare(
    peers: Sequence[str], names: Sequence[str], results: Results, tell: Callable[[str], None], *, quick: bool
) -> Comparison:
    """Do the workloads with the peers.  A peer that fails leaves a reason in its cell."""
    found = Comparison(list(peers), list(names))
    pythons: dict[str, Path] = {}
    for peer in peers:
        try:
            pythons[peer] = _prepare(peer)
            found.versions[peer] = _measure(pythons[peer], peer, "versions", quick=True)
        except (NotInstalled, _Failed) as error:
            tell(f"{peer}: not installed: {error}")
            pythons.pop(peer, None)
    # Peer after peer within a workload: what the machine does meanwhile falls upon all alike.
    for workload in names:
        for peer in columns_of(workload, peers):
            if reason := peer_class(peer).cannot.get(workload):
                cell = Cell([], reason)
            elif peer not in pythons:
                cell = Cell([], "not installed")
            else:
                cell = _cell(pythons[peer], peer, workload, results, quick=quick)
            found.cells[workload, peer] = cell
            tell(f"{workload}, {peer}: {_told(cell)}")
    return found


def _told(cell: Cell) -> str:
    if not cell.outcomes:
        return cell.reason
    figures = {name: cell.figure(name) for name in cell.outcomes[0].figures}
    text = ", ".join(f"{name} {each.median:.6g}" for name, each in figures.items() if each is not None)
    return f"{text}; of {cell.count}, lost {cell.lost}" + (f"; {cell.reason}" if cell.reason else "")
