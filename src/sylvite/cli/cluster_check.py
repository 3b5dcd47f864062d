"""`sylvite cluster check`: a lint of an installation of NATS."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from sylvite.cli import color, exit_codes
from sylvite.cli.cluster import cluster_options, require_library, settings_of
from sylvite.cli.color import Painter, wants_color
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.output import write_json
from sylvite.cli.template import printable

if TYPE_CHECKING:
    from sylvite.cluster.examining import Examined
    from sylvite.cluster.lint import Finding

EXAMPLES = (
    Example("sylvite cluster check", "The cluster of this master, as far as it can be seen from here"),
    Example("sylvite cluster check --system system.nk", "And all that the servers tell a user of their system account"),
    Example("sylvite cluster check --server-config /etc/nats/n1.conf", "And what stands in the file of a server"),
)
_COLORS: dict[Literal["ok", "warn", "FAIL"], str] = {"ok": color.GREEN, "warn": color.YELLOW, "FAIL": color.RED}


@command("check", examples=EXAMPLES)
@cluster_options
@click.option(
    "--system", type=click.Path(path_type=Path), metavar="FILE", help="Credentials of a user of the system account."
)
@click.option(
    "--server-config",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file of a server, on this machine; several are taken.",
)
@click.option("--files-only", is_flag=True, help="Look at these files alone, and ask no server.")
@pass_options
def check(
    options: GlobalOptions,
    *,
    path: Path | None,
    servers: str | None,
    credentials: Path | None,
    ca: Path | None,
    system: Path | None,
    files: tuple[Path, ...],
    files_only: bool,
) -> int:
    """Check NATS servers against the settings that keep our promises.

    It says with each fault what to do, and which rules had nothing to look at: not everything can be seen from outside. Exit
    code 1 where something fails; what could become a problem is a warning.
    """
    require_library()
    from sylvite.cluster.examining import examine
    from sylvite.cluster.settings import ClusterSettings

    if files_only and not files:
        raise click.UsageError("--files-only needs --server-config")
    settings = ClusterSettings() if files_only else settings_of(path, servers, credentials, ca)
    examined = asyncio.run(examine(settings, system, files))
    if options.json:
        write_json(
            {
                "servers": [facts.name for facts in examined.servers],
                "findings": [msgspec.to_builtins(finding) for finding in examined.findings],
                "unseen": examined.unseen,
            }
        )
    else:
        _show(options, examined)
    failed = any(finding.state == "FAIL" for finding in examined.findings)
    return exit_codes.NO if failed else exit_codes.DONE


def _show(options: GlobalOptions, examined: Examined) -> None:
    painter = Painter(enabled=wants_color(options.color, sys.stdout))
    faulty = {finding.where for finding in examined.findings}
    for facts in examined.servers:
        if facts.name not in faulty:
            text = f"nats-server {facts.version}" if facts.version else "its file"
            click.echo(f"{painter.paint('ok  ', _COLORS['ok'])}  {printable(facts.name)}  {printable(text)}")
    for finding in examined.findings:
        show_finding(finding, painter)
    if options.quiet:
        return
    for name, rules in examined.unseen.items():
        click.echo(
            f"not seen of {printable(name)}: {', '.join(rules)}; give --system, or its file with --server-config",
            err=True,
        )


def show_finding(finding: Finding, painter: Painter) -> None:
    where = f"{printable(finding.where)}  " if finding.where else ""
    click.echo(
        f"{painter.paint(f'{finding.state:4}', _COLORS[finding.state])}  {where}{finding.rule}: {printable(finding.text)}"
    )
    if finding.cure:
        click.echo(f"      -> {printable(finding.cure)}")
