"""docs/benchmarks.md in sections: each part of the measurements writes its own, and leaves the others as they stand."""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
FINDINGS = Path(__file__).parent / "findings.md"
LOAD = os.getloadavg()[0]
"""Of the machine, before anything was measured."""


class Part(NamedTuple):
    """One measurement: `python -m MODULE` writes the sections with these headings.  `takes`: about how long, whole and with --quick."""

    module: str
    headings: tuple[str, ...]
    takes: tuple[str, str]


PARTS = (
    Part("bench", ("The bus", "Beside other buses"), ("1 hour", "5 minutes")),
    Part("bench.jobs", ("Jobs",), ("2 minutes", "1 minute")),
    Part("bench.link", ("The link",), ("5 minutes", "1 minute")),
    Part("bench.names", ("Salt's names",), ("5 minutes", "2 minutes")),
    Part("bench.sse", ("Streams over HTTP",), ("5 minutes", "2 minutes")),
    Part("bench.cluster", ("Between two masters",), ("2 minutes", "half a minute")),
    Part("bench.scale", ("Several masters",), ("8 minutes", "half a minute")),
)
"""In the order of the page."""
HEADINGS = tuple(heading for part in PARTS for heading in part.headings)
_FOUND = "What was found"
_HEAD = re.compile(r"^## (.+)\n", re.MULTILINE)


_ABOUT = (
    "Made by `make bench`, a part after the other; each part can be run alone, and writes its own sections. The figures of a section are of one run, "
    "which it names, and the limits beside them of the same run. With `--quick` a part does little of its work, and only prints it."
)


def head() -> str:
    lines = [
        "# Benchmarks",
        "",
        _ABOUT,
        "",
        "| part | sections | takes | `--quick` |",
        "|---|---|---|---|",
        *(f"| `python -m {part.module}` | {', '.join(part.headings)} | {' | '.join(part.takes)} |" for part in PARTS),
    ]
    return "\n".join(lines)


def with_sections(page: str, sections: Sequence[str], found: str) -> str:
    """Return a page in which these sections stand in the place of those with their headings; `found` is its last one."""
    _, *pieces = _HEAD.split(page)
    standing = dict(zip(pieces[::2], pieces[1::2], strict=True))
    for section in (*sections, found):
        _, heading, text = _HEAD.split(section)
        standing[heading] = text
    kept = [f"## {name}\n\n{standing[name].strip()}" for name in (*HEADINGS, _FOUND) if name in standing]
    return "\n\n".join([head(), *kept]) + "\n"


def write(sections: Sequence[str]) -> None:
    page = PAGE.read_text() if PAGE.exists() else ""
    PAGE.write_text(with_sections(page, sections, FINDINGS.read_text()))
    print(f"written to {PAGE.relative_to(ROOT)}", file=sys.stderr)


def section(heading: str, *texts: str) -> str:
    """Return a section: its heading, of which run it is, and its texts."""
    return "\n\n".join([f"## {heading}", stamp(), *(text.strip() for text in texts if text.strip())]) + "\n"


def stamp() -> str:
    """Return of which run the figures are: when, which commit, on which machine, with what."""
    names = ("msgspec", "uvloop", "google-crc32c", "click")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    return "\n".join([
        f"- {datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip() or 'unknown'}",
        f"- {_machine()}, Python {platform.python_version()}; a load of {LOAD:.1f} before the run",
        f"- {', '.join(f'{name} {version(name)}' for name in names)}",
    ])  # fmt: skip


def _machine() -> str:
    processors = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    models = sorted({line.partition(":")[2].strip() for line in processors}) or [platform.machine()]
    return f"{os.cpu_count()} cores ({', '.join(models)}), Linux {platform.release()}"


def parser_of(program: str, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=about.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small part of it, printed only: to see that it runs")
    parser.add_argument("--write", action="store_true", help="write the page after a small part, too")
    return parser


def run_alone(parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace], str]) -> int:
    """Run one measurement from a command line: write its section, or print it; return the exit code."""

    def stop(_number: int, _frame: object) -> NoReturn:
        sys.exit(143)

    # So that what was started is ended also then.
    signal.signal(signal.SIGTERM, stop)
    given = parser.parse_args()
    made = measure(given)
    if given.quick and not given.write:
        print(made)
    else:
        write([made])
    return 0
