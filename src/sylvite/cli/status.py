"""`sylvite status`: how the broker is doing."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sylvite.cli import color, exit_codes
from sylvite.cli.amounts import show_bytes, show_count, show_duration, show_number_of
from sylvite.cli.color import Painter, wants_color
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.connect import connect
from sylvite.cli.node_facts import facts_of_bus
from sylvite.cli.option_types import DURATION
from sylvite.cli.output import write_json
from sylvite.cli.template import printable

if TYPE_CHECKING:
    from sylvite.client.sync_client import Client

EXAMPLES = (
    Example("sylvite status", "One look"),
    Example("sylvite status --watch", "Again every 2 seconds, with rates", endless=True),
    Example("sylvite status --json", "For programs"),
)
NANOSECONDS = 1_000_000_000
SHOWN_MAX = 8
"""So many minions are named."""


class ScrubFacts(msgspec.Struct):
    """How often all sealed segments were read again since the broker has started, and when last."""

    every_s: float | None
    rounds: int
    finished_ns: int | None
    bytes: int


class LogFacts(msgspec.Struct):
    """The log, as the broker tells of it (docs/protocol.md, "Verbs")."""

    log_id: str
    folder: str
    epoch: str
    oldest: int
    end: int
    synced: int
    segments: int
    bytes: int
    free_bytes: int
    keep_free_bytes: int
    keep_bytes: int | None
    keep_s: float | None
    damaged: list[dict[str, Any]]
    scrub: ScrubFacts


class Stats(msgspec.Struct):
    """What the verb `stats` answers."""

    broker: str
    started_ns: int
    now_ns: int
    log: LogFacts
    counters: dict[str, int]
    connections: int
    subscriptions: int
    cursors: int
    clients: list[dict[str, Any]]


@command("status", examples=EXAMPLES)
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option("--every", type=DURATION, default=2.0, metavar="TIME", help="How often [2s].")
@pass_options
def status(options: GlobalOptions, *, watch: bool, every: float) -> int:
    """Show how the broker is doing.

    Of a master also which minions are connected, of a minion what waits for its master. Only for the user that runs it.
    """
    painter = Painter(enabled=wants_color(options.color, sys.stdout))
    with connect(options, endless=watch) as client:
        try:
            before: Stats | None = None
            while True:
                stats = _show(client, options, painter, before, clear=watch and sys.stdout.isatty())
                if not watch:
                    return exit_codes.DONE
                before = stats
                time.sleep(max(0.1, every))
        except KeyboardInterrupt:
            if watch:
                return exit_codes.DONE
            raise


def _show(client: Client, options: GlobalOptions, painter: Painter, before: Stats | None, *, clear: bool) -> Stats:
    answer = client.ask("stats")
    stats = msgspec.convert(answer, Stats)
    node = facts_of_bus(client, stats.log.folder)
    if options.json:
        write_json(answer | node)
        return stats
    lines = [*screen(stats, before, painter), *_node(painter, node)]
    if clear:
        sys.stdout.write("\033[H\033[2J")
    sys.stdout.write("\n".join(lines) + "\n")
    if not clear and before is not None:
        sys.stdout.write("\n")
    sys.stdout.flush()
    return stats


def screen(stats: Stats, before: Stats | None, painter: Painter) -> list[str]:
    """Return the lines that tell of `stats`; with `before`, rates too."""
    log = stats.log
    up_s = max(0.0, (stats.now_ns - stats.started_ns) / NANOSECONDS)
    unsynced = max(log.end - log.synced, 0)
    lines = [
        _line(painter, "broker", f"{printable(stats.broker)}, up {show_duration(up_s)}"),
        _line(
            painter, "log",
            f"@{log.oldest} to @{log.end}: {show_number_of(log.end - log.oldest, 'event')}, {show_bytes(log.bytes)} in "
            f"{show_number_of(log.segments, 'segment')}, {printable(log.folder)}",
        ),
        _line(painter, "", f"{keeping(log)}; {show_number_of(unsynced, 'event')} not synced yet"),
        _disk(painter, log),
    ]  # fmt: skip
    for damage in log.damaged:
        where = f"{damage['segment']}: @{damage['first']}..@{damage['next'] - 1} cannot be read"
        lines.append(_line(painter, "DAMAGE", painter.paint(where, color.RED)))
    rates = _rates(stats, before)
    known = (
        show_number_of(stats.connections, "connection"),
        show_number_of(stats.subscriptions, "subscription"),
        show_number_of(stats.cursors, "cursor"),
    )
    lines.append(_line(painter, "clients", ", ".join(known)))
    for client in stats.clients:
        lines.extend(_client(painter, client))
    counters = [
        f"{name.replace('_', ' ')} {show_count(count)}{rates.get(name, '')}" for name, count in stats.counters.items()
    ]
    lines.append(_line(painter, "counters", ", ".join(counters)))
    return lines


def _line(painter: Painter, title: str, text: str) -> str:
    return f"{painter.paint(f'{title:10}', color.BOLD)}{text}"


def keeping(log: LogFacts) -> str:
    limits: list[str] = []
    if log.keep_s is not None:
        limits.append(f"at most {show_duration(log.keep_s)}")
    if log.keep_bytes is not None:
        limits.append(f"at most {show_bytes(log.keep_bytes)}")
    return "kept " + (" and ".join(limits) if limits else "for ever")


def _disk(painter: Painter, log: LogFacts) -> str:
    text = f"{show_bytes(log.free_bytes)} free, publishing stops at {show_bytes(log.keep_free_bytes)}"
    low = log.free_bytes < 2 * log.keep_free_bytes
    return _line(painter, "disk", painter.paint(f"{text}: LOW", color.RED) if low else text)


def _client(painter: Painter, client: dict[str, Any]) -> list[str]:
    subscriptions = client["subscriptions"]
    name = f"{printable(client['sender'])} {printable(client['client'])}".strip()
    states = [
        ("live" if each["live"] else f"{show_count(each['behind'])} behind")
        + (f" (cursor {printable(each['cursor'])})" if each["cursor"] else "")
        for each in subscriptions
    ]
    return [_line(painter, "", f"{name}{': ' if states else ''}{', '.join(states)}")]


def _node(painter: Painter, node: dict[str, Any]) -> list[str]:
    """Return the lines that tell of the master or minion whose bus it is."""
    lines: list[str] = []
    if master := node.get("master"):
        names = f": {some(master['connected'])}" if master["connected"] else ""
        lines.append(_line(painter, "minions", f"{len(master['connected'])} connected{names}"))
        if master["away"]:
            lines.append(_line(painter, "", f"{len(master['away'])} not here: {some(master['away'])}"))
        if master["waiting"]:
            waiting = f"{show_number_of(len(master['waiting']), 'key')} to be accepted: {some(master['waiting'])}"
            lines.append(_line(painter, "keys", painter.paint(waiting, color.YELLOW)))
    if minion := node.get("minion"):
        lines.append(
            _line(painter, "outbox", f"{show_number_of(minion['waiting'], 'event')} that the master has not yet")
        )
        if wrong := minion["wrong_master"]:
            text = f"{wrong['master']} is not to be trusted: {wrong['reason']}"
            lines.append(_line(painter, "MASTER", painter.paint(printable(text), color.RED)))
    return lines


def some(ids: list[str]) -> str:
    shown = ", ".join(printable(id_) for id_ in ids[:SHOWN_MAX])
    return shown + (f" and {len(ids) - SHOWN_MAX} more" if len(ids) > SHOWN_MAX else "")


def _rates(stats: Stats, before: Stats | None) -> dict[str, str]:
    if before is None or stats.now_ns <= before.now_ns:
        return {}
    seconds = (stats.now_ns - before.now_ns) / NANOSECONDS
    return {
        name: f" ({(count - before.counters.get(name, 0)) / seconds:,.0f}/s)".replace(",", " ")
        for name, count in stats.counters.items()
    }
