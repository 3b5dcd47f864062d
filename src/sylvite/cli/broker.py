"""`sylvite broker`: run a broker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.option_types import ADDRESS, DURATION, MODE, SIZE
from sylvite.client.address import SYSTEM_SOCKETS, user_folder, user_socket

if TYPE_CHECKING:
    from sylvite.broker.settings import BrokerSettings

EXAMPLES = (
    Example("sylvite broker --dir ./bus", "A bus in one folder: socket ./bus/bus.sock, log ./bus/log", endless=True),
    Example(
        "sylvite broker --dir ./bus --keep-age 30d --keep-size 50GiB --segment 128MiB",
        "Forget what is older than 30 days, and the oldest beyond 50 GiB",
        endless=True,
    ),
    Example(
        "sylvite broker --dir ./bus --tcp 0",
        "Listen on a free port of the loopback too; clients take --socket ./bus/bus.tcp",
        endless=True,
    ),
)


@command("broker", examples=EXAMPLES)
@click.option("--dir", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Folder for socket and log.")
@click.option("--log-dir", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the log [DIR/log].")
@click.option("--tcp", type=ADDRESS, metavar="[HOST:]PORT", help="Listen on the loopback too, for DIR/bus.tcp.")
@click.option("--socket-mode", type=MODE, metavar="MODE", help="Mode of the socket [0600; 0666 with policy rules].")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings, in YAML; reread on SIGHUP.")
@click.option("--segment", type=SIZE, metavar="SIZE", help="Begin a new file of the log at this size [64MiB].")
@click.option("--keep-age", type=DURATION, metavar="TIME", help="Forget events older than this, such as 30d [never].")
@click.option("--keep-size", type=SIZE, metavar="SIZE", help="Forget the oldest beyond this size [no limit].")
@click.option("--keep-free", type=SIZE, metavar="SIZE", help="Take no events when the disk has less free [64MiB].")
@click.option("--accept-loss", is_flag=True, help="Start although synced events are missing; readers get a gap.")
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write a line there once it listens.")
@pass_options
def broker(
    options: GlobalOptions,
    folder: Path | None,
    log_dir: Path | None,
    tcp: tuple[str, int] | None,
    socket_mode: int | None,
    config: Path | None,
    segment: int | None,
    keep_age: float | None,
    keep_size: int | None,
    keep_free: int | None,
    *,
    accept_loss: bool,
    ready_fd: int | None,
) -> int:
    """Run a broker until SIGTERM or Ctrl-C.

    Without --dir the log is below /var/lib/sylvite for root, else below ~/.local/state/sylvite, and the socket where
    clients look for it. What is given here wins over --config.
    """
    from sylvite.daemons.broker import BrokerOptions, main

    socket = Path(options.socket) if options.socket is not None else None
    if folder is None:
        folder, place = default_places()
        socket = socket or place
    return main(
        BrokerOptions(
            folder=folder,
            socket=socket,
            log_folder=log_dir,
            tcp=tcp,
            socket_mode=socket_mode,
            config=config,
            settings=_settings(config, segment=segment, keep_s=keep_age, keep_bytes=keep_size, keep_free=keep_free),
            accept_loss=accept_loss,
            ready_fd=ready_fd,
        )
    )


def default_places() -> tuple[Path, Path]:
    """Return the folder and the socket of a broker that is told neither."""
    if os.geteuid() == 0:
        return Path("/var/lib/sylvite"), Path(SYSTEM_SOCKETS[0])
    return Path(user_folder()), Path(user_socket())


def _settings(
    config: Path | None, *, segment: int | None, keep_s: float | None, keep_bytes: int | None, keep_free: int | None
) -> BrokerSettings:
    import msgspec

    from sylvite.broker.settings import BrokerSettings
    from sylvite.config import read_config

    settings = read_config(config, BrokerSettings) if config is not None else BrokerSettings()
    given = {"segment_bytes": segment, "keep_s": keep_s, "keep_bytes": keep_bytes, "keep_free_bytes": keep_free}
    wanted = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(settings, log=msgspec.structs.replace(settings.log, **wanted))
