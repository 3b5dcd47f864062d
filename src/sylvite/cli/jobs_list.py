"""`sylvite jobs list` and `show`: jobs that the master has kept."""

from __future__ import annotations

import fnmatch
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from sylvite.cli.amounts import show_age
from sylvite.cli.call_options import shown
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.jobs_place import place_options
from sylvite.cli.output import table, write_json
from sylvite.cli.outputters import OUTPUTTERS
from sylvite.cli.template import local_time, printable

if TYPE_CHECKING:
    from sylvite.jobs.client_core import MasterPlace
    from sylvite.jobs.store import JobReader
    from sylvite.jobs.values import Answer, Job, Listed

LIST_EXAMPLES = (
    Example("sylvite jobs list", "The last jobs", exit_code=74),
    Example("sylvite jobs list --function 'test.*' --limit 5", "The last five of some functions", exit_code=74),
)
SHOW_EXAMPLES = (Example("sylvite jobs show 20261123224730771814", "One job with its returns", exit_code=74),)
NANOSECONDS = 1_000_000_000
TARGET_CHARACTERS = 30


def open_reader(place: MasterPlace) -> JobReader:
    """Raises JobStoreFailed: no jobs are kept there."""
    from sylvite.errors import JobStoreFailed
    from sylvite.jobs.client_core import JOBS_FILE
    from sylvite.jobs.store import read_jobs

    path = place.data_dir / JOBS_FILE
    if not path.exists():
        raise JobStoreFailed(
            f"{path} is not there: no jobs are kept; `sylvite master` keeps them, and `sylvite jobs keep`"
        )
    return read_jobs(path)


@command("list", examples=LIST_EXAMPLES)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, metavar="N", help="So many at most [50].")
@click.option("--before", metavar="JID", help="Only jobs before this one: the next page.")
@click.option("--function", "function", metavar="GLOB", help="Only jobs of these functions.")
@click.option("--user", metavar="GLOB", help="Only jobs of these users.")
@place_options
@pass_options
def list_(
    options: GlobalOptions, place: MasterPlace, limit: int, before: str | None, function: str | None, user: str | None
) -> None:
    """List jobs, the newest first.

    They are kept as long as the option `keep_jobs_seconds` of the master says. With --json: by jid, in the shape of
    Salt's `jobs.list_jobs`.
    """
    from sylvite.jobs.listing import list_jobs

    def is_wanted(job: Job) -> bool:
        names = [job.fun] if isinstance(job.fun, str) else job.fun
        fits = function is None or any(fnmatch.fnmatchcase(name, function) for name in names)
        return fits and (user is None or fnmatch.fnmatchcase(job.user, user))

    with open_reader(place) as reader:
        found = reader.page(before=before, count=limit, wanted=is_wanted)
    if options.json:
        write_json(list_jobs(found))
    elif found:
        for line in table([_row(each) for each in found], ("JID", "AGE", "FUNCTION", "TARGET", "USER", "RETURNED")):
            click.echo(line)
    else:
        click.echo("no jobs", err=True)


def _row(each: Listed) -> tuple[str, ...]:
    age = show_age(max(0.0, (time.time_ns() - each.published_ns) / NANOSECONDS))
    job = each.job
    return (
        job.jid, age, printable(name_of(job.fun)), target_of(job.tgt, job.tgt_type), printable(job.user),
        f"{each.returned} of {each.expected}",
    )  # fmt: skip


def name_of(fun: Any) -> str:
    return fun if isinstance(fun, str) else ",".join(str(name) for name in fun)


def target_of(tgt: Any, tgt_type: str) -> str:
    """Return a target for a table, and its type where it is not the usual one."""
    text = printable(tgt if isinstance(tgt, str) else (" " if tgt_type == "compound" else ",").join(map(str, tgt)))
    text = text if len(text) <= TARGET_CHARACTERS else f"{text[: TARGET_CHARACTERS - 1]}…"
    return text if tgt_type == "glob" else f"{text} ({tgt_type})"


@command("show", examples=SHOW_EXAMPLES)
@click.argument("jid")
@click.option(
    "--out", "out", type=click.Choice(OUTPUTTERS), metavar="FORMAT", help=", ".join(OUTPUTTERS) + " [nested]."
)
@click.option("--out-indent", type=int, metavar="N", help="Indent by N; JSON with -1 is one line.")
@place_options
@pass_options
def show(options: GlobalOptions, place: MasterPlace, jid: str, out: str | None, out_indent: int | None) -> None:
    """Show a job, and what its minions have returned.

    Its facts go to stderr, the returns to stdout, as `sylvite jobs run` shows them. With --json all of it goes to stdout,
    in the shape of Salt's `jobs.list_job`.
    """
    from sylvite.jobs.jid import parse_jid
    from sylvite.jobs.listing import list_job, value_of

    parse_jid(jid)
    with open_reader(place) as reader:
        found = reader.find(jid)
        answers, waiting = reader.answers(jid), reader.waiting(jid)
    if options.json and out is None:
        write_json(list_job(found, answers))
        return
    if not options.quiet:
        _introduce(found, answers, waiting)
    result = shown(options, out, out_indent)
    for answer in answers:
        result.write({answer.minion: value_of(answer)})
    sys.stdout.flush()


def _introduce(found: Listed, answers: list[Answer], waiting: list[str]) -> None:
    job = found.job
    failed = [answer.minion for answer in answers if answer.retcode]
    for title, text in (
        ("jid", job.jid),
        ("function", printable(name_of(job.fun))),
        ("arguments", printable(repr(list(job.arg))) if job.arg else ""),
        ("target", target_of(job.tgt, job.tgt_type)),
        ("user", printable(job.user)),
        ("published", local_time(found.published_ns)),
        ("ended", "" if found.closed_ns is None else local_time(found.closed_ns)),
        ("metadata", "" if job.metadata is None else printable(repr(job.metadata))),
        ("returned", f"{found.returned} of {found.expected}"),
        ("failed", ", ".join(failed)),
        ("waiting for" if found.is_active else "gave up", ", ".join(waiting)),
    ):
        if text:
            click.echo(f"{title:13}{text}", err=True)
    click.echo(err=True)
