"""docs/reliability.md, from the results of `make faults`: `python -m tests.faults.page results.jsonl ...`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
TEXTS = Path(__file__).with_name("scorecard.toml")

INTRODUCTION = """\
# Reliability

What happens to events when something breaks, and how it is known. Made from the results of the fault tests, which break a real
broker, its disk and its clients on purpose, again and again, and count what went wrong. Each row is a fault; *what it means* is what
you may rely on. A counter that is 0 has no other value that is allowed; others stand with the most that is. How often a row ran is
shown, as "500 of 1,000" where the scorecard asks for more than were run; and when.

A row counts only with its **controls**: the same test with a safeguard taken out (no sync, no checksum, no lock, ...) must fail.
How many were, and did, stands beside it; which ones, below.
`make test` runs a short form of every row, `make faults` the long one; each takes its seed from what it prints, and the seed
repeats the run. Rows are named as in the scorecard of the tests in `tests/faults/`.
"""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What breaks, what the row means to a user, and how many runs the scorecard asks for (0: it does not say)."""

    id: str
    fault: str
    means: str
    asked: int = 0


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rows: tuple[Row, ...]


class Result(msgspec.Struct, frozen=True):
    """A line of the results; with `without`, of a control."""

    row: str
    day: str
    commit: str
    runs: int = 0
    counters: dict[str, float] = {}
    target: dict[str, float] = {}
    passed: bool = msgspec.field(name="pass", default=True)
    without: str = ""
    caught: bool = False

    @property
    def id(self) -> str:
        """The row of the scorecard; behind it may stand which part of it."""
        return self.row.partition(" ")[0]


def rows() -> tuple[Row, ...]:
    return msgspec.toml.decode(TEXTS.read_bytes(), type=Texts).rows


def read(lines: Iterable[bytes]) -> list[Result]:
    decoder = msgspec.json.Decoder(Result)
    return [decoder.decode(line) for line in lines if line.strip()]


def page(results: Sequence[Result]) -> str:
    """Return the page; what ran several times is counted together, with the worst of each counter."""
    lines = [
        INTRODUCTION,
        "| row | what breaks | what it means | runs | when | found | controls |",
        "|---|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    for row in rows():
        runs = [result for result in results if result.id == row.id and not result.without]
        controls = {result.without for result in results if result.id == row.id and result.without and result.caught}
        missed = {result.without for result in results if result.id == row.id and result.without and not result.caught}
        found = _found(runs) if runs else "**not run**"
        caught = f"{len(controls)}" if controls else "**none**"
        caught += f", **not caught: {', '.join(sorted(missed))}**" if missed else ""
        many = _many(sum(result.runs for result in runs), row.asked)
        lines.append(f"| {row.id} | {row.fault} | {row.means} | {many} | {_when(runs)} | {found} | {caught} |")
        if controls:
            notes.append(f"- **{row.id}**: {'; '.join(sorted(controls))}.")
    days = sorted({result.day for result in results})
    commits = list(dict.fromkeys(result.commit for result in results))
    lines += ["", f"Run from {days[0]} to {days[-1]}, commits {', '.join(commits)}." if days else "Nothing was run."]
    lines += ["", "## What was taken out for the controls", "", *notes, ""]
    return "\n".join(lines)


def _when(results: Sequence[Result]) -> str:
    days = sorted({result.day for result in results})
    return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""


def _many(runs: int, asked: int) -> str:
    return f"{runs:,} of {asked:,}" if runs < asked else f"{runs:,}"


def shortcomings(results: Sequence[Result]) -> list[str]:
    """Return why these are not the results that a release needs: of each row, what is missing or has failed."""
    found: list[str] = []
    for row in rows():
        runs = [result for result in results if result.id == row.id and not result.without]
        controls = [result for result in results if result.id == row.id and result.without]
        missed = sorted({result.without for result in controls if not result.caught})
        if not runs:
            found.append(f"{row.id} was not run")
        elif not controls:
            found.append(f"{row.id} counts as not run: it has no control")
        if not all(result.passed for result in runs):
            found.append(f"{row.id} has failed")
        found += [f"{row.id} does not see that {without} is taken out" for without in missed]
    return found


def _found(runs: Sequence[Result]) -> str:
    worst: dict[str, float] = {}
    limits: dict[str, float] = {}
    for result in runs:
        for name, limit in result.target.items():
            limits[name] = max(limit, limits.get(name, limit))
            worst[name] = max(result.counters[name], worst.get(name, result.counters[name]))
    none = [_words(name) for name, limit in limits.items() if not limit and not worst[name]]
    parts = [f"{', '.join(none)}: 0"] if none else []
    parts += [f"**{_words(name)}: {worst[name]:g}**" for name, limit in limits.items() if not limit and worst[name]]
    for name, limit in limits.items():
        if limit:
            text = f"{_words(name)}: {worst[name]:g} (at most {limit:g})"
            parts.append(text if worst[name] <= limit else f"**{text}**")
    return "; ".join(parts) + ("" if all(result.passed for result in runs) else " **failed**")


def _words(name: str) -> str:
    return name.replace("_", " ")


def main() -> int:
    results: list[Result] = []
    for name in sys.argv[1:]:
        with open(name, "rb") as file:
            results += read(file)
    PAGE.write_text(page(results), encoding="utf-8")
    short = shortcomings(results)
    for each in short:
        print(each, file=sys.stderr)  # noqa: T201 - what the caller has to know
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
