"""`sylvite log segments`: the files of the log."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.amounts import show_bytes, show_count
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.log_folder import OpenLog, find_folder, folder_option
from sylvite.cli.output import table, write_json
from sylvite.cli.template import local_time

EXAMPLES = (
    Example("sylvite log segments", "The files of the running broker's log"),
    Example("sylvite log segments --dir ./bus --json", "Of a log in a folder, for programs"),
)


@command("segments", examples=EXAMPLES)
@folder_option
@pass_options
def segments(options: GlobalOptions, folder: Path | None) -> None:
    """List the files of the log, oldest first."""
    with OpenLog(find_folder(options, folder)) as log:
        found = log.history.segments
        if options.json:
            write_json([
                {
                    "segment": segment.name,
                    "first": segment.base,
                    "next": segment.next,
                    "bytes": segment.size,
                    "created_ns": segment.created_ns,
                    "epoch": f"{segment.epoch:016x}",
                }
                for segment in found
            ])  # fmt: skip
            return
        rows = [
            (
                segment.name,
                f"@{segment.base}",
                show_count(segment.next - segment.base),
                show_bytes(segment.size),
                local_time(segment.created_ns),
                f"{segment.epoch:016x}",
            )
            for segment in found
        ]
    for line in table(rows, ("SEGMENT", "FIRST", "EVENTS", "SIZE", "CREATED", "EPOCH")):
        click.echo(line)
