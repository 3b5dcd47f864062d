"""Look after functions, and after the jobs that run on this minion."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import fnmatch
import os
import signal
from typing import Any, cast

from sylvite.errors import SylviteError
from sylvite.functions.given import __bus__, __news__, __opts__, __reload__
from sylvite.jobs import proc


def sync_modules(refresh: bool = True) -> list[str]:
    """
    Look for modules of your own again, and return which are new or changed.

    New is what the minion has not seen when it looked last. They are run from where they lie: there is nothing to copy.

    CLI Example:

        sylvite call saltutil.sync_modules
    """
    __reload__()
    found = [f"modules.{name}" for name in __news__()]
    if refresh and found:
        refresh_modules()
    return found


def sync_all(refresh: bool = True) -> dict[str, list[str]]:
    """
    Look for everything of your own again, and return what is new.

    CLI Example:

        sylvite call saltutil.sync_all
    """
    return {"modules": sync_modules(refresh)}


def refresh_modules() -> bool:
    """
    Look at the files of all modules again, and tell the minion to do so.

    CLI Example:

        sylvite call saltutil.refresh_modules
    """
    __reload__()
    return _tell_minion("module_refresh")


def refresh_grains() -> bool:
    """
    Tell the minion to look at its machine again.

    CLI Example:

        sylvite call saltutil.refresh_grains
    """
    return _tell_minion("grains_refresh")


def _tell_minion(tag: str) -> bool:
    try:
        __bus__.fire(tag, {})
    except SylviteError:
        return False
    return True


# -- Jobs ------------------------------------------------------------------------------------------------------------


def running() -> list[dict[str, Any]]:
    """
    Return the jobs that run on this minion; this one is not among them.

    One that waits for its turn has no ``pid``.

    CLI Example:

        sylvite call saltutil.running
    """
    return [job.shown for job in _running()]


def find_job(jid: str) -> dict[str, Any]:
    """
    Return a job that runs on this minion, or an empty map.

    CLI Example:

        sylvite call saltutil.find_job 20261123224730771814
    """
    found: dict[str, Any] = {}
    return next((job.shown for job in _running() if job.jid == str(jid)), found)


def is_running(fun: str) -> list[dict[str, Any]]:
    """
    Return the jobs that run a function. It may be a shell pattern.

    CLI Example:

        sylvite call saltutil.is_running 'test.*'
    """
    return [job.shown for job in _running() if any(fnmatch.fnmatchcase(name, fun) for name in _names(job.shown["fun"]))]


def signal_job(jid: str, sig: int) -> str:
    """
    Send a signal to a job, and to all that it has started.

    CLI Example:

        sylvite call saltutil.signal_job 20261123224730771814 15
    """
    return next((_signal(job, int(sig)) for job in _running() if job.jid == str(jid)), "")


def term_job(jid: str) -> str:
    """
    Ask a job to end: send SIGTERM to it, and to all that it has started.

    CLI Example:

        sylvite call saltutil.term_job 20261123224730771814
    """
    return signal_job(jid, signal.SIGTERM)


def kill_job(jid: str) -> str:
    """
    End a job: send SIGKILL to it, and to all that it has started.

    CLI Example:

        sylvite call saltutil.kill_job 20261123224730771814
    """
    return signal_job(jid, signal.SIGKILL)


def term_all_jobs() -> list[str]:
    """
    Ask all jobs to end, but for this one.

    CLI Example:

        sylvite call saltutil.term_all_jobs
    """
    return [_signal(job, signal.SIGTERM) for job in _running()]


def kill_all_jobs() -> list[str]:
    """
    End all jobs, but for this one.

    CLI Example:

        sylvite call saltutil.kill_all_jobs
    """
    return [_signal(job, signal.SIGKILL) for job in _running()]


def _running() -> list[proc.Running]:
    folder = proc.proc_folder(__opts__)
    return [job for job in proc.read_records(folder) if job.pid != os.getpid()] if folder is not None else []


def _names(fun: object) -> list[str]:
    return [str(name) for name in cast("list[object]", fun)] if isinstance(fun, list) else [str(fun)]


def _signal(job: proc.Running, number: int) -> str:
    folder = proc.proc_folder(__opts__)
    assert folder is not None
    if job.pid is None:
        # The minion begins no job whose record is gone.
        ends = number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
        if ends and proc.drop_record(folder, job.jid):
            return f"Job {job.jid} was waiting, and will not be run"
        return f"Job {job.jid} is waiting, and has no process for signal {number}"
    # Salt's words.
    if proc.signal_tree(job.pid, job.begun, number):
        return f"Signal {number} sent to job {job.jid} at pid {job.pid}"
    return f"Job {job.jid} was not running and job data has been cleaned up"
