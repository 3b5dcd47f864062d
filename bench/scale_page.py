"""What `python -m bench.scale` writes: its section of docs/benchmarks.md, and what stands between the marks of docs/scale.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.budgets import many
from bench.scale_model import PARTS, LinkPrices, Prices, Site, load_of, most_events, predicted, spent
from bench.sections import PAGE, ROOT, stamp

if TYPE_CHECKING:
    from bench.scale import Measured

SCALE_PAGE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- from here on written by `python -m bench.scale` -->", "<!-- up to here -->"
NAMES = {
    "broker": "broker, of each master",
    "bridge": "bridge, of each master",
    "servers": "three NATS servers together",
}
ABOUT = (
    "Three NATS servers that sync each message, and masters with all their parts, all on one machine; events of 250 bytes, published `synced` for {lasts:g} s. "
    "One batch at a time is published and waited for; several at a time come as of so many minions. Listeners stand at each master, hear all events of all masters, and decode none. Processor time is that of the processes, threads and system calls "
    "together, so that other work on the machine lengthens a run more than it raises a figure. Bytes on the wire are those between masters and servers and "
    "among servers, both for each event of any master; the stream keeps its bytes on each of three servers, and each master the log of all events."
)
PRICED = "Prices: the least squares of the relative errors over all but the last {tried} of these runs. A batch is what was published at once, or one event of a minion; a turn is what came together, of one batch or several."
TRIED = "The prices, tried on runs that they were not found from:"
CORE = 0.5
"""Of what it can do at most, a process is to need so much, so that there is room for bad moments."""
SITES = (
    (1_000, 1, 5), (10_000, 2, 10), (10_000, 3, 10), (100_000, 10, 20), (100_000, 20, 20), (100_000, 20, 100),
)  # fmt: skip
RATES = (1 / 600, 1 / 60, 1 / 10)
STREAMS = (1, 2, 5, 10, 20)
TOGETHER_MIN = 2
"""So many masters have a stream, so that one can die."""


def measured_table(found: Sequence[Measured]) -> str:
    rows = [
        f"| {each.case.masters} | {many(each.case.rate)} | {each.case.each} | {each.case.at_once} | {each.case.listeners} | "
        f"{' | '.join(_percent(spent(each.sample, part) / each.sample.seconds) for part in PARTS)} | "
        + ("– | – | – |" if each.bytes is None else " | ".join(f"{value:,.0f}" for value in each.bytes) + " |")
        for each in found
    ]
    head = "| masters | events/s of each | in a batch | batches at a time | listeners at each | broker | bridge | NATS | bytes on the wire | in the stream | in a log |"
    return "\n".join([head, "|" + "---|" * 11, *rows])


def _percent(part: float) -> str:
    return f"{part:.1%}"


def prices_table(prices: Prices, tried: int) -> str:
    rows = [
        f"| {NAMES[part]} | {'; '.join(f'{name} {_price(name, value)}' for name, value in prices[part].items())} |"
        for part in PARTS
    ]
    return "\n".join([PRICED.format(tried=tried), "", "| processor time of | for each |", "|---|---|", *rows])


def _price(name: str, value: float) -> str:
    return f"{value * 1e3:.1f} ms" if name == "second" else f"{value * 1e6:.1f} µs"


def tried_table(prices: Prices, found: Sequence[Measured]) -> str:
    rows: list[str] = []
    errors: list[float] = []
    for each in found:
        cells: list[str] = []
        for part in PARTS:
            took, said = spent(each.sample, part), predicted(prices, each.sample, part)
            errors.append(abs(said - took) / took)
            cells.append(f"{said / each.sample.seconds:.1%}, measured {took / each.sample.seconds:.1%}")
        rows.append(f"| {each.case.words} | {' | '.join(cells)} |")
    mean = sum(errors) / len(errors)
    return "\n".join([
        TRIED, "", "| masters, events, listeners at each | broker | bridge | NATS |", "|---|---|---|---|", *rows, "",
        f"The model is wrong by {mean:.0%} of what was measured on average, and by {max(errors):.0%} at most.",
    ])  # fmt: skip


# -- What it says of sites that do not fit here ------------------------------------------------------------------------


def says(prices: Prices, link: LinkPrices) -> str:
    """Return the generated part of docs/scale.md."""
    found = (stamp(), carries_table(PAGE.read_text()), most_table(prices), sites_table(prices, link))
    return "\n\n".join(text for text in found if text) + "\n"


_FIGURES = (
    ("The link", r"^\| ([\d ]+ idle sessions at one link: [^|]*) \| ([^|]+) \|"),
    ("The link", r"^\| (1,000 simulated minions|1 real minion) \| ([^|]+) \|"),
    ("Jobs", r"^\| ([^|]*minions?[^|]*) \| (\d[^|]*) \|"),
    ("The bus", r"^\| (one publisher, one subscriber[^|]*`synced`|100 subscribers[^|]*) \| ([^|]+) \|"),
    ("Streams over HTTP", r"^\| ([^|]+ \| [\d ]+) \| (\d[^|]*) \|"),
    ("Between two masters", r"^\| (events to a listener on the other|acknowledgements[^|]*) \| ([^|]+) \|"),
)
"""What one master carries: the section of docs/benchmarks.md, and which of its lines."""


def carries_table(page: str) -> str:
    """Return the figures of one master that the other benchmarks have measured, as their page has them."""
    rows = [
        f"| {heading} | {what.strip().replace(' |', ',')} | {value.strip()} |"
        for heading, pattern in _FIGURES
        for what, value in re.findall(pattern, _section_of(page, heading), re.MULTILINE)
    ]
    text = "What one master carries, from the sections of [benchmarks.md](benchmarks.md) that are there:"
    return "\n".join([text, "", "| section | what | measured |", "|---|---|---|", *rows]) if rows else ""


def _section_of(page: str, heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return "" if found is None else found[1]


def link_words(sessions: int, link: LinkPrices) -> str:
    return (
        f"The link of one master: {link.session * 1e6:.1f} µs of processor time a second for each of {many(sessions)} idle minions, and "
        f"{link.event_s * 1e6:.0f} µs for each event that comes from one."
    )


def most_table(prices: Prices) -> str:
    listeners = (1, 10, 100)
    rows = [
        f"| {masters} | "
        + " | ".join(f"{many(most_events(prices, masters, each, CORE))}/s" for each in listeners)
        + " |"
        for masters in (1, 2, 3, 5, 10, 20)
    ]
    head = " | ".join(f"{each} listener{'s' if each > 1 else ''} at each" for each in listeners)
    text = f"So many events a second, of all masters together and each a batch of its own, until a broker or bridge needs {CORE:.0%} of a core:"
    return "\n".join([text, "", f"| masters on one stream | {head} |", "|---|---|---|---|", *rows])


def sites_table(prices: Prices, link: LinkPrices) -> str:
    rows: list[str] = []
    for minions, masters, listeners in SITES:
        for rate in RATES:
            streams = _fewest_streams(minions, masters, listeners, rate, prices, link)
            site = Site(minions, rate, masters, listeners, streams or STREAMS[0])
            load = load_of(site, prices, link)
            cells = " | ".join(_percent(part) for part in load)
            rows.append(
                f"| {many(minions)} | {many(minions * rate)} | {masters} | {listeners} | {streams or 'none is enough'} | {cells} |"
            )
    head = "| minions | events/s | masters | listeners at each | streams | link | broker | bridge | NATS servers of a stream |"
    text = (
        f"The fewest streams, each with two masters at least where there are several, with which no process of a master needs more than {CORE:.0%} of a core, "
        "and what each needs then; where none is enough, what it is with one:"
    )
    return "\n".join([text, "", head, "|" + "---|" * 9, *rows])


def _fewest_streams(
    minions: int, masters: int, listeners: int, rate: float, prices: Prices, link: LinkPrices
) -> int | None:
    for streams in STREAMS:
        site = Site(minions, rate, masters, listeners, streams)
        is_shared = masters == 1 or masters // streams >= TOGETHER_MIN
        if masters % streams == 0 and is_shared and load_of(site, prices, link).busiest <= CORE:
            return streams
    return None


def with_says(page: str, text: str) -> str:
    """Return a page in which this stands between the marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"


def write(text: str) -> None:
    SCALE_PAGE.write_text(with_says(SCALE_PAGE.read_text(), text))
