"""`sylvite config show`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import msgspec

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.config_files import Node, config_options, load_config
from sylvite.cli.output import table, write_json
from sylvite.cli.template import printable

EXAMPLES = (
    Example("sylvite config show", "What is not as usual on this machine?"),
    Example("sylvite config show --all --origin --node minion", "Every option of the minion, and which file said it"),
    Example("sylvite config show --json | jq .", "For programs"),
)


@command("show", examples=EXAMPLES)
@config_options
@click.option("--all", "everything", is_flag=True, help="Every option, with the defaults.")
@click.option("--origin", is_flag=True, help="Where each value comes from: FILE:LINE, default or computed.")
@pass_options
def show(options: GlobalOptions, path: Path | None, node: Node | None, *, everything: bool, origin: bool) -> None:
    """Show the options that are not as usual.

    Values are written as in a file; secrets are shown as ***. What is wrong with a file, `sylvite config check` says.
    """
    from sylvite.daemons.options.explaining import show as show_options

    _, loaded = load_config(path, node)
    loaded.raise_first()
    shown = [each for each in show_options(loaded) if everything or not each.is_default]
    if options.json:
        write_json(
            {each.name: {"value": each.value, "origin": each.origin} if origin else each.value for each in shown}
        )
    elif origin:
        rows = [(each.name, value_text(each.value), printable(each.origin)) for each in shown]
        for line in table(rows, ("OPTION", "VALUE", "ORIGIN")):
            click.echo(line)
    else:
        for each in shown:
            click.echo(f"{each.name}: {value_text(each.value)}")
    if not shown and not options.json:
        click.echo("all options have their defaults; --all shows them", err=True)


_plain = re.compile(
    r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[a-z/][\w./@ *-]*(?<! )", re.IGNORECASE | re.ASCII
).fullmatch


def value_text(value: Any) -> str:
    """Return a value as it can stand in a file: JSON is YAML, and plain text needs no quotes."""
    if isinstance(value, str) and _plain(value):
        return value
    if isinstance(value, bool):
        return str(value)
    return printable(msgspec.json.encode(value).decode())
