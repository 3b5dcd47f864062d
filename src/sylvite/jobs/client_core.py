"""What the blocking LocalClient and the asyncio one share: where the master is, and how its jobs are made.

Files are read here, and nothing is said on the bus.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from sylvite.client.address import bus_in
from sylvite.errors import InvalidInput, NoSuchJob, NotAllowed
from sylvite.jobs import minions as minions_file
from sylvite.jobs.active import RUNNING
from sylvite.jobs.batching import Batching, BatchLimits, read_size
from sylvite.jobs.collecting import FIND_JOB, GATHER_S, TIMEOUT_S, Collecting
from sylvite.jobs.jid import JidMaker, parse_jid
from sylvite.jobs.listing import value_of
from sylvite.jobs.publishing import (
    JobOptions,
    Order,
    Publication,
    Targeted,
    make_order,
    publication,
)
from sylvite.jobs.roster import Roster
from sylvite.jobs.store import read_jobs
from sylvite.jobs.user import calling_user

JOBS_FILE = "jobs.db"
KEYS = "keys"
FOLDER_VARIABLE = "SYLVITE_DIR"
BEFORE_S = 60.0
"""Returns of a job that was published elsewhere are looked for from so long before its jid on: clocks are put back."""


class Options(Protocol):
    """What of a master's options matters here (`sylvite.daemons.options.master.MasterOptions`)."""

    @property
    def sock_dir(self) -> Path: ...
    @property
    def ipc_mode(self) -> str: ...
    @property
    def data_dir(self) -> Path: ...
    @property
    def nodegroups(self) -> Mapping[str, str | Sequence[str]]: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def gather_job_timeout_s(self) -> float: ...
    @property
    def unique_jid(self) -> bool: ...


class MasterPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a master is, and how long its jobs are waited for.

    `socket`: of its bus; None: where clients look.  `data_dir`: with its keys in `keys`, `minions.db` and `jobs.db`.
    `timeout_s`, `gather_s`: jobs/collecting.py.
    """

    socket: Path | None = None
    data_dir: Path = Path("/var/lib/sylvite/master")
    nodegroups: Mapping[str, str | Sequence[str]] = {}
    timeout_s: float = TIMEOUT_S
    gather_s: float = GATHER_S
    unique_jid: bool = False

    @classmethod
    def of(cls, options: Options) -> MasterPlace:
        """Return the place of the master that has these options."""
        return cls(
            socket=Path(bus_in(options.sock_dir, options.ipc_mode)),
            data_dir=options.data_dir,
            nodegroups=options.nodegroups,
            timeout_s=options.timeout_s,
            gather_s=options.gather_job_timeout_s,
            unique_jid=options.unique_jid,
        )


class JobCore:
    """Makes jobs of one master.  Threads may share one."""

    def __init__(self, place: MasterPlace) -> None:
        self.place = place
        self.roster = Roster(place.data_dir / KEYS, place.data_dir / minions_file.FILE)
        self._maker = JidMaker(process=os.getpid() if place.unique_jid else None)
        self._user = calling_user()

    def check_user(self) -> None:
        """Raises NotAllowed: somebody else runs the master."""
        folder = self.place.data_dir
        try:
            owner = folder.stat().st_uid
        except FileNotFoundError:
            return  # What is not there, is said by who reads it.
        except PermissionError:
            owner = -1
        if owner != os.geteuid():
            who = f" (uid {owner})" if owner >= 0 else ""
            raise NotAllowed(f"not allowed: jobs of the master in {folder} are run by the user that runs it{who}")

    def order(self, tgt: Targeted, fun: str | Sequence[str], arg: Sequence[Any], options: JobOptions) -> Order:
        """Raises InvalidTarget, InvalidJid, InvalidInput: as `make_order`."""
        return make_order(tgt, fun, arg, options, self.place.nodegroups)

    def prepare(self, order: Order) -> Publication:
        """Work out whom a job is for, and return it as it is to be published.

        Raises:
            SylviteError: the files of the master cannot be read.
        """
        minions = self.roster.read(with_grains=order.target.needs_grains)
        return publication(
            order,
            jid=order.jid or self.new_jid(),
            user=self._user,
            minions=minions.expected(order.target),
            missing=minions.missing(order.target),
            present=minions.present,
            now_ns=time.time_ns(),
        )

    def part(self, order: Order, jid: str, minions: Sequence[str]) -> Publication:
        """Return the job as it is published for a part of its minions: its target is the list of them."""
        options: JobOptions = {**order.options, "tgt_type": "list", "kwarg": None}
        listed = make_order(list(minions), order.fun, order.arg, options, {})
        return publication(listed, jid=jid, user=self._user, minions=minions, now_ns=time.time_ns())

    def question(self, jid: str, minions: Sequence[str]) -> Publication:
        """Return the job that asks minions whether they run another one."""
        order = make_order(list(minions), FIND_JOB, [jid], {"tgt_type": "list"}, {})
        return publication(order, jid=self.new_jid(), user=self._user, minions=minions, now_ns=time.time_ns())

    def roll_call(self, minions: Sequence[str]) -> Publication:
        """Return the job that asks minions what they run."""
        order = make_order(list(minions), RUNNING, [], {"tgt_type": "list"}, {})
        return publication(order, jid=self.new_jid(), user=self._user, minions=minions, now_ns=time.time_ns())

    def collecting(
        self, jid: str, minions: Sequence[str], timeout_s: float | None, *, away: frozenset[str] = frozenset()
    ) -> Collecting:
        """Return what collects the returns of a job, from now on.  `away`: of the minions those that are not here."""
        now = time.monotonic()
        found = Collecting(jid, timeout_s=self._timeout_s(timeout_s), gather_s=self.place.gather_s, now=now)
        found.expect(minions, now, away=away)
        return found

    def batching(
        self, published: Publication, size: str | int, timeout_s: float | None, *, wait_s: float, failhard: bool
    ) -> Batching:
        """Return what brings a job to its minions by and by.  Raises InvalidInput: `size` is none."""
        _, new = published.events[0]
        here = [minion for minion in published.minions if minion not in published.away]
        return Batching(
            {name: new[name] for name in ("jid", "fun", "tgt", "tgt_type", "user")},
            here,
            BatchLimits(read_size(size, len(here)), wait_s, failhard),
            down=sorted(published.away),
            timeout_s=self._timeout_s(timeout_s),
            gather_s=self.place.gather_s,
            now=time.monotonic(),
        )

    def _timeout_s(self, given: float | None) -> float:
        return self.place.timeout_s if given is None else given

    def here(self) -> list[str]:
        """Return whom it makes sense to ask: of those whose keys are accepted the ones that are here; sorted."""
        minions = self.roster.read(with_grains=False)
        return [each for each in minions.accepted if minions.present is None or each in minions.present]

    def new_jid(self) -> str:
        return self._maker.make(time.time_ns())

    def check_new(self, jid: str) -> None:
        """See to it that a jid which somebody has chosen is no other job's, as far as jobs are kept.

        Raises:
            InvalidInput: it is.  JobStoreFailed: the jobs cannot be read.
        """
        path = self.place.data_dir / JOBS_FILE
        if path.exists():
            with read_jobs(path) as reader, contextlib.suppress(NoSuchJob):
                reader.find(jid)
                raise InvalidInput(f"there is a job {jid} already; leave jid out, and the new one gets one of its own")

    def cached(self, jid: str) -> dict[str, dict[str, Any]]:
        """Return the returns of a job that the master has kept, in the shape of `cmd_iter`.

        Raises:
            InvalidJid; JobStoreFailed: no jobs are kept here.
        """
        parse_jid(jid)
        with read_jobs(self.place.data_dir / JOBS_FILE) as reader:
            return {
                answer.minion: {"ret": value_of(answer), "retcode": answer.retcode, "jid": jid}
                | ({} if answer.out is None else {"out": answer.out})
                | ({} if answer.success is None else {"success": answer.success})
                for answer in reader.answers(jid)
            }


def place_of(place: MasterPlace | Options | None) -> MasterPlace:
    """Return where the master is; None: at the usual places, or where $SYLVITE_SOCKET and $SYLVITE_DIR say."""
    if place is None:
        named = os.environ.get(FOLDER_VARIABLE)
        return MasterPlace(data_dir=Path(named)) if named else MasterPlace()
    return place if isinstance(place, MasterPlace) else MasterPlace.of(place)


def since_of(jid: str) -> float:
    """Return from when on returns of a job may be in the event log, in seconds since 1970.  Raises InvalidJid."""
    return max(0.0, parse_jid(jid).stamp.timestamp() - BEFORE_S)


def able_to(fun: str, functions: Mapping[str, Any]) -> list[str]:
    """Return the minions that have a function, of what they have answered to `sys.list_functions`."""
    return [minion for minion, names in functions.items() if isinstance(names, list) and fun in names]


def pick(minions: Sequence[str], count: int) -> list[str]:
    """Return so many of them, chosen by chance."""
    return sorted(random.SystemRandom().sample(minions, min(count, len(minions))))
