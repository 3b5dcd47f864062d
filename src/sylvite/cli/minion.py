"""`sylvite minion`: run a minion."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.command import Example, command
from sylvite.cli.daemon_options import given_logging, logging_options

EXAMPLES = (
    Example("sylvite minion", "A minion as /etc/sylvite/minion says", endless=True),
    Example("sylvite minion --config ./minion.yaml --token ./token", "Its first start, with a token of the master's", endless=True),
)  # fmt: skip


@command("minion", examples=EXAMPLES)
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), metavar="FILE", help="Its configuration [/etc/sylvite/minion]."
)
@click.option(
    "--token",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A token of `sylvite keys token`, for its first start.",
)
@click.option(
    "--trust-first-master", is_flag=True, help="Where no master's key is known: trust the first one, and pin it."
)
@click.option("--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write a line there once its bus is there.")
@logging_options
def minion(
    config: Path | None,
    token: Path | None,
    *,
    trust_first_master: bool,
    ready_fd: int | None,
    log_level: str | None,
    log_format: str | None,
    log_file: Path | None,
) -> int:
    """Run a minion until SIGTERM or Ctrl-C: its bus, and the way to its master.

    Which master it trusts, master_finger says; without it, the token, or what it has pinned before. SIGHUP reads its configuration
    again. Its options are on the page docs/configuration.md; `sylvite config check` looks at a file before it is used.
    """
    from sylvite.compat.serving import minion_sockets
    from sylvite.daemons.configuration import minion_configuration
    from sylvite.daemons.minion import Start, main, read_token

    shown = read_token(token) if token is not None else None
    return main(
        minion_configuration(config, given_logging(log_level, log_format, log_file)),
        Start(token=shown, trust_first=trust_first_master, ready_fd=ready_fd),
        minion_sockets,
    )
