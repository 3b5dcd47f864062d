"""Listings: jobs in the shapes that Salt's `jobs` runners print, and programs that show them read.

What SaltGUI and pepper rely on: lists are lists, `Minions` is there for jobs of minions, and twenty-digit jids sort by
time.  What Salt's shapes have no place for (that a job has ended, that a return came late, or was refused) stands in
keys of our own beside theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sylvite.jobs.jid import show_moment, start_time
from sylvite.jobs.values import Answer, Job, Listed

NO_SUCH_JOB = "Cannot contact returner or no job with this jid"
"""Salt's words: programs look for the key `Error`, people for the text."""
REFUSED_RETCODE = 1


def show_job(job: Job) -> dict[str, Any]:
    """Return the fields that all listings share."""
    shown: dict[str, Any] = {
        "Function": job.fun if isinstance(job.fun, str) else list(job.fun),
        "Arguments": list(job.arg),
        "Target": job.tgt if isinstance(job.tgt, str) else list(job.tgt),
        "Target-type": job.tgt_type,
        "User": job.user,
    }
    if job.metadata is not None:
        shown["Metadata"] = job.metadata
    return shown


def list_jobs(jobs: Iterable[Listed]) -> dict[str, dict[str, Any]]:
    """`jobs.list_jobs`: by jid."""
    return {
        each.job.jid: {**show_job(each.job), "StartTime": start_time(each.job.jid), **_show_end(each)} for each in jobs
    }


def list_job(found: Listed, answers: Iterable[Answer]) -> dict[str, Any]:
    """`jobs.list_job`: one job with its minions and what they sent."""
    return {
        "jid": found.job.jid,
        **show_job(found.job),
        "Minions": list(found.job.minions),
        "Result": {answer.minion: show_answer(answer) for answer in answers},
        "StartTime": start_time(found.job.jid),
        **_show_end(found),
    }


def _show_end(found: Listed) -> dict[str, Any]:
    """Return when a job has ended; nothing of one that is waited for."""
    return {} if found.closed_ns is None else {"Ended": show_moment(datetime.fromtimestamp(found.closed_ns / 1e9, UTC))}


def list_unknown_job(jid: str) -> dict[str, Any]:
    """`jobs.list_job` for one that there is not: with every field, since programs read them without looking."""
    return {
        "jid": jid,
        "Function": "unknown-function",
        "Arguments": [],
        "Target": "unknown-target",
        "Target-type": "",
        "User": "root",
        "Minions": [],
        "Result": {},
        "StartTime": "",
        "Error": NO_SUCH_JOB,
    }


def show_answer(answer: Answer) -> dict[str, Any]:
    shown: dict[str, Any] = {"return": value_of(answer), "retcode": answer.retcode}
    if answer.success is not None:
        shown["success"] = answer.success
    if answer.out is not None:
        shown["out"] = answer.out
    if answer.refused is not None:
        shown |= {"retcode": answer.retcode or REFUSED_RETCODE, "success": False, "refused": True}
    if answer.late:
        shown["late"] = True
    return shown


def value_of(answer: Answer) -> Any:
    """Return what the minion returned; where that was refused, the reason."""
    return answer.value if answer.refused is None else answer.refused


def lookup_jid(answers: Iterable[Answer]) -> dict[str, Any]:
    """`jobs.lookup_jid`: what each minion returned."""
    return {answer.minion: value_of(answer) for answer in answers}


def active(jobs: Iterable[tuple[Listed, Sequence[str]]], running: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """`jobs.active`: what is under way, by jid; empty when nothing is.

    `jobs`: each with the ids of those that have answered.  `running`: by jid, the process that does it on each minion,
    as `saltutil.find_job` says.
    """
    return {
        each.job.jid: {
            **show_job(each.job),
            "StartTime": start_time(each.job.jid),
            "Running": [{minion: process} for minion, process in running.get(each.job.jid, {}).items()],
            "Returned": list(returned),
        }
        for each, returned in jobs
    }
