"""`sylvite log status`: how far the log reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from sylvite.cli.amounts import show_bytes, show_count, show_duration, show_number_of
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.connect import connect
from sylvite.cli.output import write_json
from sylvite.cli.status import LogFacts, ScrubFacts, keeping
from sylvite.cli.template import local_time, printable

EXAMPLES = (
    Example("sylvite log status", "Ask the broker"),
    Example("sylvite log status --dir ./bus", "Look into the folder, with or without a broker"),
)


@command("status", examples=EXAMPLES)
@click.option("--dir", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Look there, instead of asking.")
@pass_options
def status(options: GlobalOptions, folder: Path | None) -> None:
    """Show how far the log reaches, and what it takes."""
    facts = _asked(options) if folder is None else _looked_up(options, folder)
    if options.json:
        write_json(facts)
        return
    shown = [
        ("folder", printable(str(facts["folder"]))),
        ("log id", facts["log_id"]),
        ("epoch", facts["epoch"]),
        ("events", f"@{facts['oldest']} to @{facts['end']}: {show_count(facts['end'] - facts['oldest'])}"),
    ]
    if "synced" in facts:
        shown.append(("synced", f"up to @{facts['synced']}"))
    shown.append(("size", f"{show_bytes(facts['bytes'])} in {show_number_of(facts['segments'], 'segment')}"))
    if "newest_ns" in facts:
        shown.append(("newest", "none" if facts["newest_ns"] is None else local_time(facts["newest_ns"])))
    if folder is None:
        log = msgspec.convert(facts, LogFacts)
        shown.append(("kept", keeping(log).removeprefix("kept ")))
        free = f"{show_bytes(log.free_bytes)} free; publishing stops at {show_bytes(log.keep_free_bytes)}"
        shown.append(("disk", free))
        shown.append(("checked", checked(log.scrub)))
    shown.extend(
        ("DAMAGE", f"{damage['segment']}: @{damage['first']}..@{damage['next'] - 1}") for damage in facts["damaged"]
    )
    for title, text in shown:
        click.echo(f"{title:8}{text}")


def checked(scrub: ScrubFacts) -> str:
    """Return when all sealed segments were read again."""
    if scrub.every_s is None:
        return "by `sylvite log verify` alone"
    if scrub.finished_ns is None:
        return f"not since the broker started; {show_bytes(scrub.bytes)} so far"
    return f"all sealed segments, {local_time(scrub.finished_ns)}; every {show_duration(scrub.every_s)}"


def _asked(options: GlobalOptions) -> dict[str, Any]:
    with connect(options) as client:
        return client.ask("log")


def _looked_up(options: GlobalOptions, folder: Path) -> dict[str, Any]:
    from sylvite.cli.log_folder import OpenLog, find_folder

    place = find_folder(options, folder)
    with OpenLog(place) as log:
        history = log.history
        newest = history.batch_at(history.end - 1).stamp_ns if history.end > history.oldest else None
        return {
            "log_id": history.log_id,
            "folder": str(place),
            "epoch": f"{history.epoch:016x}",
            "oldest": history.oldest,
            "end": history.end,
            "segments": len(history.segments),
            "bytes": log.total_bytes,
            "newest_ns": newest,
            "damaged": [
                {"segment": name, "first": gap.first, "next": gap.next} for (name, _), gap in history.damages.items()
            ],
        }
