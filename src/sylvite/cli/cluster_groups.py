"""`sylvite cluster groups`: how far groups of readers are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from sylvite.cli import exit_codes
from sylvite.cli.amounts import show_count
from sylvite.cli.cluster import cluster_options, settings_of
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.output import table, write_json
from sylvite.cli.template import printable

if TYPE_CHECKING:
    from sylvite.cluster.group_overview import GroupState
    from sylvite.cluster.settings import ClusterSettings

EXAMPLES = (
    Example("sylvite cluster groups", "All groups of the cluster of this master"),
    Example("sylvite cluster groups --delete billing", "Forget how far one is: it would begin anew"),
)


@command("groups", examples=EXAMPLES)
@cluster_options
@click.option("--delete", "deleted", metavar="NAME", help="Forget this group.")
@pass_options
def groups(
    options: GlobalOptions,
    *,
    path: Path | None,
    servers: str | None,
    credentials: Path | None,
    ca: Path | None,
    deleted: str | None,
) -> int:
    """Show how far groups of readers are, and who holds what; or forget one.

    BEHIND BY counts what the log of that master has more in the stream, events of others included. Exit code 1 where there is no
    group of that name to forget.
    """
    settings = settings_of(path, servers, credentials, ca)
    if deleted is not None:
        return _delete(options, settings, deleted)
    found = asyncio.run(_look(settings))
    if options.json:
        write_json(msgspec.to_builtins(found))
    elif not found:
        click.echo("nobody reads as a group")
    else:
        show_groups(found)
    return exit_codes.DONE


def show_groups(found: tuple[GroupState, ...]) -> None:
    rows = [
        (
            printable(group.name),
            printable(part.node),
            printable(part.holder) or "nobody",
            "-" if part.until is None else f"@{part.until}",
            "-" if part.behind is None else show_count(part.behind),
        )
        for group in found
        for part in group.parts
    ]
    for line in table(rows, ("GROUP", "EVENTS OF", "HELD BY", "DONE UP TO", "BEHIND BY")):
        click.echo(line)


def _delete(options: GlobalOptions, settings: ClusterSettings, name: str) -> int:
    from sylvite.cluster.groups import check_group

    check_group(name)
    was_there = asyncio.run(_forget(settings, name))
    if options.json:
        write_json({"deleted": was_there})
    elif not options.quiet:
        click.echo(f"forgotten: {name}" if was_there else f"there is no group {name}")
    return exit_codes.DONE if was_there else exit_codes.NO


async def _look(settings: ClusterSettings) -> tuple[GroupState, ...]:
    from sylvite.cluster.connection import Connection
    from sylvite.cluster.group_overview import look_at_groups

    async with await Connection.open(settings, name="sylvite cluster groups") as connection:
        return await look_at_groups(connection)


async def _forget(settings: ClusterSettings, name: str) -> bool:
    from sylvite.cluster.connection import Connection
    from sylvite.cluster.positions import Positions

    async with await Connection.open(settings, name="sylvite cluster groups") as connection:
        return await Positions(connection).delete(name)
