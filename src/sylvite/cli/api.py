"""`sylvite api`: the bus over HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.daemon_options import given_logging, logging_options, part_option
from sylvite.cli.master_place import configured_part, dir_option
from sylvite.cli.option_types import ADDRESS
from sylvite.errors import InvalidSetting

EXAMPLES = (
    Example("sylvite api --dir ./bus", "Over plain HTTP, for this machine alone", endless=True),
    Example("sylvite api --listen 0.0.0.0:8000 --certificate api.crt --key api.key", "For others, over TLS", endless=True),
)  # fmt: skip


@command("api", examples=EXAMPLES)
@part_option
@dir_option
@click.option("--listen", type=ADDRESS, metavar="HOST:PORT", help="Where [127.0.0.1:8000, or as --master says].")
@click.option("--certificate", type=click.Path(path_type=Path), metavar="FILE", help="PEM, with its chain.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="Its private key, PEM.")
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write the port there once it listens.")
@logging_options
@pass_options
def api(
    options: GlobalOptions,
    master_file: Path | None,
    folder: Path | None,
    listen: tuple[str, int] | None,
    certificate: Path | None,
    key: Path | None,
    ready_fd: int | None,
    log_level: str | None,
    log_format: str | None,
    log_file: Path | None,
) -> int:
    """Serve a bus over HTTP until SIGTERM or Ctrl-C.

    Who may do what, tokens say: `sylvite tokens create`. Without a certificate it is plain HTTP, and listens on the loopback
    alone. docs/http.md shows what it can.
    """
    try:
        from sylvite.api.process import LOOPBACK, PORT, Listening, main
    except ImportError as error:
        raise InvalidSetting(
            "api", error.name, "is not installed; install sylvite with its extra: sylvite[api]"
        ) from error

    configuration, socket = configured_part(
        options, master_file, folder, given_logging(log_level, log_format, log_file)
    )
    listening = None
    if listen is not None or master_file is None:
        listening = Listening(*(listen or (LOOPBACK[0], PORT)), certificate, key)
    return main(configuration, socket, listening, ready_fd=ready_fd)
