"""Every target, with its corpus and so many cases made from it; and whether a broken promise would be seen.

$SYLVITE_FUZZ_CASES and $SYLVITE_FUZZ_SEED are for the long form: how many cases of the lightest targets, and where to
begin; without a seed it is another one each time.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.faults.report import report
from tests.fuzz.run import GROWTH_BYTES_MAX, fuzz
from tests.fuzz.target import CORPUS, case, corpus_of
from tests.fuzz.targets import TARGETS

SHORT_CASES = 4_000
LONG_CASES = int(os.environ.get("SYLVITE_FUZZ_CASES", "200000"))


def _fuzz(name: str, seed: int, cases: int, found: Path = CORPUS, *, without: str = "") -> None:
    result = fuzz(name, seed, cases, found=found, without=without)
    counters = {"refused": result.refused, "failures": result.failures, "growth_mib": result.growth_mib}
    target = {"failures": 0, "growth_mib": GROWTH_BYTES_MAX / 2**20}
    if not without:
        assert not result.failures, f"{name}, seed {seed}: {result.failures} failures, the first in {result.first}"
    report(f"D-01 {name}", seed=seed, runs=result.cases, counters=counters, target=target, without=without or None)


@pytest.mark.parametrize("name", TARGETS)
def test_no_case_breaks_a_promise(name: str) -> None:
    _fuzz(name, 1, SHORT_CASES // TARGETS[name].weight)


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_no_case_of_many_breaks_a_promise(name: str) -> None:
    seed = int(os.environ.get("SYLVITE_FUZZ_SEED") or secrets.randbelow(2**32))
    _fuzz(name, seed, LONG_CASES // TARGETS[name].weight)


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_has_the_seeds_of_its_target(name: str) -> None:
    """`python -m tests.fuzz.seeds` makes them; those that hold random numbers are of the day they were made."""
    assert set(TARGETS[name].seeds()) <= set(corpus_of(name))


@pytest.mark.parametrize("name", TARGETS)
def test_a_seed_makes_the_same_cases_again(name: str) -> None:
    corpus = list(corpus_of(name).values())
    first, again, other = ([case(TARGETS[name], seed, n, corpus) for n in range(20)] for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("name", "cases", "without"),
    [
        ("archives", 4000, "checks of archives"),
        ("segments", 500, "checksums"),
        ("regexes", 100, "counting the steps of patterns"),
        ("frames", 10, "a case that ends the process"),
        ("frames", 10, "a case that takes a gibibyte"),
        ("frames", 10, "a case without end"),
    ],
)
def test_a_broken_promise_is_found_and_kept(name: str, cases: int, without: str, tmp_path: Path) -> None:
    """Negative controls: the case is written down, and beside it why."""
    with pytest.raises(AssertionError, match=f'"row": "D-01 {name}"'):
        _fuzz(name, 1, cases, tmp_path, without=without)
    kept = [path for path in (tmp_path / name).iterdir() if path.suffix != ".cause"]
    assert kept
    assert all(path.with_suffix(".cause").read_text() for path in kept)
