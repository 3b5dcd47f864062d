"""Desk: which of the published jobs a minion does, and when.  Pure; the shell around it is jobs/running.py.

The minion decides for itself: the master may have sent a job to more minions than it is for, or twice.  So many jobs run at a time; the
others wait, in their order, and of those only so many.  Those that look after jobs do not wait: who would end a job that
holds up all others has to get through.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from sylvite.core.event import pack_data, unpack_data
from sylvite.errors import InvalidData, InvalidJid, InvalidTarget
from sylvite.jobs.jid import parse_jid
from sylvite.jobs.targets import DELIMITER, parse_target

AT_ONCE = 128
"""Jobs that run at a time where nothing else is said: each holds a descriptor of the minion."""
URGENT_MORE = 16
WAITING_MAX = 1000
WAITING_BYTES_MAX = 16 * 1024 * 1024
FUNCTIONS_MAX = 1000
URGENT = frozenset(
    f"saltutil.{name}"
    for name in (
        "running", "find_job", "is_running", "signal_job", "term_job", "kill_job", "term_all_jobs", "kill_all_jobs",
    )
)  # fmt: skip


class Job(NamedTuple):
    """A job of this minion.  `packed`: its publication, which is unpacked when it is wanted: many may wait."""

    jid: str
    packed: bytes
    is_urgent: bool

    @property
    def publication(self) -> dict[str, Any]:
        return unpack_data(self.packed)


class Begin(NamedTuple):
    job: Job


class Wait(NamedTuple):
    job: Job


class Refuse(NamedTuple):
    """The job is for this minion, which does not do it: it is answered with the reason."""

    job: Job
    reason: str


class Ignore(NamedTuple):
    """`reason`: None where that is nothing to speak of."""

    reason: str | None


Decision = Begin | Wait | Refuse | Ignore


class Desk:
    """Decides, and counts.  `remembered`: how many jids are known, so that no job is done twice."""

    def __init__(self, minion: str, *, remembered: int, at_once: int | None = None) -> None:
        self._minion, self._remembered = minion, remembered
        self._at_once = at_once or AT_ONCE
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._running: set[str] = set()
        self._waiting: deque[Job] = deque()
        self._waiting_bytes = 0

    @property
    def waiting(self) -> tuple[Job, ...]:
        return tuple(self._waiting)

    def decide(self, tag: str, data: Mapping[str, Any], grains: Mapping[str, Any]) -> Decision:
        """Say what is to be done with what was published."""
        jid = tag.split("/")[2] if tag.count("/") == 3 else ""
        if data.get("jid") != jid:
            return Ignore(f"{tag[:80]} does not bear the jid of its job")
        try:
            parse_jid(jid)
            if not _is_for(self._minion, grains, data):
                return Ignore(None)
        except (InvalidJid, InvalidTarget, InvalidData) as error:
            return Ignore(f"{tag[:80]}: {str(error).splitlines()[0]}")
        if self._has_seen(jid):
            return Ignore(f"job {jid} was published again, and is done once")
        return self._take(jid, data)

    def _has_seen(self, jid: str) -> bool:
        if jid in self._seen or jid in self._running or any(job.jid == jid for job in self._waiting):
            return True
        self._seen[jid] = None
        while len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return False

    def _take(self, jid: str, data: Mapping[str, Any]) -> Decision:
        wrong = what_is_wrong(data)
        if wrong is not None:
            named = {name: data[name] for name in ("jid", "user", "metadata", "master_id") if name in data}
            said = {**named, "fun": data.get("fun", ""), "arg": data.get("arg", [])}
            return Refuse(Job(jid, _pack(said), is_urgent=False), wrong)
        # The stamp is the event's, and none of what functions are given.
        publication = {name: value for name, value in data.items() if name != "_stamp"}
        fun: object = data["fun"]
        job = Job(jid, _pack(publication), is_urgent=isinstance(fun, str) and fun in URGENT)
        if len(self._running) < self._at_once + (URGENT_MORE if job.is_urgent else 0):
            self._running.add(jid)
            return Begin(job)
        if len(self._waiting) >= WAITING_MAX or self._waiting_bytes + len(job.packed) > WAITING_BYTES_MAX:
            return Refuse(job, f"The minion is busy: {len(self._running)} jobs run, and {len(self._waiting)} wait")
        self._waiting.append(job)
        self._waiting_bytes += len(job.packed)
        return Wait(job)

    def done(self, jid: str) -> Job | None:
        """A job has ended; return the one that begins in its place, if there is one."""
        self._running.discard(jid)
        if not self._waiting or len(self._running) >= self._at_once:
            return None
        job = self._waiting.popleft()
        self._waiting_bytes -= len(job.packed)
        self._running.add(job.jid)
        return job

    def drop_waiting(self) -> list[Job]:
        """Forget the jobs that wait, and return them."""
        dropped = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return dropped


def _pack(publication: Mapping[str, Any]) -> bytes:
    # It was an event: how big those may be is for the broker to say.
    return pack_data(publication, bytes_max=2**31)


def _is_for(minion: str, grains: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    """Raises InvalidTarget, InvalidData: that cannot be said."""
    tgt: object = data.get("tgt")
    tgt_type, delimiter = data.get("tgt_type", "glob"), data.get("delimiter", DELIMITER)
    if not isinstance(tgt_type, str) or not isinstance(delimiter, str) or not (isinstance(tgt, str) or _are_texts(tgt)):
        raise InvalidData("the target must be a text or a list of texts, with the type of target")
    target = parse_target(cast("str | Sequence[str]", tgt), tgt_type, delimiter=delimiter)
    return target.matches(minion, grains)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in cast("list[object]", value))


class _Single(msgspec.Struct):
    fun: str
    arg: list[Any]
    user: str = ""
    ret: str | None = None


class _Compound(msgspec.Struct):
    fun: list[str]
    arg: list[list[Any]]
    user: str = ""
    ret: str | None = None


def what_is_wrong(data: Mapping[str, Any]) -> str | None:
    """Return why a publication cannot be run; None where it can."""
    kind = _Compound if isinstance(data.get("fun"), list) else _Single
    try:
        found = msgspec.convert(dict(data), kind)
    except msgspec.ValidationError as error:
        return f"The job cannot be read: {error}"
    if isinstance(found, _Compound):
        if len(found.fun) != len(found.arg):
            return f"The job cannot be read: {len(found.fun)} functions with {len(found.arg)} lists of arguments"
        if not 1 <= len(found.fun) <= FUNCTIONS_MAX:
            return f"The job cannot be read: it calls {len(found.fun)} functions; there must be 1 to {FUNCTIONS_MAX}"
    return None
