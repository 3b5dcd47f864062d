"""What a row of the reliability scorecard found: one line of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

REPORT_TO = "SYLVITE_FAULTS_REPORT"


def report(
    row: str,
    *,
    seed: int,
    runs: int,
    counters: Mapping[str, float],
    target: Mapping[str, float] | None = None,
    without: str | None = None,
) -> None:
    """Print the result of a row; append it to the file that $SYLVITE_FAULTS_REPORT names.

    `target`: the highest value that each of these counters may have; without it, all of them may have only 0.
    `without`: the safeguard that a negative control has taken out; its result is none of the row's, and not printed.

    Raises:
        AssertionError: a counter is above its target.
    """
    limits = dict.fromkeys(counters, 0.0) if target is None else dict(target)
    passed = all(counters[name] <= limit for name, limit in limits.items())
    line = json.dumps(
        {"row": row, "seed": seed, "runs": runs, "counters": dict(counters), "target": limits, "pass": passed}
    )
    if without is not None:
        assert passed, line
        return
    print(line)  # noqa: T201 - the result of the row
    if path := os.environ.get(REPORT_TO):
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    assert passed, line
