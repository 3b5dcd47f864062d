"""`sylvite broker`: run a broker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.daemon_options import given, given_logging, logging_options, part_option
from sylvite.cli.option_types import ADDRESS, DURATION, MODE, SIZE
from sylvite.client.address import SYSTEM_SOCKETS, user_folder, user_socket

if TYPE_CHECKING:
    from sylvite.broker.settings import BrokerSettings
    from sylvite.daemons.broker import BrokerOptions

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
@part_option
@logging_options
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
    master_file: Path | None,
    log_level: str | None,
    log_format: str | None,
    log_file: Path | None,
) -> int:
    """Run a broker until SIGTERM or Ctrl-C.

    Without --dir the log is below /var/lib/sylvite for root, else below ~/.local/state/sylvite, and the socket where
    clients look for it. What is given here wins over --config and --master.
    """
    import msgspec

    from sylvite.daemons.broker import BrokerOptions, main, options_of
    from sylvite.daemons.configuration import part_configuration
    from sylvite.daemons.logs import LogWish

    if config is not None and master_file is not None:
        raise click.UsageError("--config goes without --master: the file of the master has the settings, as `broker`")
    socket = Path(options.socket) if options.socket is not None else None
    logged = given_logging(log_level, log_format, log_file)
    limits = given(segment_bytes=segment, keep_s=keep_age, keep_bytes=keep_size, keep_free_bytes=keep_free)
    said = given(
        folder=folder, socket=socket, log_folder=log_dir, tcp=tcp, socket_mode=socket_mode, config=config,
        accept_loss=accept_loss, ready_fd=ready_fd,
    )  # fmt: skip
    if master_file is not None:
        configuration = part_configuration(master_file, logged)
        told = options_of(configuration.options)
    else:
        configuration, (usual, place) = None, (folder, None) if folder is not None else default_places()
        wish = LogWish(log_level or "info", log_format or "text", log_file)
        settings = _settings(config)
        told = BrokerOptions(folder=usual, socket=place, config_says=settings, settings=settings, logging=wish)
    told = msgspec.structs.replace(told, **said)
    return main(_limited(told, limits), configuration=configuration)


def default_places() -> tuple[Path, Path]:
    """Return the folder and the socket of a broker that is told neither."""
    if os.geteuid() == 0:
        return Path("/var/lib/sylvite"), Path(SYSTEM_SOCKETS[0])
    return Path(user_folder()), Path(user_socket())


def _settings(config: Path | None) -> BrokerSettings:
    from sylvite.broker.settings import BrokerSettings
    from sylvite.config import read_config

    return read_config(config, BrokerSettings) if config is not None else BrokerSettings()


def _limited(told: BrokerOptions, limits: dict[str, Any]) -> BrokerOptions:
    import msgspec

    log = msgspec.structs.replace(told.settings.log, **limits)
    return msgspec.structs.replace(told, settings=msgspec.structs.replace(told.settings, log=log))
