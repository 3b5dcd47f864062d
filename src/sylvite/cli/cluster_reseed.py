"""`sylvite cluster reseed`: let other masters send their logs into the stream again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from sylvite.cli import exit_codes
from sylvite.cli.cluster import require_library
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.output import write_json
from sylvite.errors import InvalidSetting

EXAMPLES = (
    Example("sylvite cluster reseed", "All other masters"),
    Example("sylvite cluster reseed venus --since 41000", "One of them, from an offset of its log on"),
)


@command("reseed", examples=EXAMPLES)
@click.argument("nodes", nargs=-1, metavar="[MASTER]...")
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file of this master [/etc/sylvite/master].",
)
@click.option(
    "--since", type=click.IntRange(min=0), default=0, metavar="OFFSET", help="From here on in their logs [0]."
)
@pass_options
def reseed(options: GlobalOptions, nodes: tuple[str, ...], path: Path | None, since: int) -> int:
    """Ask other masters to send their logs into the stream again.

    They do so by themselves where the stream was lost, cut or rolled back; this is for what nobody has noticed. They send no
    more than the stream keeps, and who has an event already does not take it twice. Run it on another master for this one.
    """
    require_library()
    from sylvite.cluster.reseeding import reseed as ask
    from sylvite.daemons.options.reading import load_master

    loaded = load_master(path).raise_first()
    if not loaded.options.cluster:
        raise InvalidSetting("cluster", str(loaded.main), "says nothing of a cluster; set the option")
    asked = asyncio.run(ask(loaded.options.cluster, nodes, since))
    if options.json:
        write_json({"asked": asked, "since": since})
    elif not options.quiet:
        click.echo(f"asked: {', '.join(asked) or 'nobody, for no other master is here'}")
    return exit_codes.DONE if asked else exit_codes.NO
