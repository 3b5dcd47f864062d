"""What `python -m bench` writes: our own figures beside their budgets, then the comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.budgets import Row, many
from bench.columns import ONE_EACH, OURS, OURS_BY_NAMES, peer_class
from bench.comparison import RUNS, WITHOUT_LEVEL, Cell, Comparison
from bench.peers.peer import Guarantee
from bench.processes import Spread
from bench.sections import section

MIB = 1024 * 1024
INTRODUCTION = (
    f"The same work in one run: 250-byte events, decoded to dicts with their tag at the end. Median of {RUNS} runs, then the "
    "least and the most. A ratio is the peer's figure over ours at the weakest level that promises as much as the peer; "
    "where the peer is ahead it is bold. The peers' bodies are packed with the same codec as ours, and Salt's with its "
    "own. Each flow lasts one or two seconds. Replays, the stopped subscriber and sizes are measured once. A dash is explained below its table."
)
USES = (
    "Processor time for each event that was published, and the most resident memory; of several processes of one kind the "
    "time together and the memory of the largest."
)
ORDER = (Guarantee.MEMORY, Guarantee.WRITTEN, Guarantee.SYNCED)


def rate(value: float) -> str:
    return f"{many(value)}/s"


def duration(value: float) -> str:
    if value >= 1.0:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 0.001 else f"{value * 1e6:.3g} µs"


def multiple(value: float) -> str:
    """Return a ratio."""
    return f"{value:.2g}x" if value < 100 else f"{value:.0f}x"


def _size(value: float) -> str:
    return f"{value / MIB:.1f} MiB"


class Line(NamedTuple):
    """One line of a table: a figure of a workload, and whether more of it is better."""

    workload: str
    figure: str
    words: str
    show: Callable[[float], str]
    more_is_better: bool = False


LINES = (
    Line("1 to 1", "rate", "1 publisher to 1 subscriber", rate, True),
    Line("1 to 10", "rate", "1 to 10, each event to all", rate, True),
    Line("1 to 100", "rate", "1 to 100, each event to all", rate, True),
    Line("100 to 1", "rate", "100 publishers to 1 subscriber", rate, True),
    Line("prefixes", "rate", "100 subscribers with distinct prefixes of 100 tags", rate, True),
    Line("globs", "rate", "10 subscribers with distinct globs of 10 tags", rate, True),
    Line("latency", "p50", "publish to handler at 500 events/s, p50", duration),
    Line("latency", "p99", "publish to handler at 500 events/s, p99", duration),
    Line("publish", "p50", "one publish, acknowledged", duration),
    Line("stopped", "grown", "one subscriber stopped: the peer's processes grow by", _size),
    Line("stopped", "missed", "one subscriber stopped: events that it has lost in the end", many),
    Line("stopped", "other_missed", "one subscriber stopped: events that the other has lost", many),
    Line("replay", "rate", "replay of a million events to one reader", rate, True),
    Line("command", "p50", "publish one event from the shell, all in all", duration),
    Line("script", "p50", "a Python program that publishes one event, all in all", duration),
    Line("rest", "bytes", "memory of its processes at rest", _size),
    Line("size", "bytes", "installed, client and server", _size),
)
COUNTS = ("missed", "other_missed")
ALL_OURS = (*OURS, *OURS_BY_NAMES)


def _between(found: Spread, show: Callable[[float], str]) -> str:
    if found.least == found.most:
        return show(found.median)
    return f"{show(found.median)}, {show(found.least)} to {show(found.most)}"


class _Footnotes:
    """Reasons below a table, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"


def _ours_beside(line: Line, peer: str, found: Comparison) -> Spread | None:
    """Return our figure at the weakest level that promises at least as much as the peer."""
    if line.workload in WITHOUT_LEVEL:
        names = [name for name in OURS if name in ONE_EACH]
    else:
        least = ORDER.index(peer_class(peer).guarantee)
        names = [name for name in ALL_OURS if ORDER.index(peer_class(name).guarantee) >= least]
    for name in names:
        cell = found.cells.get((line.workload, name))
        if cell is not None and (figure := cell.figure(line.figure)) is not None:
            return figure
    return None


def _shown(line: Line, peer: str, found: Comparison, footnotes: _Footnotes) -> str:
    cell = found.cells.get((line.workload, peer))
    if cell is None:
        return "–"
    figure = cell.figure(line.figure)
    if figure is None:
        return "–" + footnotes.mark(cell.reason or "it gave no figure")
    text = _between(figure, line.show)
    ours = _ours_beside(line, peer, found)
    if peer not in ALL_OURS and line.figure not in COUNTS and ours is not None and ours.median > 0:
        ratio = multiple(figure.median / ours.median)
        ahead = figure.median > ours.median if line.more_is_better else figure.median < ours.median
        text = f"{f'**{ratio}**' if ahead else ratio} ({text})"
    for note in _notes(cell, line, peer):
        text += footnotes.mark(note)
    return text


def _notes(cell: Cell, line: Line, peer: str) -> list[str]:
    notes = [cell.reason] if cell.reason else []
    if note := peer_class(peer).notes.get(line.workload):
        notes.append(note)
    if cell.lost and line.workload != "stopped":
        notes.append(f"lost {many(cell.lost)} of {many(cell.count)} events, or of their copies, in the worst run")
    if line.workload == "replay" and cell.count != 1_000_000:
        notes.append(f"of {many(cell.count)} events, which is what it took within half a minute")
    return notes


def table(peers: Sequence[str], lines: Sequence[Line], found: Comparison, head: Callable[[str], str]) -> list[str]:
    footnotes = _Footnotes()
    rows = [
        f"| {line.words} | {' | '.join(_shown(line, peer, found, footnotes) for peer in peers)} |"
        for line in lines
        if line.workload in found.workloads
    ]
    if not rows or not peers:
        return []
    made = [f"| | {' | '.join(head(peer) for peer in peers)} |", "|---" * (len(peers) + 1) + "|", *rows]
    if footnotes.texts:
        made += ["", *(f"- [{number}] {text}." for number, text in enumerate(footnotes.texts, 1))]
    return [*made, ""]


def _comparison(found: Comparison) -> list[str]:
    lines: list[str] = []
    by_level = [line for line in LINES if line.workload not in WITHOUT_LEVEL]
    for guarantee in ORDER:
        peers = [peer for peer in found.peers if peer_class(peer).guarantee is guarantee]
        made = table(peers, by_level, found, lambda peer: f"{peer_class(peer).title}: {peer_class(peer).promise}")
        if made:
            lines += [f"### {guarantee.value[0].upper()}{guarantee.value[1:]}", "", *made]
    others = [line for line in LINES if line.workload in WITHOUT_LEVEL]
    made = table([peer for peer in found.peers if peer in ONE_EACH], others, found, _product)
    return lines + (["### At any level", "", *made] if made else [])


def _product(peer: str) -> str:
    return "Sylvite" if peer in OURS else peer_class(peer).title


def set_up(found: Comparison) -> list[str]:
    lines = ["### How each is set up", ""]
    for peer in found.peers:
        kind = peer_class(peer)
        versions = ", ".join(f"{name} {each}" for name, each in found.versions.get(peer, {}).items())
        lines.append(f"- **{kind.title}** ({versions or 'not installed'}): {kind.advice}.")
    return [*lines, ""]


def _uses(found: Comparison) -> list[str]:
    """Processor time and memory of each process, of the run with the median or the one before it."""
    rows: list[str] = []
    for (workload, peer), cell in found.cells.items():
        if not cell.outcomes or not cell.outcomes[0].processes:
            continue
        outcome = cell.outcomes[len(cell.outcomes) // 2]
        per = max(outcome.count, 1)
        text = "; ".join(
            f"{use.role}{f' ({use.number})' if use.number > 1 else ''} {use.cpu_s / per * 1e6:.1f} µs, {_size(use.memory_bytes)}"
            for use in outcome.processes
        )
        doubled = f"; {many(outcome.doubled)} twice" if outcome.doubled else ""
        rows.append(
            f"| {workload} | {peer_class(peer).title} | {many(outcome.count)} | {outcome.lost}{doubled} | {text} |"
        )
    if not rows:
        return []
    return [
        "### What each process used",
        "",
        USES,
        "",
        "| workload | bus | events | lost | processes |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]  # fmt: skip


def budgets_table(rows: Sequence[Row]) -> str:
    words = {True: "yes", False: "**no**", None: ""}
    return "\n".join([
        "| what | ours | beside it | ratio | budget | met |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row.what} | {row.ours} | {row.beside} | {row.ratio} | {row.budget} | {words[row.met]} |"
            for row in rows
        ),
    ])  # fmt: skip


def sections(rows: Sequence[Row], found: Comparison, left_out: Sequence[str]) -> list[str]:
    """Return our own figures, and those beside the others'; `left_out` are the workloads that this run had no time for."""
    made: list[str] = []
    if rows:
        made.append(
            section("The bus", "Median of the runs, with the least and the most in brackets.", budgets_table(rows))
        )
    if found.workloads:
        missing = f"Workloads that this run left out: {', '.join(left_out)}." if left_out else ""
        lines = [*_comparison(found), *set_up(found), *_uses(found)]
        made.append(section("Beside other buses", INTRODUCTION, missing, "\n".join(lines)))
    return made
