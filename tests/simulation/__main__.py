"""`python -m tests.simulation SEED [SECONDS]`: print the trace of one seed, whole, and its digest.

SECONDS: for how long there are faults; 600 by default.
"""

from __future__ import annotations

import sys

from tests.simulation.simulation import FAULTS_S, Failed, simulate


def main(arguments: list[str]) -> int:
    """Return the exit code: 1 where an invariant does not hold."""
    seed, faults_s = int(arguments[0]), float(arguments[1]) if len(arguments) > 1 else FAULTS_S
    try:
        result = simulate(seed, faults_s, lambda line: print(line))  # noqa: T201 - a program for the terminal
    except Failed as failed:
        print(f"seed {seed}: {failed.__cause__}")  # noqa: T201 - as above
        return 1
    print(f"seed {seed}: {result.digest}")  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
