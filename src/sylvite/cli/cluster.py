"""`sylvite cluster`: more than one master."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sylvite.cli.command import Function, LazyGroup
from sylvite.errors import InvalidSetting

if TYPE_CHECKING:
    from sylvite.cluster.settings import ClusterSettings


@click.group(
    "cluster",
    cls=LazyGroup,
    lazy={
        "dev": ("sylvite.cli.cluster_dev:dev", "Run three NATS servers on this machine until SIGTERM or Ctrl-C."),
        "bridge": (
            "sylvite.cli.cluster_bridge:bridge",
            "Share the log of a master with the others of its cluster, until SIGTERM or Ctrl-C.",
        ),
        "status": ("sylvite.cli.cluster_status:status", "Show how a cluster is: servers, the stream, masters, leases."),
        "groups": (
            "sylvite.cli.cluster_groups:groups",
            "Show how far groups of readers are, and who holds what; or forget one.",
        ),
        "reseed": ("sylvite.cli.cluster_reseed:reseed", "Ask other masters to send their logs into the stream again."),
        "join": ("sylvite.cli.cluster_join:join", "Make the master of this machine a member of a cluster."),
        "leave": (
            "sylvite.cli.cluster_leave:leave",
            "Take the master of this machine out of its cluster, or one that has gone for ever.",
        ),
        "check": ("sylvite.cli.cluster_check:check", "Check NATS servers against the settings that keep our promises."),
    },
)
def cluster() -> None:
    """Look after what several masters share: dev, check, join, status, groups, reseed, leave, bridge."""


def cluster_options(function: Function) -> Function:
    """Add --config, --servers, --credentials and --ca; `settings_of` makes settings of them."""
    added = (
        click.option(
            "-c", "--config", "path", type=click.Path(path_type=Path), metavar="FILE",
            help="The file of the master, whose option cluster counts [/etc/sylvite/master].",
        ),
        click.option("--servers", metavar="URLS", help="In place of that: nats://HOST:PORT, with commas between."),
        click.option(
            "--credentials", type=click.Path(path_type=Path), metavar="FILE", help="Who we are to them."
        ),
        click.option("--ca", type=click.Path(path_type=Path), metavar="FILE", help="Who has signed their certificates."),
    )  # fmt: skip
    for add in reversed(added):
        function = add(function)
    return function


def settings_of(path: Path | None, servers: str | None, credentials: Path | None, ca: Path | None) -> ClusterSettings:
    """Return the settings of the cluster.

    Raises:
        InvalidSetting: they are wrong, or there are none.
    """
    require_library()
    if servers is None:
        from sylvite.daemons.options.reading import load_master

        loaded = load_master(path).raise_first()
        if not loaded.options.cluster:
            raise InvalidSetting(
                "cluster", str(loaded.main), "says nothing of a cluster; set the option, or give --servers"
            )
        return loaded.options.cluster
    from sylvite.cluster.settings import ClusterSettings, read_cluster
    from sylvite.config import convert

    said: dict[str, Any] = {"servers": servers}
    if credentials is not None:
        said["credentials"] = str(credentials.absolute())
    if ca is not None:
        said["tls"] = {"ca": str(ca.absolute())}
    return convert(read_cluster(said), ClusterSettings, "--servers")


def require_library() -> None:
    """Raises InvalidSetting: nats-py is not installed."""
    if find_spec("nats") is None:
        raise InvalidSetting("cluster", "nats-py", "is not installed; install sylvite with its extra: sylvite[cluster]")
