"""G-02: broker, log, publishers and subscribers in a simulated world; its faults come from a seed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.report import report
from tests.simulation.controls import CONTROLS, Control
from tests.simulation.simulation import FAULTS_S, Failed, simulate

LONG_SEEDS = int(os.environ.get("SYLVITE_SIMULATION_SEEDS", "1000"))
LONG_RUNS = 10
SHORT_FAULTS_S = 60.0
CONTROL_SEEDS = 40
MUST_HAPPEN = (
    "killed", "power cut", "crash", "crash in recovery", "stopped", "start failed", "disk full", "disk will fail",
    "clock jumps", "gap retention", "gap reset", "answered WRITTEN", "answered SYNCED", "answered no_space",
    "answered durability_unknown", "answered ack_timeout",
)  # fmt: skip
"""What at least one of the seeds has to have come through."""


def _simulate(seeds: Iterable[int], faults_s: float) -> None:
    happened: Counter[str] = Counter()
    failures: list[Failed] = []
    runs, first = 0, 0
    for seed in seeds:
        first, runs = first or seed, runs + 1
        try:
            happened += simulate(seed, faults_s).happened
        except Failed as failed:
            print(failed)  # noqa: T201 - says the seed, and how to see it again
            failures.append(failed)
    counters = {"violations": len(failures), **dict(sorted(happened.items()))}
    report("G-02", seed=first, runs=runs, counters=counters, target={"violations": 0})
    assert not [name for name in MUST_HAPPEN if not happened[name]]


def test_in_a_world_of_faults_every_promise_holds_and_all_arrives_once_there_is_peace() -> None:
    """I1 to I5, always, and liveness when the faults have ended: in a dozen worlds, and in a thousand in the long form."""
    _simulate(range(1, 13), SHORT_FAULTS_S)


@pytest.mark.long
@pytest.mark.parametrize("run", range(LONG_RUNS))
def test_in_a_thousand_worlds_of_faults_every_promise_holds(run: int) -> None:
    """A minute of faults in each of a thousand worlds, in ten runs; more of them with SYLVITE_SIMULATION_SEEDS."""
    first = 10_000 + run * LONG_SEEDS // LONG_RUNS
    _simulate(range(first, first + LONG_SEEDS // LONG_RUNS), SHORT_FAULTS_S)


@pytest.mark.long
@pytest.mark.parametrize("run", range(LONG_RUNS))
def test_in_a_hundred_worlds_of_long_faults_every_promise_holds(run: int) -> None:
    """Ten minutes of faults in each of a tenth as many others."""
    first = 20_000 + run * LONG_SEEDS // LONG_RUNS
    _simulate(range(first, first + LONG_SEEDS // LONG_RUNS // 10), FAULTS_S)


def test_a_seed_has_one_trace_to_the_byte() -> None:
    """In this process and in others, whatever order their sets and dicts of texts would have."""
    lines: list[str] = []
    result = simulate(7, 20.0, lines.append)
    here = "\n".join([*lines, f"seed 7: {result.digest}", ""])
    for hash_seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "7", "20"], cwd=Path(__file__).parents[2], check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert there == here
    assert simulate(8, 20.0).digest != result.digest


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.__name__)
def test_without_a_safeguard_a_seed_fails(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative controls; the one that fails says which seed it was, how it came to it, and how to see it again."""
    control(monkeypatch)
    first, kinds = CONTROLS[control]
    failed: Failed | None = None
    seed = first - 1
    while failed is None and seed < first + CONTROL_SEEDS:
        seed += 1
        try:
            simulate(seed, SHORT_FAULTS_S)
        except Failed as failure:
            failed = failure
    with pytest.raises(AssertionError, match="violations"):
        report(
            "G-02", seed=first, runs=seed - first + 1, counters={"violations": int(failed is not None)},
            without=control.__name__,
        )  # fmt: skip
    assert failed is not None
    assert failed.kind in kinds, failed
    assert f"seed {seed}: " in str(failed)
    assert f"python -m tests.simulation {seed} {SHORT_FAULTS_S:g}" in str(failed)
