"""`sylvite jobs`: jobs on minions."""

from __future__ import annotations

import click

from sylvite.cli.command import LazyGroup


@click.group(
    "jobs",
    cls=LazyGroup,
    lazy={
        "run": ("sylvite.cli.jobs_run:run", "Run a function on minions, and show what they return."),
        "list": ("sylvite.cli.jobs_list:list_", "List jobs, the newest first."),
        "show": ("sylvite.cli.jobs_list:show", "Show a job, and what its minions have returned."),
        "active": ("sylvite.cli.jobs_active:active", "Ask the minions which jobs they run."),
        "kill": ("sylvite.cli.jobs_active:kill", "End a job on the minions that run it."),
        "keep": ("sylvite.cli.jobs_keep:keep", "Keep jobs and returns so that they can be looked up, until SIGTERM or Ctrl-C."),
    },
)  # fmt: skip
def jobs() -> None:
    """Run functions on minions, and look after what runs and what came of it."""
