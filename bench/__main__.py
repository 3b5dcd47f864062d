"""Measure the bus, and write its sections of docs/benchmarks.md; with --quick a small run, printed only.

First our own figures beside their budgets, then the same work on Sylvite and on its peers.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from bench import budgets, columns, comparison, page, sections, workloads

BUDGETS = "budgets"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small part of the work, once: to see that it runs")
    parser.add_argument(
        "--only", metavar="PEER,...", help=f"of {', '.join(columns.PEERS)}; the start of a name will do"
    )
    parser.add_argument("--workload", metavar="W,...", help=f"of {', '.join((BUDGETS, *workloads.NAMES))}")
    parser.add_argument(
        "--write", action="store_true", help="write the page after a part too; it says what is left out"
    )
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="keep each run in FILE, and do not repeat those that are there"
    )
    return parser


def _stop(_number: int, _frame: object) -> None:
    sys.exit(143)


def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    # So that what was started is ended also then.
    signal.signal(signal.SIGTERM, _stop)
    try:
        peers = columns.chosen(arguments.only) if arguments.only else list(columns.PEERS)
    except ValueError as error:
        parser.error(str(error))
    names = arguments.workload.split(",") if arguments.workload else [BUDGETS, *workloads.NAMES]
    if unknown := [name for name in names if name not in (BUDGETS, *workloads.NAMES)]:
        parser.error(f"no workload is called {', '.join(unknown)}")
    if not arguments.workload and arguments.only and not set(peers) & set(columns.OURS):
        names.remove(BUDGETS)
    run = budgets.Run(quick=arguments.quick)
    if BUDGETS in names:
        budgets.measure(run)
        names.remove(BUDGETS)
    found = comparison.compare(
        peers, names, comparison.Results(arguments.results), lambda text: print(text, file=sys.stderr, flush=True),
        quick=arguments.quick,
    )  # fmt: skip
    left_out = [name for name in workloads.NAMES if name not in found.workloads]
    made = page.sections(run.rows, found, left_out)
    is_part = arguments.quick or arguments.only or arguments.workload
    if is_part and not arguments.write:
        print("\n".join(made))
    else:
        sections.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
