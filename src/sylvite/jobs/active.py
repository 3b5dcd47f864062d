"""Active: the jobs that run, as their minions say when they are asked (`saltutil.running`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from sylvite.errors import InvalidJid, NoSuchJob
from sylvite.jobs.jid import parse_jid
from sylvite.jobs.listing import active
from sylvite.jobs.store import JobReader
from sylvite.jobs.values import Job, Listed

RUNNING = "saltutil.running"


def active_jobs(answers: Mapping[str, Any], reader: JobReader | None) -> dict[str, Any]:
    """Return what runs, by jid, in the shape of Salt's `jobs.active`.

    `answers`: to `saltutil.running`, by minion.  `reader`: knows more of the jobs, such as who has returned; None: nobody does.
    """
    jobs: dict[str, Job] = {}
    running: dict[str, dict[str, int]] = {}
    for minion, answer in sorted(answers.items()):
        for said in cast("list[Any]", answer) if isinstance(answer, list) else []:
            job = _read(said, minion)
            if job is not None:
                jobs.setdefault(job.jid, job)
                running.setdefault(job.jid, {})[minion] = said.get("pid") or 0
    return active([_known(jid, jobs[jid], reader) for jid in sorted(jobs)], running)


def _known(jid: str, job: Job, reader: JobReader | None) -> tuple[Listed, list[str]]:
    if reader is not None:
        try:
            return reader.find(jid), reader.returned(jid)
        except NoSuchJob:
            pass  # It is not kept, or has just begun: what the minion says of it has to do.
    return Listed(job, 0, None, len(job.minions), 0), []


def _read(said: Any, minion: str) -> Job | None:
    """Return the job that a minion speaks of; None for what is none: it may say anything."""
    try:
        found = msgspec.convert({**said, "minions": [minion]}, Job)
        parse_jid(found.jid)
    except (msgspec.ValidationError, InvalidJid, TypeError):
        return None
    return found
