"""Which configuration a command of `sylvite config` looks at: that of this machine, or a file that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from sylvite.cli.command import Function

Node = Literal["master", "minion"]


def config_options(function: Function) -> Function:
    """Add --config and --node."""
    added = (
        click.option(
            "-c",
            "--config",
            "path",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="This file [/etc/sylvite/master, /etc/sylvite/minion].",
        ),
        click.option(
            "--node",
            type=click.Choice(["master", "minion"]),
            metavar="NODE",
            help="master or minion [as FILE is called, else master].",
        ),
    )
    for add in reversed(added):
        function = add(function)
    return function


def load_config(path: Path | None, node: Node | None) -> tuple[Node, Any]:
    """Return which node it is, and what was loaded."""
    from sylvite.daemons.options.reading import load_master, load_minion

    chosen = node or node_of(path)
    return chosen, (load_minion(path) if chosen == "minion" else load_master(path))


def node_of(path: Path | None) -> Node:
    return "minion" if path is not None and path.name.startswith("minion") else "master"
