"""Look jobs up: what runs, what has run, and what came of it."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import Any, cast

from sylvite.core.duration import parse_time_ns
from sylvite.errors import NoSuchJob
from sylvite.functions import master
from sylvite.functions.given import __bus__, __jid_event__, __opts__
from sylvite.jobs import listing
from sylvite.jobs.active import RUNNING, active_jobs
from sylvite.jobs.jid import JidMaker, parse_jid
from sylvite.jobs.store import JobReader
from sylvite.jobs.values import Job, Listed

PAGE = 500
FIND_JOB = "saltutil.find_job"


def active(display_progress: bool = False) -> dict[str, Any]:
    """
    Ask the minions which jobs they run; return them by job id.

    CLI Example:

        sylvite run jobs.active
    """
    with master.local_client(__opts__, __bus__) as client:
        found = client.here()
        if display_progress:
            _progress(f"Attempting to contact minions: {found}")
        answers = client.cmd(found, RUNNING, tgt_type="list") if found else {}
    with ExitStack() as stack:
        reader = stack.enter_context(master.jobs(__opts__)) if master.keeps_jobs(__opts__) else None
        return active_jobs(answers, reader)


def _find(reader: JobReader, jid: str) -> Listed | None:
    try:
        return reader.find(jid)
    except NoSuchJob:
        return None


def list_jobs(
    ext_source: str | None = None,
    outputter: str | None = None,
    search_metadata: Mapping[str, Any] | None = None,
    search_function: str | Sequence[str] | None = None,
    search_target: str | Sequence[str] | None = None,
    start_time: str | None = None,
    end_time: str | None = None,
    display_progress: bool = False,
) -> dict[str, Any]:
    """
    Return the jobs that are kept, by job id.

    search_metadata
        Only those whose metadata has all of these.
    search_function
        Only those whose function fits one of these shell patterns.
    search_target
        Only those whose target fits one of these.
    start_time, end_time
        Only those that began in between: a date, a time, or how long ago
        (2h).

    CLI Example:

        sylvite run jobs.list_jobs
        sylvite run jobs.list_jobs search_function='test.*' start_time=2h
    """
    del ext_source, outputter
    since, until = _jid_of(start_time), _jid_of(end_time)

    def wanted(job: Job) -> bool:
        return (
            (since is None or job.jid >= since)
            and (until is None or job.jid <= until)
            and _has(job.metadata, search_metadata)
            and _fits([job.fun] if isinstance(job.fun, str) else job.fun, search_function)
            and _fits([job.tgt] if isinstance(job.tgt, str) else job.tgt, search_target)
        )

    if display_progress:
        _progress("Querying the job store for a list of jobs")
    found: dict[str, Any] = {}
    with master.jobs(__opts__) as reader:
        before: str | None = None
        while page := reader.page(before=before, count=PAGE):
            found |= listing.list_jobs(each for each in page if wanted(each.job))
            before = page[-1].job.jid
            if since is not None and before < since:
                break
    return dict(sorted(found.items()))


def list_jobs_filter(
    count: int,
    filter_find_job: bool = True,
    ext_source: str | None = None,
    outputter: str | None = None,
    display_progress: bool = False,
) -> dict[str, Any]:
    """
    Return the latest jobs, so many, by job id.

    filter_find_job
        Leave out those that only ask for others.

    CLI Example:

        sylvite run jobs.list_jobs_filter 50
    """
    del ext_source, outputter
    if display_progress:
        _progress("Querying the job store for a list of jobs")
    with master.jobs(__opts__) as reader:
        page = reader.page(count=count, wanted=lambda job: not (filter_find_job and job.fun == FIND_JOB))
    return dict(sorted(listing.list_jobs(page).items()))


def list_job(jid: str, ext_source: str | None = None, display_progress: bool = False) -> dict[str, Any]:
    """
    Return one job, its minions, and what they returned.

    CLI Example:

        sylvite run jobs.list_job 20261123224730771814
    """
    del ext_source
    if display_progress:
        _progress("Querying the job store")
    with master.jobs(__opts__) as reader:
        found = _find(reader, str(jid))
        return (
            listing.list_unknown_job(str(jid)) if found is None else listing.list_job(found, reader.answers(str(jid)))
        )


def print_job(jid: str, ext_source: str | None = None) -> dict[str, Any]:
    """
    As jobs.list_job, by job id.

    CLI Example:

        sylvite run jobs.print_job 20261123224730771814
    """
    return {str(jid): list_job(jid, ext_source)}


def lookup_jid(
    jid: str,
    ext_source: str | None = None,
    returned: bool = True,
    missing: bool = False,
    display_progress: bool = False,
) -> dict[str, Any]:
    """
    Return what the minions of a job returned.

    returned
        Those that did.
    missing
        Those that did not, too.

    CLI Example:

        sylvite run jobs.lookup_jid 20261123224730771814
    """
    del ext_source
    if display_progress:
        _progress("Querying the job store")
    with master.jobs(__opts__) as reader:
        found = listing.lookup_jid(reader.answers(str(jid))) if returned else {}
        away = dict.fromkeys(reader.waiting(str(jid)), "Minion did not return") if missing else {}
    return {**found, **away}


def last_run(
    ext_source: str | None = None,
    outputter: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    function: str | None = None,
    target: str | None = None,
    display_progress: bool = False,
) -> dict[str, Any] | bool:
    """
    Return the latest job that fits, as jobs.print_job does; False where there is none.

    CLI Example:

        sylvite run jobs.last_run
        sylvite run jobs.last_run target=web1 function=test.ping
    """
    del outputter, display_progress

    def wanted(job: Job) -> bool:
        is_own = function is None and job.fun in (FIND_JOB, RUNNING)
        functions = [job.fun] if isinstance(job.fun, str) else job.fun
        targets = [job.tgt] if isinstance(job.tgt, str) else job.tgt
        return not is_own and _has(job.metadata, metadata) and _fits(functions, function) and _fits(targets, target)

    with master.jobs(__opts__) as reader:
        page = reader.page(count=1, wanted=wanted)
    return print_job(page[0].job.jid, ext_source) if page else False


def exit_success(jid: str, ext_source: str | None = None) -> dict[str, bool]:
    """
    Say of each minion of a job whether it has succeeded: it has returned, and not failed.

    CLI Example:

        sylvite run jobs.exit_success 20261123224730771814
    """
    del ext_source
    with master.jobs(__opts__) as reader:
        waiting = dict.fromkeys(reader.waiting(str(jid)), False)
        done = {
            answer.minion: answer.refused is None and answer.retcode == 0 and answer.success is not False
            for answer in reader.answers(str(jid))
        }
    return {**waiting, **done}


def _progress(message: str) -> None:
    __jid_event__.fire_event({"message": message}, "progress")


def _fits(values: Sequence[str], wanted: str | Sequence[str] | None) -> bool:
    if wanted is None:
        return True
    patterns = [wanted] if isinstance(wanted, str) else wanted
    return any(fnmatchcase(value, str(pattern)) for value in values for pattern in patterns)


def _has(metadata: Any, wanted: Mapping[str, Any] | None) -> bool:
    if wanted is None:
        return True
    if not isinstance(metadata, Mapping):
        return False
    kept = cast("Mapping[str, Any]", metadata)
    return all(name in kept and kept[name] == value for name, value in wanted.items())


def _jid_of(moment: str | None) -> str | None:
    """Return the job id of a moment: of one that is one already, or of a time."""
    if moment is None:
        return None
    text = str(moment)
    if text.isdigit() and len(text) == 20:
        parse_jid(text)
        return text
    return JidMaker().make(parse_time_ns(text, time.time_ns()))
