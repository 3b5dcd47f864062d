"""`sylvite presence`: which minions are connected to the master."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sylvite.cli import exit_codes
from sylvite.cli.amounts import show_age
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.keys_folder import keys_options
from sylvite.cli.output import Lines, table, write_json
from sylvite.cli.template import local_time, printable
from sylvite.errors import InvalidSetting

if TYPE_CHECKING:
    from sylvite.jobs.known_minions import KnownMinions
    from sylvite.jobs.minions import MinionRecord

EXAMPLES = (
    Example("sylvite presence", "Who is connected"),
    Example("sylvite presence --all", "And who was, when, and why it left"),
    Example("sylvite presence --watch", "Who comes and goes, until Ctrl-C", endless=True),
)
LOOK_S = 0.5
NANOSECONDS = 1_000_000_000


@command("presence", examples=EXAMPLES)
@click.option("--all", "everybody", is_flag=True, help="Also those that have left, and why.")
@click.option("--watch", is_flag=True, help="Then a line for each that comes or goes, until Ctrl-C.")
@keys_options
@pass_options
def presence(options: GlobalOptions, *, folder: Path, everybody: bool, watch: bool) -> int:
    """Show which minions are connected to the master.

    As the master's link has it, which need not run: then nobody is connected; in a cluster also those of the other masters, with
    the name of their master behind the address. One that was lost is shown as connected until
    it has not come back for two seconds. With presence_events the same is told on the bus, in salt/presence/change and
    salt/presence/present.
    """
    from sylvite.jobs.known_minions import read_known
    from sylvite.jobs.minions import FILE

    if not (folder / FILE).exists():
        reason = f"has no {FILE}: no master has run there; say with --config or --dir which one is meant"
        raise InvalidSetting("dir", str(folder), reason)
    with read_known(folder / FILE) as minions:
        records = minions.records()
        shown = [record for record in records if everybody or record.is_present]
        if options.json and not watch:
            write_json([_facts(record) for record in shown])
            return exit_codes.DONE
        if not options.json:
            _show(options, shown, everybody=everybody)
        if watch:
            _watch(minions, {record.id: record for record in records}, as_json=options.json)
    return exit_codes.DONE


def _facts(record: MinionRecord) -> dict[str, object]:
    return {
        **({"master": record.master} if record.master else {}),
        "id": record.id,
        "present": record.is_present,
        "address": record.address,
        "since_ns": record.connected_since_ns,
        "left_ns": record.left_ns,
        "reason": record.reason,
    }


def _show(options: GlobalOptions, records: Sequence[MinionRecord], *, everybody: bool) -> None:
    if not records:
        if not options.quiet:
            click.echo("no minion is connected" if not everybody else "no minion was ever connected", err=True)
        return
    now_ns = time.time_ns()
    rows = [
        (
            record.id,
            "here" if record.is_present else "left" if record.left_ns else "never here",
            _age(now_ns, record.left_ns or record.connected_since_ns),
            _address(record) or "-",
            printable(record.reason) or "-",
        )
        for record in records
    ]
    header = ("ID", "STATE", "SINCE", "ADDRESS", "REASON")
    if not everybody:
        rows, header = [(row[0], row[2], row[3]) for row in rows], ("ID", "SINCE", "ADDRESS")
    for line in table(rows, header):
        click.echo(line)


def _address(record: MinionRecord) -> str:
    return printable(f"{record.address} ({record.master})" if record.master else record.address)


def _age(now_ns: int, then_ns: int | None) -> str:
    return "-" if then_ns is None else show_age((now_ns - then_ns) / NANOSECONDS)


def _watch(minions: KnownMinions, before: dict[str, MinionRecord], *, as_json: bool) -> None:
    lines = Lines()
    while True:
        time.sleep(LOOK_S)
        found = {record.id: record for record in minions.records()}
        for record in found.values():
            former = before.get(record.id)
            if record.is_present == (former is not None and former.is_present):
                continue
            if as_json:
                import msgspec

                lines.write(msgspec.json.encode(_facts(record)) + b"\n")
            else:
                lines.write(f"{_line(record)}\n".encode())
        before = found
        lines.flush()


def _line(record: MinionRecord) -> str:
    if record.is_present:
        return f"{local_time(record.connected_since_ns or 0)[:19]}  + {record.id}  {_address(record)}"
    return f"{local_time(record.left_ns or 0)[:19]}  - {record.id}  {printable(record.reason)}"
