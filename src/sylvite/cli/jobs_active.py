"""`sylvite jobs active` and `kill`: jobs that run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from sylvite.cli import exit_codes
from sylvite.cli.call_options import log_to_stderr, shown
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.jobs_list import name_of, open_reader, target_of
from sylvite.cli.jobs_place import place_options
from sylvite.cli.option_types import DURATION
from sylvite.cli.output import table, write_json
from sylvite.errors import JobStoreFailed

if TYPE_CHECKING:
    from sylvite.jobs.client_core import MasterPlace
    from sylvite.jobs.local_client import LocalClient

ACTIVE_EXAMPLES = (Example("sylvite jobs active", "What runs, and where"),)
KILL_EXAMPLES = (
    Example("sylvite jobs kill 20261123224730771814", "End it at once", exit_code=1),
    Example("sylvite jobs kill --term 20261123224730771814", "Ask it to end", exit_code=1),
)
timeout_option = click.option(
    "-t", "--timeout", type=DURATION, metavar="TIME", help="How long minions have for their answer [5s]."
)


def _ask(local: LocalClient, fun: str, arg: Sequence[Any], timeout_s: float | None) -> dict[str, Any]:
    """Return what those that are here answer, by minion."""
    found = local.here()
    if not found:
        return {}
    answers = local.cmd_full_return(found, fun, arg, tgt_type="list", timeout_s=timeout_s)
    return {minion: each["ret"] for minion, each in answers.items() if not each.get("retcode")}


@command("active", examples=ACTIVE_EXAMPLES)
@timeout_option
@place_options
@pass_options
def active(options: GlobalOptions, place: MasterPlace, timeout: float | None) -> None:
    """Ask the minions which jobs they run.

    With --json: by jid, in the shape of Salt's `jobs.active`.
    """
    from sylvite.jobs.active import RUNNING, active_jobs
    from sylvite.jobs.local_client import LocalClient

    log_to_stderr(options)
    with LocalClient.connect(place) as local, ExitStack() as stack:
        answers = _ask(local, RUNNING, [], timeout)
        try:
            reader = stack.enter_context(open_reader(place))
        except JobStoreFailed:
            reader = None  # Where no jobs are kept, the minions alone know of them.
        found = active_jobs(answers, reader)
    if options.json:
        write_json(found)
    elif found:
        for line in table(
            [_row(jid, job) for jid, job in found.items()], ("JID", "FUNCTION", "TARGET", "RUNS ON", "RETURNED")
        ):
            click.echo(line)
    else:
        click.echo("no jobs run", err=True)


def _row(jid: str, job: dict[str, Any]) -> tuple[str, ...]:
    where = ", ".join(minion for each in job["Running"] for minion in each)
    return jid, name_of(job["Function"]), target_of(job["Target"], job["Target-type"]), where, str(len(job["Returned"]))


@command("kill", examples=KILL_EXAMPLES)
@click.argument("jid")
@click.option("--term", is_flag=True, help="Ask it to end (SIGTERM), in the place of ending it (SIGKILL).")
@timeout_option
@place_options
@pass_options
def kill(options: GlobalOptions, place: MasterPlace, jid: str, timeout: float | None, *, term: bool) -> int:
    """End a job on the minions that run it.

    All that are connected are asked. Each of those that ran it still sends a return, which says that it was ended. Exit code
    1: nobody runs it.
    """
    from sylvite.jobs.jid import parse_jid
    from sylvite.jobs.local_client import LocalClient

    parse_jid(jid)
    log_to_stderr(options)
    with LocalClient.connect(place) as local:
        answers = _ask(local, "saltutil.term_job" if term else "saltutil.kill_job", [jid], timeout)
    told = {minion: text for minion, text in answers.items() if text}
    for minion, text in told.items():
        shown(options, None, None).write({minion: text})
    if not told:
        click.echo(f"no minion runs {jid}", err=True)
    return exit_codes.DONE if told else exit_codes.NO
