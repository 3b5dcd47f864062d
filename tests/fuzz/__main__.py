"""`python -m tests.fuzz TARGET SEED N`: run one target, replaying the corpus first."""

from __future__ import annotations

import sys

from tests.fuzz.run import fuzz
from tests.fuzz.targets import TARGETS


def main(arguments: list[str]) -> int:
    if len(arguments) != 3 or arguments[0] not in TARGETS:
        print(f"python -m tests.fuzz TARGET SEED N\nTARGET: {', '.join(TARGETS)}", file=sys.stderr)  # noqa: T201
        return 2
    result = fuzz(arguments[0], int(arguments[1]), int(arguments[2]))
    print(result)  # noqa: T201 - the result
    return int(result.failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
