"""Jobs over HTTP: run functions on minions, see what they return, end them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sylvite.api.access import Caller
from sylvite.api.answers import Items, answer
from sylvite.api.bodies import BODY_BYTES_MAX, decode, read_body
from sylvite.api.parameters import check_names, read_count
from sylvite.api.service import Service
from sylvite.core.event import format_stamp
from sylvite.errors import NoSuchJob, NotAllowed
from sylvite.jobs.async_local_client import AsyncLocalClient
from sylvite.jobs.client_core import JOBS_FILE
from sylvite.jobs.collecting import has_failed
from sylvite.jobs.jid import parse_jid
from sylvite.jobs.listing import show_answer
from sylvite.jobs.publishing import JobOptions
from sylvite.jobs.store import JobReader, read_jobs
from sylvite.jobs.values import Answer, Listed

PAGE_MAX = 1000
WAIT_S_MAX = 300.0
KILL = "saltutil.kill_job"
T = TypeVar("T")

Function = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$", max_length=256)]


class JobItem(msgspec.Struct, frozen=True):
    """`minions`: how many are expected to answer; `returned`: how many of them have."""

    jid: str
    function: str | list[str]
    target: str | list[str]
    target_type: str
    user: str
    started: str
    minions: int
    returned: int
    active: bool


class Returned(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a minion has sent back.  `late`: when nobody waited any more.  `refused`: its value is not kept, and `return` says why."""

    value: Any = msgspec.field(name="return")
    retcode: int
    success: bool
    late: bool = False
    refused: bool = False


class JobShown(JobItem, frozen=True):
    """`expected`: the minions that are to answer; `returns`: what has come, by minion."""

    arguments: list[Any]
    expected: list[str]
    returns: dict[str, Returned]


class JobWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`target`: docs/targets.md.  `keywords`: arguments by name.  `timeout_s`: wait so long for what the minions return."""

    target: str | list[str]
    function: Function
    target_type: str = "glob"
    arguments: list[Any] = []
    keywords: dict[str, Any] = {}
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=WAIT_S_MAX)] | None = None


class JobStarted(msgspec.Struct, frozen=True, omit_defaults=True):
    """`minions`: who is expected to answer; nobody: then nothing was published.  `returns`: where they were waited for."""

    jid: str
    minions: list[str]
    returns: dict[str, Returned] | None = None


async def list_all(service: Service, request: Request) -> Response:
    """GET /v1/jobs: jobs that are kept, the newest first, a page at a time."""
    service.access.require(request, "jobs:read")
    query = request.query_params
    check_names(query, "limit", "before")
    count, before = read_count(query, "limit", 50, PAGE_MAX), query.get("before")
    if before is not None:
        parse_jid(before)
    found = await _look(service, lambda reader: reader.page(before=before, count=count), [])
    return answer(Items([_item(each) for each in found]))


async def one(service: Service, request: Request) -> Response:
    """GET /v1/jobs/{jid}: one job, with what its minions have returned."""
    service.access.require(request, "jobs:read")
    check_names(request.query_params)
    listed, answers = await _find(service, str(request.path_params["jid"]))
    shown = JobShown(
        **msgspec.structs.asdict(_item(listed)),
        arguments=list(listed.job.arg),
        expected=list(listed.job.minions),
        returns={each.minion: _returned(each) for each in answers},
    )
    return answer(shown)


async def start(service: Service, request: Request) -> Response:
    """POST /v1/jobs: run a function on minions; the answer does not wait for what they return, unless it is told to."""
    caller = service.access.require(request, "jobs:run")
    check_names(request.query_params)
    wanted = decode(await read_body(request, BODY_BYTES_MAX), JobWanted)
    _check(caller, wanted.function)
    local = _client(service)
    options: JobOptions = {"tgt_type": wanted.target_type, "user": caller.name, "kwarg": wanted.keywords or None}
    if wanted.timeout_s is None:
        published = await local.pub(wanted.target, wanted.function, wanted.arguments, **options)
        return answer(JobStarted(published.get("jid", ""), published.get("minions", [])), 202)
    deadline = time.monotonic() + wanted.timeout_s
    publication, returns = await local.start(wanted.target, wanted.function, wanted.arguments, **options)
    found: dict[str, Returned] = {}
    async with returns:
        while (each := await returns.next(max(deadline - time.monotonic(), 0.0))) is not None:
            found[each.minion] = _heard(each.data)
    return answer(JobStarted(publication.jid if publication.minions else "", publication.minions, found), 200)


async def end(service: Service, request: Request) -> Response:
    """DELETE /v1/jobs/{jid}: end a job on the minions that have not answered."""
    caller = service.access.require(request, "jobs:run")
    check_names(request.query_params)
    jid = str(request.path_params["jid"])
    listed, answers = await _find(service, jid)
    functions = [listed.job.fun] if isinstance(listed.job.fun, str) else listed.job.fun
    if not all(map(caller.grant.may_run, functions)):
        # Whoever may not see jobs does not learn that there is such a one.
        raise (
            NotAllowed("this token may not run what this job runs")
            if caller.grant.allows("jobs:read")
            else NoSuchJob(jid)
        )
    have = {each.minion for each in answers}
    waiting = [minion for minion in listed.job.minions if minion not in have]
    if not waiting:
        return answer(JobStarted("", []), 202)
    published = await _client(service).pub(waiting, KILL, [jid], tgt_type="list", user=caller.name)
    return answer(JobStarted(published.get("jid", ""), published.get("minions", [])), 202)


def _client(service: Service) -> AsyncLocalClient:
    """Raises NotFound: there is no master.  NotAllowed: it is another user's."""
    _ = service.keys
    # It says its jobs over the connection that the service has; nothing of it is to be closed.
    service.jobs.check_user()
    return AsyncLocalClient(service.bus, service.jobs)


def _check(caller: Caller, function: str) -> None:
    if not caller.grant.may_run(function):
        raise NotAllowed(f"this token has no scope jobs:run that lets it run {function!r}")


async def _look(service: Service, look: Callable[[JobReader], T], otherwise: T) -> T:
    """Return what somebody looks up in the job store; `otherwise` where no jobs are kept."""
    path = service.place.data_dir / JOBS_FILE

    def looking() -> T:
        with read_jobs(path) as reader:
            return look(reader)

    return await asyncio.to_thread(looking) if path.exists() else otherwise


async def _find(service: Service, jid: str) -> tuple[Listed, list[Answer]]:
    """Raises InvalidJid, NoSuchJob."""
    parse_jid(jid)
    found = await _look(service, lambda reader: (reader.find(jid), reader.answers(jid)), None)
    if found is None:
        raise NoSuchJob(jid)
    return found


def _item(listed: Listed) -> JobItem:
    job = listed.job
    return JobItem(
        jid=job.jid,
        function=job.fun if isinstance(job.fun, str) else list(job.fun),
        target=job.tgt if isinstance(job.tgt, str) else list(job.tgt),
        target_type=job.tgt_type,
        user=job.user,
        started=format_stamp(listed.published_ns),
        minions=listed.expected,
        returned=listed.returned,
        active=listed.is_active,
    )


def _returned(kept: Answer) -> Returned:
    shown = show_answer(kept)
    return Returned(
        value=shown["return"], retcode=shown["retcode"], success=shown.get("success", not shown["retcode"]),
        late=kept.late, refused=kept.refused is not None,
    )  # fmt: skip


def _heard(data: Mapping[str, Any]) -> Returned:
    failed = has_failed(data)
    retcode = data.get("retcode")
    return Returned(
        value=data.get("return"), retcode=retcode if isinstance(retcode, int) else int(failed), success=not failed
    )
