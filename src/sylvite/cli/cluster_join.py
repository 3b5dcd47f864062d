"""`sylvite cluster join`: make the master of this machine a member of a cluster."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sylvite.cli import exit_codes
from sylvite.cli.cluster import require_library
from sylvite.cli.cluster_check import show_finding
from sylvite.cli.color import Painter, wants_color
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.master_reload import reload_master
from sylvite.cli.output import write_json
from sylvite.errors import ClusterError, InvalidInput

if TYPE_CHECKING:
    from sylvite.cluster.lint import Finding
    from sylvite.cluster.settings import ClusterSettings
    from sylvite.daemons.options.master import MasterOptions
    from sylvite.daemons.options.reading import Loaded

EXAMPLES = (
    Example("sylvite cluster join tls://10.0.4.1,tls://10.0.4.2,tls://10.0.4.3 --credentials mars.nk --ca nats-ca.crt", "This master"),
    Example("sylvite cluster join nats://127.0.0.1:24672 --node mars --replicas 1", "One server, for a trial"),
)  # fmt: skip


@command("join", examples=EXAMPLES)
@click.argument("servers", nargs=-1, required=True, metavar="SERVERS...")
@click.option("--credentials", type=click.Path(path_type=Path), metavar="FILE", help="Who we are to them.")
@click.option("--node", metavar="NAME", help="What this master is called among the others [its id].")
@click.option("--ca", type=click.Path(path_type=Path), metavar="FILE", help="Who has signed their certificates.")
@click.option("--name", metavar="NAME", help="Of the cluster [sylvite].")
@click.option("--replicas", type=int, metavar="N", help="How many servers keep each event: 1, 3 or 5 [3].")
@click.option("--disable-tls", is_flag=True, help="Let servers on other machines be spoken to in clear.")
@click.option(
    "--system", type=click.Path(path_type=Path), metavar="FILE", help="Credentials of a user of their system account."
)
@click.option(
    "-c", "--config", "path", type=click.Path(path_type=Path), metavar="FILE",
    help="The main file of the master [/etc/sylvite/master].",
)  # fmt: skip
@pass_options
def join(
    options: GlobalOptions,
    *,
    servers: tuple[str, ...],
    credentials: Path | None,
    node: str | None,
    ca: Path | None,
    name: str | None,
    replicas: int | None,
    disable_tls: bool,
    system: Path | None,
    path: Path | None,
) -> int:
    """Make the master of this machine a member of a cluster.

    It looks at the servers as `sylvite cluster check` does, at what our user may do, whether another master has this name, and
    whether minions know the others by our key. Where all of it holds, it writes master.d/cluster.conf beside the main file, and
    lets a master that runs read it. Where something fails, nothing is written: exit code 1.
    """
    require_library()
    from sylvite.daemons import cluster_file
    from sylvite.daemons.options.reading import load_master

    loaded = load_master(path).raise_first()
    said = _said(servers, credentials, node or loaded.options.id, ca, name, replicas)
    if disable_tls:
        said["disable_tls"] = True
    wanted = _settings(said)
    file = cluster_file.place_of(loaded)
    if loaded.options.cluster == wanted and cluster_file.is_ours(file):
        _tell(options, loaded, wanted, [], "already")
        return exit_codes.DONE
    cluster_file.check_free(loaded)
    if loaded.options.cluster:
        raise InvalidInput(f"{file} says something else of a cluster; `sylvite cluster leave` first")
    findings = asyncio.run(_examine(wanted, _key_of(loaded.options), system))
    if any(finding.state == "FAIL" for finding in findings):
        _tell(options, loaded, wanted, findings, "")
        return exit_codes.NO
    cluster_file.write(loaded, said, wanted)
    _tell(options, loaded, wanted, findings, "now")
    return exit_codes.DONE


def _said(
    servers: tuple[str, ...],
    credentials: Path | None,
    node: str,
    ca: Path | None,
    name: str | None,
    replicas: int | None,
) -> dict[str, Any]:
    """Return the option as it is to be written."""
    listed = [each.strip() for text in servers for each in text.split(",") if each.strip()]
    said: dict[str, Any] = {"servers": listed, "node": node}
    if name is not None:
        said["name"] = name
    if credentials is not None:
        said["credentials"] = str(credentials.absolute())
    if ca is not None:
        said["tls"] = {"ca": str(ca.absolute())}
    if replicas is not None:
        said["replicas"] = replicas
    return said


def _settings(said: dict[str, Any]) -> ClusterSettings:
    """Raises InvalidSetting: something in it cannot be."""
    from sylvite.cluster.settings import ClusterSettings, read_cluster
    from sylvite.cluster.stream import check_node
    from sylvite.config import convert

    settings = convert(read_cluster(said), ClusterSettings, "cluster")
    check_node(settings.node)
    return settings


def _key_of(found: MasterOptions) -> str:
    from sylvite.daemons.cluster import key_of

    return key_of(found)


async def _examine(settings: ClusterSettings, key: str, system: Path | None) -> list[Finding]:
    from sylvite.cluster.examining import examine
    from sylvite.cluster.joining import examine_joining

    findings = list((await examine(settings, system, ())).findings)
    if any(finding.state == "FAIL" and finding.rule in ("version", "jetstream", "clock") for finding in findings):
        return findings  # Such a server is not spoken to further.
    try:
        return [*findings, *await examine_joining(settings, settings.node, key)]
    except ClusterError:
        if any(finding.state == "FAIL" for finding in findings):
            return findings  # They say why.
        raise


def _tell(
    options: GlobalOptions,
    loaded: Loaded[MasterOptions],
    settings: ClusterSettings,
    findings: list[Finding],
    joined: str,
) -> None:
    """`joined`: now, already, or not at all."""
    from sylvite.daemons import cluster_file
    from sylvite.daemons.options.computing import bus_of

    file = cluster_file.place_of(loaded)
    is_told = joined == "now" and reload_master(bus_of(loaded.options), loaded.main)
    if options.json:
        write_json(
            {
                "node": settings.node,
                "joined": bool(joined),
                "changed": joined == "now",
                "file": str(file) if joined else None,
                "reloaded": is_told,
                "findings": [msgspec.to_builtins(finding) for finding in findings],
            }
        )
        return
    painter = Painter(enabled=wants_color(options.color, sys.stdout))
    for finding in findings:
        show_finding(finding, painter)
    if not joined:
        click.echo(f"{settings.node} has not joined; nothing was changed", err=True)
    elif joined == "already":
        click.echo(f"{settings.node} has joined already: {file}; nothing was changed")
    else:
        click.echo(f"{settings.node} has joined: {file}")
        if not options.quiet:
            click.echo(_next_step(is_told=is_told), err=True)


def _next_step(*, is_told: bool) -> str:
    if is_told:
        return "the master reads it now; `sylvite cluster status` shows when its log is in the stream"
    return "the master begins to share its log when it starts, or is told to read its configuration again (SIGHUP, `systemctl reload`)"
