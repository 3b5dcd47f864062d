"""`sylvite log prune`: delete the oldest segments."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from sylvite.cli.amounts import show_bytes, show_number_of
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.confirm import confirm
from sylvite.cli.connect import connect
from sylvite.cli.option_types import OFFSET
from sylvite.cli.output import write_json

EXAMPLES = (
    Example("sylvite log prune --dry-run", "What would the limits of the broker let go now?"),
    Example("sylvite log prune --before @1000 --dry-run", "What holds nothing but events below @1000?"),
    Example("sylvite log prune --before @1000 -y", "Delete it"),
)


@command("prune", examples=EXAMPLES)
@click.option("--before", type=OFFSET, metavar="@OFFSET", help="What holds only events below it [the broker's limits].")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Of a log that no broker runs on; needs --before.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_options
def prune(options: GlobalOptions, before: int | None, folder: Path | None, *, dry_run: bool, yes: bool) -> None:
    """Delete the oldest segments.

    Whole files only, never the newest one, and nothing that is not synced. Readers that have not come so far get a
    gap that says so.
    """
    if folder is not None:
        if before is None:
            raise click.UsageError("the limits are the broker's: with --dir say --before what")
        _tell(options, _prune_folder(folder, before, dry_run=dry_run, yes=yes))
        return
    with connect(options) as client:
        planned = client.ask("prune", before=before, dry_run=True)
        if dry_run or not planned["segments"]:
            _tell(options, planned)
            return
        confirm(_question(planned), yes=yes)
        # What was asked about, and not what has come of age in the meantime.
        _tell(options, client.ask("prune", before=planned["segments"][-1]["next"], dry_run=False))


def _prune_folder(folder: Path, before: int, *, dry_run: bool, yes: bool) -> dict[str, Any]:
    from sylvite.cli.log_folder import OpenLog, find_folder
    from sylvite.eventlog import retention
    from sylvite.eventlog.eventlog import EventLog, LogSettings
    from sylvite.eventlog.storage import DiskStorage

    place = find_folder(GlobalOptions(), folder)
    with OpenLog(place) as log:
        going = retention.before(log.history.segments, before, log.history.end)
        facts: dict[str, Any] = {
            "segments": [{"segment": each.name, "first": each.base, "next": each.next} for each in going],
            "bytes": sum(each.size for each in going),
            "oldest": log.history.oldest,
            "dry_run": dry_run,
        }
    if dry_run or not going:
        return facts
    confirm(_question(facts), yes=yes)
    writable = EventLog(DiskStorage(place), LogSettings(), now_ns=time.time_ns())
    try:
        writable.drop(retention.before(writable.segments, going[-1].next, writable.synced))
        job = writable.sync_job()
        if job is not None:
            job.run()
            writable.sync_done(None, time.time_ns(), time.monotonic())
        return {**facts, "oldest": writable.oldest}
    finally:
        writable.close()


def _question(facts: dict[str, Any]) -> str:
    first, last = facts["segments"][0]["first"], facts["segments"][-1]["next"] - 1
    files = show_number_of(len(facts["segments"]), "segment")
    return f"Delete {files} ({show_bytes(facts['bytes'])}) with the events @{first}..@{last}?"


def _tell(options: GlobalOptions, facts: dict[str, Any]) -> None:
    if options.json:
        write_json(facts)
        return
    verb = "would be deleted" if facts["dry_run"] else "deleted"
    for segment in facts["segments"]:
        click.echo(f"{segment['segment']}  @{segment['first']}..@{segment['next'] - 1}  {verb}")
    files = show_number_of(len(facts["segments"]), "segment")
    click.echo(f"{files}, {show_bytes(facts['bytes'])} {verb}; the log starts at @{facts['oldest']}")
