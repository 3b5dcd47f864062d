"""Keeping: the events of jobs, brought into the job store in the order in which they lie in the log.

Taken twice they change nothing but the count of repeated returns: so a process that was killed begins again behind what
it has acknowledged.  What is no job or no return is left out, whoever has published it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from sylvite.core.event import Event
from sylvite.errors import EventTooBig, InvalidInput
from sylvite.jobs.store import JobStore
from sylvite.jobs.values import Arrival, Job, Return

CURSOR = "jobs"
TAGS = r"salt/job/[^/]+/(new|publish|ret/[^/]+)$"
"""The regular expression for the events that matter here."""
SPREAD_NS = 1_000_000_000
"""Returns that came within this time are kept as if they had come together."""
Kind = TypeVar("Kind", bound=msgspec.Struct)
logger = logging.getLogger("sylvite.jobs")


class _New(msgspec.Struct):
    jid: str
    fun: str | tuple[str, ...]
    tgt: str | tuple[str, ...]
    tgt_type: str = "glob"
    user: str = "UNKNOWN"
    arg: tuple[Any, ...] = ()
    minions: tuple[str, ...] = ()


class _Returned(msgspec.Struct):
    """Of a job of several functions `retcode` and `success` are by function.

    Of a return that nobody has asked for (`sylvite call`) `fun`, `tgt` and `arg` say what it is of.
    """

    jid: str
    value: Any = msgspec.field(name="return")
    retcode: int | dict[str, int] = 0
    success: bool | dict[str, bool] | None = None
    out: str | None = None
    fun: str | tuple[str, ...] = ""
    arg: tuple[Any, ...] | None = None
    fun_args: tuple[Any, ...] = ()
    tgt: str | tuple[str, ...] | None = None
    tgt_type: str = "glob"
    user: str = "UNKNOWN"


class Keeper:
    """Takes events in their order.  Every call may raise JobStoreFailed, DiskFull: then the same events can be taken again."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._new: dict[str, tuple[Job, int]] = {}
        self._returns: list[tuple[Return, _Returned]] = []
        self._returns_ns = 0

    def take(self, events: Sequence[Event]) -> None:
        """Keep what they say; all of it is kept when this returns."""
        self._new.clear()
        self._returns.clear()
        for event in events:
            _, _, jid, what, *minion = event.tag.split("/")
            match what:
                case "new":
                    self._add_new(jid, event)
                case "publish":
                    self._add_published(jid, event)
                case _:
                    self._add_return(jid, minion[0], event)
        self._keep_new()
        self._keep_returns()

    def _add_new(self, jid: str, event: Event) -> None:
        self._keep_returns()
        found = _read(event, _New)
        if found is not None and found.jid == jid:
            job = Job(jid, found.fun, found.arg, found.tgt, found.tgt_type, found.user, found.minions)
            if jid in self._new:
                self._keep_new()  # The steps of a batch.
            self._new[jid] = (job, event.stamp_ns)

    def _add_published(self, jid: str, event: Event) -> None:
        """What is published with a job, and not said of it before: what its caller wants to be kept."""
        if jid in self._new and (metadata := event.data.get("metadata")) is not None:
            job, stamp_ns = self._new[jid]
            self._new[jid] = (msgspec.structs.replace(job, metadata=metadata), stamp_ns)

    def _add_return(self, jid: str, minion: str, event: Event) -> None:
        self._keep_new()
        if self._returns and event.stamp_ns - self._returns_ns > SPREAD_NS:
            self._keep_returns()
        if not self._returns:
            self._returns_ns = event.stamp_ns
        found = _read(event, _Returned)
        if found is not None and found.jid == jid:
            retcode, success = found.retcode, found.success
            if isinstance(retcode, dict):
                retcode = next((each for each in retcode.values() if each), 0)
            if isinstance(success, dict):
                success = all(success.values())
            taken = Return(jid, minion, found.value, retcode, success, found.out)
            self._returns.append((taken, found))

    def _keep_new(self) -> None:
        for job, stamp_ns in self._new.values():
            self._keep_job(job, stamp_ns)
        self._new.clear()

    def _keep_job(self, job: Job, stamp_ns: int) -> bool:
        try:
            self._store.add(job, stamp_ns)
        except (InvalidInput, EventTooBig) as error:
            logger.warning("a job is not kept: %s", error)
            return False
        return True

    def _keep_returns(self) -> None:
        if not self._returns:
            return
        returns, self._returns = self._returns, []
        taken = self._store.take([each for each, _ in returns], self._returns_ns)
        unasked = [each for each, done in zip(returns, taken, strict=True) if done.arrival is Arrival.UNKNOWN]
        again = [each for each, found in unasked if self._keep_unasked(each, found)]
        if again:
            self._store.take(again, self._returns_ns)

    def _keep_unasked(self, returned: Return, found: _Returned) -> bool:
        """Keep the job that a minion has given itself, where its return says what it was."""
        if found.tgt is None or not found.fun:
            return False
        arguments = found.fun_args if found.arg is None else found.arg
        job = Job(returned.jid, found.fun, arguments, found.tgt, found.tgt_type, found.user, (returned.minion,))
        return self._keep_job(job, self._returns_ns)


def _read(event: Event, kind: type[Kind]) -> Kind | None:
    """Return what an event says, or None: whoever has published it, it is no job of ours."""
    try:
        return msgspec.convert(event.data, kind)
    except msgspec.ValidationError as error:
        logger.warning("the event at offset %d, %s, is left out: %s", event.offset, event.tag[:100], error)
        return None
