"""Lows: what is to be run, as clients of Salt's API say it: a client, a function, and what it needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sylvite.api.salt.perms import Covers, may_call, may_run, names_minions
from sylvite.api.settings import CLIENTS, ApiSettings
from sylvite.errors import InvalidInput, InvalidJid, InvalidTarget, NotAllowed
from sylvite.functions.arguments import KEYWORD_MARK
from sylvite.functions.async_clients import AsyncRunnerClient, AsyncWheelClient
from sylvite.functions.data import stamp
from sylvite.functions.errors import FunctionFailed
from sylvite.jobs.async_local_client import AsyncLocalClient
from sylvite.jobs.client_core import JobCore, MasterPlace
from sylvite.jobs.jid import parse_jid
from sylvite.jobs.publishing import JobOptions
from sylvite.jobs.targets import Target, parse_target

LOWS_MAX = 100
TIMEOUT_S_MAX = 3600.0
RUN_S = 300.0
"""Salt's `rest_timeout`."""
NOT_AUTHORIZED = {"name": "AuthorizationError", "message": "Authorization error occurred."}
_CREDENTIALS = frozenset(("token", "username", "password", "eauth", "sharedsecret"))
_OF_A_JOB = ("ret", "metadata", "delimiter", "start_event")


def read_lowstate(said: Any) -> list[dict[str, Any]]:
    """Return a list of lows.  Raises InvalidInput: it is no such list."""
    listed: Any = [said] if isinstance(said, dict) else said
    if not isinstance(listed, list):
        raise InvalidInput("Lowstates must be a list")
    lows = cast("list[Any]", listed)
    if len(lows) > LOWS_MAX or not all(isinstance(low, dict) for low in lows):
        raise InvalidInput(f"Lowstates must be a list of at most {LOWS_MAX} maps")
    return [{str(name): value for name, value in low.items()} for low in lows]


class Lows:
    """Runs lows.  It starts nothing before it is asked to."""

    def __init__(self, settings: ApiSettings, place: MasterPlace) -> None:
        self._settings, self._place = settings, place
        self._core = JobCore(place)
        self._local: AsyncLocalClient | None = None
        self._runner: AsyncRunnerClient | None = None
        self._wheel: AsyncWheelClient | None = None
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        for client in (self._local, self._runner, self._wheel):
            if client is not None:
                await client.close()

    async def run(self, low: Mapping[str, Any], user: str, perms: Sequence[Any]) -> Any:
        """Run one and return what its client returns.

        Raises:
            InvalidInput: it cannot be asked for so; a client that is not enabled.
            NotAllowed: the perms do not cover it.
            SylviteError: it could not be done.
        """
        client = str(low.get("client") or "")
        if client not in CLIENTS:
            raise InvalidInput(f"Invalid client specified: '{client[:80]}'")
        if client not in self._settings.clients:
            raise InvalidInput(
                f"Client disabled: '{client}'. Add to 'netapi_enable_clients' master config option to enable."
            )
        if client.startswith("local"):
            return await self._run_local(client, low, user, perms)
        if client.startswith(("runner", "wheel")):
            return await self._run_task(client, low, user, perms)
        raise InvalidInput("Client not available: 'ssh'")

    # -- Functions of the master -------------------------------------------------------------------------------------

    async def _run_task(self, client: str, low: Mapping[str, Any], user: str, perms: Sequence[Any]) -> Any:
        kind, _, later = client.partition("_")
        function = low.get("fun")
        if not isinstance(function, str) or not function:
            raise InvalidInput("fun must be the name of a function")
        if not may_call(perms, kind, function):
            raise NotAllowed(f"this user may not call the {kind} function {function[:80]}")
        full = bool(low.get("full_return"))
        asked = {
            name: value for name, value in low.items()
            if name not in _CREDENTIALS and name not in ("full_return", "timeout", "client") and not name.startswith("__")
        }  # fmt: skip
        asked = {**asked, "__user__": user}
        caller = await self._task_client(kind)
        if later:
            return await caller.cmd_async(asked)
        try:
            data = await caller.cmd_sync(asked, timeout=_timeout(low, RUN_S), full_return=True)
        except FunctionFailed as error:
            return str(error)
        if kind == "wheel":
            return _wheel_envelope(data)
        return {"data": data, "outputter": "nested"} if full else data.get("return")

    async def _task_client(self, kind: str) -> AsyncRunnerClient | AsyncWheelClient:
        async with self._lock:
            if kind == "runner":
                self._runner = self._runner or AsyncRunnerClient(self._settings.opts)
                return self._runner
            self._wheel = self._wheel or AsyncWheelClient(self._settings.opts)
            return self._wheel

    # -- Jobs --------------------------------------------------------------------------------------------------------

    async def local(self) -> AsyncLocalClient:
        async with self._lock:
            if self._local is None:
                self._local = await AsyncLocalClient.connect(self._place)
            return self._local

    async def _run_local(self, client: str, low: Mapping[str, Any], user: str, perms: Sequence[Any]) -> Any:
        target, type_ = _target_of(low)
        functions, arg = _function_of(low)
        listed = [functions] if isinstance(functions, str) else functions
        wanted = parse_target(target, type_, nodegroups=self._place.nodegroups)
        # Files are read for perms that name minions, and for no others.
        covers = await self._coverage(wanted) if names_minions(perms) else _covers_none
        if not may_run(perms, listed, covers):
            raise NotAllowed(f"this user may not run {', '.join(listed)[:80]} there")
        options = cast("JobOptions", {name: low[name] for name in _OF_A_JOB if low.get(name) is not None})
        options["tgt_type"], options["user"], options["kwarg"] = type_, user, _kwarg_of(low)
        if (jid := _jid_of(low)) is not None:
            await asyncio.to_thread(self._core.check_new, jid)
            options["jid"] = jid
        local = await self.local()
        if client == "local_async":
            return await local.run_job(target, functions, arg, **options)
        full, timeout_s = bool(low.get("full_return")), _timeout(low, None)
        if client == "local_batch" or low.get("batch"):
            size = low.get("batch") or "10%"
            found: dict[str, Any] = {}
            async for each in local.cmd_batch(
                target, functions, arg, batch=size, raw=full, timeout_s=timeout_s, **options
            ):
                found.update(each)
            return found
        if client == "local_subset":
            subset = low.get("subset", low.get("sub", 3))
            if not isinstance(functions, str) or isinstance(subset, bool) or not str(subset).isdecimal():
                raise InvalidInput("subset must be a number, and fun one function")
            return await local.cmd_subset(
                target, functions, arg, subset=int(subset), timeout_s=timeout_s, full_return=full, **options
            )
        if full:
            return await local.cmd_full_return(target, functions, arg, timeout_s=timeout_s, **options)
        return await local.cmd(target, functions, arg, timeout_s=timeout_s, **options)

    async def _coverage(self, wanted: Target) -> Covers:
        """Return what says of a target in the perms whether all minions of this job fit it."""
        minions = await asyncio.to_thread(self._core.roster.read, with_grains=True)
        meant = set(minions.expected(wanted))

        def covers(pattern: str) -> bool:
            try:
                allowed = parse_target(pattern, "compound", nodegroups=self._place.nodegroups)
            except InvalidTarget:
                return False
            # Nobody at all is not everybody that he may reach: what is meant later might be more.
            return bool(meant) and meant <= set(minions.expected(allowed))

        return covers


def refusal_of(low: Mapping[str, Any], user: str) -> tuple[str, dict[str, Any]] | None:
    """Return the event that a job may not be run, as Salt's masters tell it; None where the job has no jid to name it by."""
    try:
        jid = _jid_of(low)
    except InvalidJid:
        return None
    if jid is None or not str(low.get("client")).startswith("local"):
        return None
    load: dict[str, Any] = {name: low.get(name, "") for name in ("fun", "arg", "tgt", "ret", "tgt_type")}
    load |= {"jid": jid, "user": user, "error": NOT_AUTHORIZED, "_stamp": stamp(time.time_ns())}
    return f"salt/job/{jid}/error", load


def _jid_of(low: Mapping[str, Any]) -> str | None:
    """Return the jid that a job is to have; None where one is made.  Raises InvalidJid."""
    jid = low.get("jid")
    if not jid:
        return None
    parse_jid(str(jid))
    return str(jid)


def _covers_none(target: str) -> bool:
    del target
    return False


def _target_of(low: Mapping[str, Any]) -> tuple[str | list[str], str]:
    target = low.get("tgt")
    type_ = low.get("tgt_type") or low.get("expr_form") or "glob"
    if isinstance(target, list) and all(isinstance(each, str) for each in cast("list[Any]", target)):
        return cast("list[str]", target), "list" if type_ == "glob" else str(type_)
    if not isinstance(target, str) or not target:
        raise InvalidInput("tgt must say which minions are meant")
    return target, str(type_)


def _function_of(low: Mapping[str, Any]) -> tuple[str | list[str], list[Any]]:
    function, arg = low.get("fun"), low.get("arg")
    args: list[Any] = [] if arg is None else list(cast("list[Any]", arg)) if isinstance(arg, list) else [arg]
    if isinstance(function, list) and function and all(isinstance(each, str) for each in cast("list[Any]", function)):
        return cast("list[str]", function), args
    if not isinstance(function, str) or not function:
        raise InvalidInput("fun must be the name of a function")
    return function, args


def _kwarg_of(low: Mapping[str, Any]) -> dict[str, Any] | None:
    said = low.get("kwarg")
    if said is None:
        return None
    if not isinstance(said, dict):
        raise InvalidInput("kwarg must be a map of arguments by name")
    return {str(name): value for name, value in cast("dict[Any, Any]", said).items() if name != KEYWORD_MARK}


def _timeout(low: Mapping[str, Any], default: float | None) -> float | None:
    said = low.get("timeout")
    if said in (None, ""):
        return default
    try:
        found = float(said)
    except (TypeError, ValueError) as error:
        raise InvalidInput("timeout must be a number of seconds") from error
    if not 0 < found <= TIMEOUT_S_MAX:
        raise InvalidInput(f"timeout must be a number of seconds up to {TIMEOUT_S_MAX:g}")
    return found


def _wheel_envelope(data: Mapping[str, Any]) -> dict[str, Any]:
    tag = f"salt/wheel/{data.get('jid')}"
    shown = {name: value for name, value in data.items() if name not in ("_stamp", "fun_args")}
    return {"tag": tag, "data": {"fun": shown.pop("fun", None), "jid": shown.pop("jid", None), "tag": tag, **shown}}
