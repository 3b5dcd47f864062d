"""`sylvite master`: run a master."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.command import Example, command

EXAMPLES = (
    Example("sylvite master", "A master as /etc/sylvite/master says", endless=True),
    Example("sylvite master --config ./master.yaml", "A master as that file says", endless=True),
)


@command("master", examples=EXAMPLES)
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="Its configuration [/etc/sylvite/master]."
)
@click.option(
    "--ready-fd", type=click.IntRange(min=3), metavar="N", help="Write a line there once minions can connect."
)
def master(config: Path | None, ready_fd: int | None) -> int:
    """Run a master until SIGTERM or Ctrl-C: a broker, and the link that minions connect to.

    Its options are on the page docs/configuration.md; `sylvite config check` looks at a file before it is used.
    """
    from sylvite.daemons.master import main
    from sylvite.daemons.options.reading import load_master

    return main(load_master(config).raise_first().options, ready_fd=ready_fd)
