"""`sylvite cluster status`: how a cluster is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from sylvite.cli import exit_codes
from sylvite.cli.amounts import show_bytes, show_count
from sylvite.cli.cluster import cluster_options, settings_of
from sylvite.cli.cluster_groups import show_groups
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.output import table, write_json
from sylvite.cli.template import printable

if TYPE_CHECKING:
    from sylvite.cluster.overview import Overview, StreamStatus

EXAMPLES = (
    Example("sylvite cluster status", "The cluster of this master"),
    Example("sylvite cluster status --system system.nk --json", "Also who leads, for programs"),
)


@command("status", examples=EXAMPLES)
@cluster_options
@click.option(
    "--system", type=click.Path(path_type=Path), metavar="FILE", help="Credentials of a user of the system account."
)
@pass_options
def status(
    options: GlobalOptions,
    *,
    path: Path | None,
    servers: str | None,
    credentials: Path | None,
    ca: Path | None,
    system: Path | None,
) -> int:
    """Show how a cluster is: servers, the stream, masters, leases.

    It listens to the masters for some seconds. Exit code 1 where a server, a replica of the stream or a master does not answer.
    """
    settings = settings_of(path, servers, credentials, ca)
    from sylvite.cluster.overview import look

    found = asyncio.run(look(settings, system))
    if options.json:
        write_json(msgspec.to_builtins(found))
    else:
        _show(found)
    return exit_codes.DONE if _is_well(found) else exit_codes.NO


def _is_well(found: Overview) -> bool:
    replicas = found.stream.replicas if found.stream is not None else ()
    return (
        not any(server.error for server in found.servers)
        and found.leader != ""
        and not found.problems
        and all(replica.current for replica in replicas)
        and all(master.heard or master.left for master in found.masters)
    )


def _show(found: Overview) -> None:
    rows = [
        (each.name or "-", each.version or "-", each.url, printable(each.error) or "here") for each in found.servers
    ]
    _show_table(rows, ("SERVER", "VERSION", "ADDRESS", "STATE"))
    if found.leader is not None:
        click.echo(f"\nJetStream is led by {printable(found.leader) or 'nobody'}")
    for problem in found.problems:
        click.echo(f"\n{printable(problem)}")
    if found.stream is None and not found.problems:
        click.echo("\nno master has made the stream yet")
    if found.stream is not None:
        _show_stream(found.stream)
    if found.masters:
        rows = [
            (
                printable(each.node),
                "here" if each.heard else "left" if each.left else "silent",
                "-" if each.until is None else f"@{each.until}",
                "-" if each.waiting is None else show_count(each.waiting),
                show_count(each.messages),
            )
            for each in found.masters
        ]
        click.echo()
        _show_table(rows, ("MASTER", "STATE", "IN THE STREAM UP TO", "NOT YET", "MESSAGES"))
    if found.leases:
        rows = [(printable(each.name), printable(each.node), each.fence) for each in found.leases]
        click.echo()
        _show_table(rows, ("LEASE", "HELD BY", "FENCE"))
    if any(group.parts for group in found.groups):
        click.echo()
        show_groups(found.groups)


def _show_stream(stream: StreamStatus) -> None:
    count = show_count(stream.messages)
    click.echo(
        f"\nstream {printable(stream.name)}: {count} messages, {show_bytes(stream.bytes)}, {stream.first} to {stream.last}"
    )
    rows = [
        (printable(each.name), "leads" if each.leads else "follows" if each.current else "away", show_count(each.lag))
        for each in stream.replicas
    ]
    if rows:
        _show_table(rows, ("REPLICA", "STATE", "BEHIND BY"))


def _show_table(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> None:
    for line in table(rows, header):
        click.echo(line)
