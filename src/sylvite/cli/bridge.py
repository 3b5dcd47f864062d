"""`sylvite bridge`: other buses, into ours."""

from __future__ import annotations

import click

from sylvite.cli.command import LazyGroup


@click.group(
    "bridge",
    cls=LazyGroup,
    lazy={
        "salt": (
            "sylvite.cli.bridge_salt:salt",
            "Copy the bus of a running Salt into ours, live, until SIGTERM or Ctrl-C.",
        )
    },
)
def bridge() -> None:
    """Copy other buses into ours: salt."""
