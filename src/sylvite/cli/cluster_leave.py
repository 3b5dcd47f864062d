"""`sylvite cluster leave`: take the master of this machine, or one that has gone for ever, out of a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from sylvite.cli import exit_codes
from sylvite.cli.amounts import show_count
from sylvite.cli.cluster import cluster_options, require_library, settings_of
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.confirm import confirm
from sylvite.cli.connect import connect
from sylvite.cli.master_reload import reload_master
from sylvite.cli.option_types import Duration
from sylvite.cli.output import write_json
from sylvite.client.sync_client import Client
from sylvite.errors import ClusterError, InvalidSetting, SylviteError

if TYPE_CHECKING:
    from sylvite.cluster.leaving import Removed
    from sylvite.cluster.settings import ClusterSettings

EXAMPLES = (
    Example("sylvite cluster leave -y", "This master, once the stream has all of its log"),
    Example("sylvite cluster leave --node venus --credentials venus.nk -y", "One that has gone for ever"),
)
LOOK_S = 0.2
BRIDGE_ENDS_S = 15.0


class NotAllSent(SylviteError):
    """The stream has not got all of the log in time."""

    code = "not_all_sent"


@command("leave", examples=EXAMPLES)
@click.option("--node", metavar="NAME", help="In place of this master one that has gone, and does not come back.")
@click.option("--name", metavar="NAME", help="Of the cluster, with --servers [sylvite].")
@click.option(
    "--timeout", "timeout_s", type=Duration(), default="60s", metavar="DURATION",
    help="How long the stream has to get the rest of the log [60s].",
)  # fmt: skip
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@cluster_options
@pass_options
def leave(
    options: GlobalOptions,
    *,
    node: str | None,
    name: str | None,
    timeout_s: float,
    yes: bool,
    path: Path | None,
    servers: str | None,
    credentials: Path | None,
    ca: Path | None,
) -> int:
    """Take the master of this machine out of its cluster, or one that has gone for ever.

    It waits until the stream has all of this master's log, removes the file that `join` wrote, lets the master read its configuration, by which
    its bridge ends, and takes away what it has shared. What is in the stream stays there, and in the logs of the others.
    """
    require_library()
    from sylvite.cluster.stream import check_node

    if node is not None:
        said = {} if name is None else {"name": name}
        if credentials is not None:
            said["credentials"] = str(credentials.absolute())
        settings = settings_of(path, servers, credentials, ca)
        return _forget_one(options, msgspec.structs.replace(settings, node=check_node(node), **said), node, yes=yes)
    if any(each is not None for each in (servers, credentials, ca, name)):
        raise click.UsageError("--servers, --credentials, --ca and --name go with --node; this master's file says them")
    return _leave(options, path, timeout_s, yes=yes)


def _forget_one(options: GlobalOptions, settings: ClusterSettings, node: str, *, yes: bool) -> int:
    from sylvite.cluster.leaving import forget

    confirm(f"Take away all that {node!r} has shared?  Events that only its disk has are lost.", yes=yes)
    _tell(options, node, asyncio.run(forget(settings, node)))
    return exit_codes.DONE


def _leave(options: GlobalOptions, path: Path | None, timeout_s: float, *, yes: bool) -> int:
    from sylvite.cluster.leaving import forget
    from sylvite.daemons import cluster_file
    from sylvite.daemons.options.computing import bus_of
    from sylvite.daemons.options.reading import load_master

    loaded = load_master(path).raise_first()
    found = loaded.options.cluster
    if not found:
        _say(
            options, {"node": loaded.options.id, "left": False}, f"{loaded.options.id} is in no cluster: nothing to do"
        )
        return exit_codes.DONE
    if (line := cluster_file.said_elsewhere(loaded)) is not None:
        reason = (
            "was not written by `sylvite cluster join`; take it out there, let the master read that (SIGHUP), and then "
            "`sylvite cluster leave --node NAME --servers URLS` takes away what is left"
        )
        raise InvalidSetting("cluster", line, reason)
    node = found.node or loaded.options.id
    file, bus = cluster_file.place_of(loaded), bus_of(loaded.options)
    confirm(f"Let {node!r} leave the cluster {found.name!r}?", yes=yes)
    if options.socket is None:
        options.socket = str(bus)
    with connect(options) as client:
        _wait_until_sent(client, timeout_s, quiet=options.quiet)
    cluster_file.remove(file)
    later = _command_for_the_rest(found, node)
    if not reload_master(bus, loaded.main):
        text = f"{file} is removed. Stop the bridge, or let the master read its configuration (SIGHUP); then: {later}"
        _say(options, {"node": node, "left": False, "then": later}, text)
        return exit_codes.NO
    settings = msgspec.structs.replace(found, node=node)
    try:
        removed = asyncio.run(forget(settings, node, wait_s=BRIDGE_ENDS_S))
    except ClusterError:
        click.echo(f"{file} is removed, and what {node} has shared is still there; later: {later}", err=True)
        raise
    _tell(options, node, removed)
    return exit_codes.DONE


def _command_for_the_rest(settings: ClusterSettings, node: str) -> str:
    servers = ",".join(settings.servers)
    words = ["sylvite cluster leave", f"--node {node}", f"--servers {servers}", f"--name {settings.name}"]
    if settings.credentials is not None:
        words.append(f"--credentials {settings.credentials}")
    if settings.tls is not None and settings.tls.ca is not None:
        words.append(f"--ca {settings.tls.ca}")
    return " ".join(words)


def _wait_until_sent(client: Client, timeout_s: float, *, quiet: bool) -> None:
    """Wait until the stream has what is in the log by now.  Raises NotAllSent."""
    from sylvite.cluster.up import CURSOR

    end, until_s, is_told = int(client.ask("log")["end"]), time.monotonic() + timeout_s, quiet
    while (left := end - _sent(client, CURSOR)) > 0:
        if time.monotonic() >= until_s:
            raise NotAllSent(
                f"the stream lacks {show_count(left)} events of this master's log after {timeout_s:g} s; nothing was changed. "
                "`sylvite cluster status` shows whether the servers are there; or give it more time with --timeout"
            )
        if not is_told:
            click.echo(f"waiting until the stream has {show_count(left)} more events of this master's log", err=True)
            is_told = True
        time.sleep(LOOK_S)


def _sent(client: Client, cursor: str) -> int:
    """Return below which offset the stream has all of the log."""
    for each in client.ask("cursors")["cursors"]:
        if each["name"] == cursor:
            return int(each["offset"])
    return 0


def _tell(options: GlobalOptions, node: str, removed: Removed) -> None:
    facts = {"node": node, "left": True, "entries": removed.entries, "leases": removed.leases}
    leases = f", and its leases {', '.join(removed.leases)}" if removed.leases else ""
    _say(options, facts, f"{node} has left; {show_count(removed.entries)} entries of it are taken away{leases}")


def _say(options: GlobalOptions, facts: Mapping[str, object], text: str) -> None:
    if options.json:
        write_json(facts)
    else:
        click.echo(text)
