"""Answers: what a minion publishes of a job, in Salt's shapes (spec/salt-events.md 3.3).  Pure.

__schedule_return    the return, which its master sees as salt/job/<jid>/ret/<id>
fire_master          what else goes up: that a job begins, what a generator has yielded, what a function has raised
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

import msgspec

from sylvite.jobs.worker_messages import NOTHING, Returned

ERROR_TAG = "_salt_error"
ECHOED = ("metadata", "master_id")
NOBODY_RETURNED = 1
ASKED_FOR = (signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM)
"""Signals by which people end a job."""

Load = dict[str, Any]


class Failure(msgspec.Struct, frozen=True):
    """There is no return of the function's: what is said in its place.  `is_crash`: nobody wanted that."""

    text: str
    retcode: int = NOBODY_RETURNED
    is_crash: bool = False


def return_load(minion: str, publication: Mapping[str, Any], came: Returned | Failure) -> Load:
    """Return what goes up as the return of a job."""
    fun, arguments = publication["fun"], publication["arg"]
    if isinstance(came, Failure):
        value, retcode, success, out = came.text, came.retcode, False, "nested"
    else:
        value, retcode, success, out = came.value, came.retcode, came.success, came.out
        arguments = arguments if came.arguments == NOTHING else came.arguments
    load: Load = {
        "cmd": "_return", "id": minion, "success": success, "return": value, "retcode": retcode,
        "jid": publication["jid"], "fun": fun, "fun_args": arguments,
    }  # fmt: skip
    if "user" in publication:
        load["user"] = publication["user"]
    if out is not None:
        load["out"] = out
    return load | {name: publication[name] for name in ECHOED if name in publication}


def without_value(load: Load, reason: str) -> Load:
    """Return a return that fits into an event; its value and arguments did not."""
    return {**load, "return": f"VALUE_TRIMMED: {reason}", "fun_args": []}


def start_event(minion: str, publication: Mapping[str, Any]) -> Load:
    """Return what tells that a job begins, for those who ask for it."""
    inner = {"id": minion, **{name: publication[name] for name in ("jid", "fun", "tgt")}}
    inner["tgt_type"], inner["user"] = publication.get("tgt_type", "glob"), publication.get("user", "")
    inner |= {name: publication[name] for name in ("master_id", "metadata") if name in publication}
    return _up(f"salt/job/{publication['jid']}/start/{minion}", inner)


def progress_event(minion: str, jid: str, number: int, item: Any) -> Load:
    return {**_up(f"salt/job/{jid}/prog/{minion}/{number}", {"return": item}), "jid": jid}


def error_event(message: str) -> Load:
    return _up(ERROR_TAG, error_data(message))


def error_data(message: str) -> Load:
    return {"message": message, "args": [message]}


def _up(tag: str, data: Any) -> Load:
    return {"tag": tag, "data": data, "events": None, "pretag": None}


def how_it_ended(status: int | None) -> Failure:
    """Return what is said of a worker that has ended without a return.  `status`: as waitpid(2) has it."""
    if status is None:
        return Failure("The process that runs the jobs of this minion has died, and this job with it")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        said = f"The process of this job was ended by {name} before it returned"
        return Failure(said, 128 + number, is_crash=number not in ASKED_FOR)
    code = os.waitstatus_to_exitcode(status)
    return Failure(
        f"The process of this job has ended with exit code {code} before it returned", code or NOBODY_RETURNED
    )
