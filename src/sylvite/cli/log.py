"""`sylvite log`: the event log, through the broker or in its folder."""

from __future__ import annotations

import click

from sylvite.cli.command import LazyGroup


@click.group(
    "log",
    cls=LazyGroup,
    lazy={
        "status": ("sylvite.cli.log_status:status", "Show how far the log reaches, and what it takes."),
        "verify": ("sylvite.cli.log_verify:verify", "Read everything and check every byte."),
        "export": ("sylvite.cli.log_export:export", "Write events to a file or to stdout."),
        "import": ("sylvite.cli.log_import:import_", "Append exported events to a log that no broker runs on."),
        "prune": ("sylvite.cli.log_prune:prune", "Delete the oldest segments."),
        "segments": ("sylvite.cli.log_segments:segments", "List the files of the log, oldest first."),
    },
)
def log() -> None:
    """Look after the event log: status, verify, export, import, prune, segments."""
