"""`sylvite master`: run a master."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.command import Example, command
from sylvite.cli.daemon_options import given_logging, logging_options

EXAMPLES = (
    Example("sylvite master", "A master as /etc/sylvite/master says", endless=True),
    Example("sylvite master --config ./master.yaml", "A master as that file says", endless=True),
)


@command("master", examples=EXAMPLES)
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), metavar="FILE", help="Its configuration [/etc/sylvite/master]."
)
@click.option("--no-api", is_flag=True, help="Leave the HTTP interface to a `sylvite api --master FILE` of its own.")
@click.option(
    "--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write a line there once minions can connect."
)
@logging_options
def master(
    config: Path | None,
    *,
    no_api: bool,
    ready_fd: int | None,
    log_level: str | None,
    log_format: str | None,
    log_file: Path | None,
) -> int:
    """Run a master until SIGTERM or Ctrl-C: a broker, and the link that minions connect to.

    SIGHUP reads it again. Its options are on the page docs/configuration.md; `sylvite config check` looks at a file before it is used.
    """
    from sylvite.daemons.configuration import master_configuration
    from sylvite.daemons.master import main
    from sylvite.daemons.options.rest import RestCherrypy

    logged = given_logging(log_level, log_format, log_file)
    words = [word for name, value in logged.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    without = {"rest_cherrypy": RestCherrypy()} if no_api else {}
    return main(master_configuration(config, {**logged, **without}), given=words, ready_fd=ready_fd)
