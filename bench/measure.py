"""Measure one workload with one peer, in an interpreter that has the peer's client; print a line of JSON.

`python -m bench.measure PEER WORKLOAD [--quick]`; the workload `versions` says what is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import workloads
from bench.columns import peer_class
from bench.processes import die_with_parent


def measure(name: str, workload: str, scale: workloads.Scale) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as folder:
        peer = peer_class(name)(Path(folder))
        if workload == "versions":
            return peer.versions()
        peer.load()
        with peer:
            return workloads.run(workload, peer, scale).as_dict()


def main() -> int:
    die_with_parent()
    parser = argparse.ArgumentParser(prog="bench.measure", description=__doc__)
    parser.add_argument("peer")
    parser.add_argument("workload")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.peer, arguments.workload, workloads.Scale(arguments.quick))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
