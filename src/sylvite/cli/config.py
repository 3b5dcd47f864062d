"""`sylvite config`: what is set of the master and the minion of this machine, by which file, and whether it is right."""

from __future__ import annotations

import click

from sylvite.cli.command import LazyGroup


@click.group(
    "config",
    cls=LazyGroup,
    lazy={
        "check": ("sylvite.cli.config_check:check", "Check the configuration of this machine, or a file."),
        "show": ("sylvite.cli.config_show:show", "Show the options that are not as usual."),
        "explain": ("sylvite.cli.config_explain:explain", "Explain an option: value, default, what it is for."),
    },
)
def config() -> None:
    """Look at the configuration of master and minion: check, show, explain."""
