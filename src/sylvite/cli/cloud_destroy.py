"""`sylvite cloud destroy`: machines, for good."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sylvite.cli.cloud import config_option, opened, provider_option, said, show_steps, state_option
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.confirm import confirm
from sylvite.cli.exit_codes import DONE, exit_code_of
from sylvite.cli.option_types import DURATION
from sylvite.cli.output import write_json
from sylvite.cli.template import printable
from sylvite.errors import SylviteError

if TYPE_CHECKING:
    from sylvite.cloud.cloud import Cloud
    from sylvite.cloud.ledger import Unfinished
    from sylvite.cloud.machine import Machine

EXAMPLES = (
    Example("sylvite cloud destroy web1 --dry-run", "Which one would that be?"),
    Example("sylvite cloud destroy web1 web2 -y", "Destroy them, without a question"),
)


@command("destroy", examples=EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@provider_option
@click.option(
    "--timeout", "timeout_s", type=DURATION, default=300.0, metavar="TIME", help="Wait so long for each [5m]."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@config_option
@state_option
@pass_options
def destroy(
    options: GlobalOptions,
    names: tuple[str, ...],
    providers: tuple[str, ...],
    timeout_s: float,
    config_dir: Path | None,
    state_dir: Path | None,
    *,
    dry_run: bool,
    yes: bool,
) -> int:
    """Destroy machines.

    NAME is a name or the provider's id. All are looked for before the first is destroyed. What was begun and is not at the provider is forgotten.
    """
    with opened(options, config_dir, state_dir, bus=not dry_run, progress=show_steps(options)) as cloud:
        found = [_found(cloud, name, providers) for name in dict.fromkeys(names)]
        if dry_run:
            _tell(options, found, "would be", dry_run=True)
            return DONE
        what = ", ".join(f"{printable(one.name)} ({_identity(one)} at {printable(one.provider)})" for one in found)
        confirm(f"Destroy {what}?", yes=yes)
        code = DONE
        done: list[Machine | Unfinished] = []
        for one in found:
            try:
                _destroy(cloud, one, timeout_s)
            except SylviteError as error:
                if len(found) == 1:
                    raise
                code = code or exit_code_of(error.code)
                click.echo(f"sylvite: {printable(one.name)}: {said(error)}", err=True)
            else:
                done.append(one)
    _tell(options, done, "is", dry_run=False)
    return code


def _found(cloud: Cloud, name: str, providers: tuple[str, ...]) -> Machine | Unfinished:
    from sylvite.cloud.errors import NoSuchMachine

    try:
        return cloud.find(name, providers)
    except NoSuchMachine:
        for one in cloud.ledger.unfinished():
            if name in (one.name, one.instance_id) and (not providers or one.provider in providers) and not one.goes_on:
                return one
        raise


def _destroy(cloud: Cloud, one: Machine | Unfinished, timeout_s: float) -> None:
    from sylvite.cloud.machine import Machine

    if isinstance(one, Machine):
        cloud.destroy(one, timeout_s=timeout_s)
    else:
        cloud.ledger.settle(one.provider, one.name)


def _identity(one: Machine | Unfinished) -> str:
    from sylvite.cloud.machine import Machine

    return printable(one.id) if isinstance(one, Machine) else "not there"


def _tell(options: GlobalOptions, found: list[Machine | Unfinished], verb: str, *, dry_run: bool) -> None:
    from sylvite.cloud.machine import Machine

    if options.json:
        facts: list[dict[str, Any]] = []
        for one in found:
            there = isinstance(one, Machine)
            facts.append(
                {
                    "name": one.name,
                    "provider": one.provider,
                    "id": one.id if there else one.instance_id,
                    "existed": there,
                }
            )
        write_json([{**each, "dry_run": True} if dry_run else each for each in facts])
        return
    for one in found:
        done = "destroyed" if isinstance(one, Machine) else "forgotten"
        click.echo(f"{printable(one.name)} {verb} {done}: {_identity(one)} at {printable(one.provider)}")
