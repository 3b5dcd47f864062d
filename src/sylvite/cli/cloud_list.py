"""`sylvite cloud list`: what is at the providers, and what is unfinished."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from sylvite.cli.amounts import show_age
from sylvite.cli.cloud import config_option, opened, provider_option, said, state_option
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.exit_codes import DONE, exit_code_of
from sylvite.cli.output import table, write_json
from sylvite.cli.template import printable

EXAMPLES = (
    Example("sylvite cloud list", "All machines at all providers"),
    Example("sylvite cloud list --provider lab --json", "Those of one, for programs"),
)
NANOSECONDS = 1_000_000_000


@command("list", examples=EXAMPLES)
@provider_option
@config_option
@state_option
@pass_options
def list_(options: GlobalOptions, providers: tuple[str, ...], config_dir: Path | None, state_dir: Path | None) -> int:
    """List the machines at the providers, and what is unfinished.

    With `diff_cache_events: true` in the configuration each machine that is new, missing or different since the last time is an event. A provider that cannot be asked is named, and the others are shown.
    """
    with opened(options, config_dir, state_dir, bus=None) as cloud:
        listing = cloud.list(providers)
        unfinished = [one for one in cloud.ledger.unfinished() if not providers or one.provider in providers]
    code = DONE
    for name, error in listing.failed.items():
        click.echo(f"sylvite: {printable(name)}: {said(error)}", err=True)
        code = code or exit_code_of(error.code)
    begun = {(one.provider, one.instance_id or one.name): one for one in unfinished}
    rows: list[dict[str, Any]] = []
    for machine in listing.machines:
        one = begun.pop((machine.provider, machine.id), None) or begun.pop((machine.provider, machine.name), None)
        rows.append(machine.facts() | ({"unfinished": one.step} if one is not None else {}))
    for one in begun.values():
        facts = {
            "id": one.instance_id,
            "name": one.name,
            "provider": one.provider,
            "driver": one.driver,
            "state": "unknown",
        }
        rows.append(facts | {"unfinished": one.step})
    if options.json:
        write_json(rows)
        return code
    if rows:
        for line in table([_row(row) for row in rows], ("NAME", "PROVIDER", "ID", "STATE", "ADDRESSES")):
            click.echo(line)
    elif not listing.failed:
        click.echo("no machines", err=True)
    for one in unfinished:
        age = show_age(max(0.0, (time.time_ns() - one.since_ns) / NANOSECONDS))
        why = "being created" if one.goes_on else one.reason or "the process that created it has ended"
        click.echo(
            f"sylvite: {one.name} at {printable(one.provider)} got to {one.step}, begun {age}: {printable(why)}",
            err=True,
        )
    return code


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    addresses = ", ".join((*row.get("public_ips", ()), *row.get("private_ips", ())))
    state = f"{row['state']}, unfinished" if "unfinished" in row else row["state"]
    return tuple(printable(str(cell or "-")) for cell in (row["name"], row["provider"], row["id"], state, addresses))
