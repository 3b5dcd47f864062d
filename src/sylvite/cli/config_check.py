"""`sylvite config check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from sylvite.cli import exit_codes
from sylvite.cli.color import GREEN, RED, YELLOW, Painter, wants_color
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.config_files import Node, config_options, load_config, node_of
from sylvite.cli.output import write_json
from sylvite.cli.template import printable

EXAMPLES = (
    Example("sylvite config check", "Is the configuration of this machine right?"),
    Example("sylvite config check -c ./master --strict", "A file, where what is only strange counts too", exit_code=1),
)


@command("check", examples=EXAMPLES)
@config_options
@click.option("--strict", is_flag=True, help="Exit code 1 where there is anything to say.")
@pass_options
def check(options: GlobalOptions, path: Path | None, node: Node | None, *, strict: bool) -> int:
    """Check the configuration of this machine, or a file.

    Errors keep a master or minion from starting: exit code 78. Names that nobody knows, and options of Salt that have no meaning here, are said, and do no harm.
    """
    nodes: list[Node] = [node] if node is not None else _configured()
    if node is None and path is not None:
        nodes = [node_of(path)]
    found = [load_config(path, each) for each in nodes]
    if options.json:
        write_json([_facts(each, loaded) for each, loaded in found])
    else:
        painter = Painter(enabled=wants_color(options.color, sys.stdout))
        for each, loaded in found:
            _tell(each, loaded, painter)
    if any(loaded.errors for _, loaded in found):
        return exit_codes.CONFIGURATION
    return exit_codes.NO if strict and any(loaded.notices for _, loaded in found) else exit_codes.DONE


def _configured() -> list[Node]:
    """Return which nodes have a configuration on this machine; without any, both have their defaults."""
    from sylvite.daemons.options.reading import is_there, usual_file

    nodes: tuple[Node, ...] = ("master", "minion")
    return [each for each in nodes if is_there(usual_file(each))] or list(nodes)


def _tell(node: Node, loaded: Any, painter: Painter) -> None:
    for wrong in loaded.errors:
        click.echo(f"{painter.paint('FAIL', RED)}  {printable(str(wrong))}")
    for notice in loaded.notices:
        click.echo(f"{painter.paint('warn', YELLOW)}  {printable(str(notice))}")
    if not loaded.errors:
        files = ", ".join(loaded.files) or "no file: all options have their defaults"
        click.echo(f"{painter.paint('ok', GREEN)}    {node}: {printable(files)}")


def _facts(node: Node, loaded: Any) -> dict[str, Any]:
    return {
        "node": node,
        "files": list(loaded.files),
        "errors": [_place(wrong) | {"name": wrong.name, "message": wrong.error.reason} for wrong in loaded.errors],
        "warnings": [_place(notice) | {"name": notice.name, "message": notice.text} for notice in loaded.notices],
    }


def _place(found: Any) -> dict[str, Any]:
    return {} if found.place is None else {"file": found.place.file, "line": found.place.line}
