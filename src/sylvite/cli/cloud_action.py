"""`sylvite cloud action`: start, stop, reboot."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import click

from sylvite.cli.cloud import config_option, opened, provider_option, said, show_steps, state_option
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.exit_codes import DONE, exit_code_of
from sylvite.cli.option_types import DURATION
from sylvite.cli.output import write_json
from sylvite.cli.template import printable
from sylvite.cloud.driver import Change
from sylvite.errors import SylviteError

EXAMPLES = (
    Example("sylvite cloud action stop web1 web2", "Stop two machines, and wait until they are"),
    Example("sylvite cloud action reboot web1 --dry-run", "Which one would that be?"),
)
SAID = {"start": "is started", "stop": "is stopped", "reboot": "was told to reboot"}


@command("action", examples=EXAMPLES)
@click.argument("action", type=click.Choice(get_args(Change)))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@provider_option
@click.option(
    "--timeout", "timeout_s", type=DURATION, default=300.0, metavar="TIME", help="Wait so long for each [5m]."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@config_option
@state_option
@pass_options
def action(
    options: GlobalOptions,
    action: str,
    names: tuple[str, ...],
    providers: tuple[str, ...],
    timeout_s: float,
    config_dir: Path | None,
    state_dir: Path | None,
    *,
    dry_run: bool,
) -> int:
    """Start, stop or reboot machines.

    ACTION is start, stop or reboot. The first two return when the provider shows the machine so; that one has rebooted cannot be seen.
    """
    what = cast("Change", action)
    with opened(options, config_dir, state_dir, bus=not dry_run, progress=show_steps(options)) as cloud:
        found = [cloud.find(name, providers) for name in dict.fromkeys(names)]
        if dry_run:
            if options.json:
                write_json([one.facts() | {"action": what, "dry_run": True} for one in found])
            else:
                for one in found:
                    click.echo(
                        f"{what} would be asked of {printable(one.name)}: {printable(one.id)} at {printable(one.provider)}"
                    )
            return DONE
        code = DONE
        for one in found:
            try:
                cloud.change(what, one, timeout_s=timeout_s)
            except SylviteError as error:
                if len(found) == 1:
                    raise
                code = code or exit_code_of(error.code)
                click.echo(f"sylvite: {printable(one.name)}: {said(error)}", err=True)
                continue
            if options.json:
                write_json({"name": one.name, "provider": one.provider, "id": one.id, "action": what})
            else:
                click.echo(f"{printable(one.name)} {SAID[what]}")
    return code
