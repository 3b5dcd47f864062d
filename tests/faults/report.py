"""What a row of the reliability scorecard found: one line of JSON; and what its negative controls found."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

REPORT_TO = "SYLVITE_FAULTS_REPORT"

_controls: list[str] = []
"""The safeguard that the control which runs has taken out."""


def report(
    row: str,
    *,
    seed: int,
    runs: int,
    counters: Mapping[str, float],
    target: Mapping[str, float] | None = None,
    without: str | None = None,
) -> None:
    """Print the result of a row; append it, with the day and the commit, to the file that $SYLVITE_FAULTS_REPORT names.

    `target`: the highest value that each of these counters may have; without it, all of them may have only 0.
    `without`: the safeguard that a negative control has taken out; its result is none of the row's, and not printed.  The
    file is told whether the row saw it.  Inside of `control` neither is said.

    Raises:
        AssertionError: a counter is above its target.
    """
    limits = dict.fromkeys(counters, 0.0) if target is None else dict(target)
    counters = {name: +value for name, value in counters.items()}  # A truth is a number here.
    passed = all(counters[name] <= limit for name, limit in limits.items())
    result = {"row": row, "seed": seed, "runs": runs, "counters": counters, "target": limits, "pass": passed}
    line = json.dumps(result)
    if without is not None and not _controls:
        _keep({"row": row, "without": without, "caught": not passed})
    elif without is None and not _controls:
        print(line)  # noqa: T201 - the result of the row
        _keep(result)
    assert passed, line


@contextmanager
def control(
    row: str,
    *,
    without: str,
    match: str | None = None,
    by: type[BaseException] | tuple[type[BaseException], ...] = AssertionError,
) -> Generator[None]:
    """A negative control: what is inside runs the row with a safeguard taken out, and has to fail.

    `match`, `by`: how it has to fail.  The file that $SYLVITE_FAULTS_REPORT names is told whether it did.
    """
    caught = False
    _controls.append(without)
    try:
        with pytest.raises(by, match=match):
            yield
        caught = True
    finally:
        _controls.pop()
        _keep({"row": row, "without": without, "caught": caught})


def _keep(result: Mapping[str, object]) -> None:
    if path := os.environ.get(REPORT_TO):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({**result, "day": datetime.now(UTC).date().isoformat(), "commit": _commit()}) + "\n")


def _commit() -> str:
    folder = Path(__file__).parent
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()
