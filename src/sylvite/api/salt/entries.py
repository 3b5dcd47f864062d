"""The entries of Salt's API.  Source: spec/salt-events.md part 8, golden/rest_*.txt."""

from __future__ import annotations

import io
import logging
import tarfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from sylvite.api.access import Caller
from sylvite.api.eauth import Eauth
from sylvite.api.entry import Entry
from sylvite.api.parameters import check_names
from sylvite.api.salt import bodies
from sylvite.api.salt.lows import Lows, read_lowstate, refusal_of
from sylvite.api.salt.sessions import URL_NAMES, Sessions
from sylvite.api.salt.stream import SaltForm
from sylvite.api.service import Service
from sylvite.api.settings import CLIENTS, ApiSettings
from sylvite.api.streaming import Stream
from sylvite.core.pattern import Filter
from sylvite.core.tag import check_tag
from sylvite.errors import InvalidInput, InvalidSetting, NotAllowed, NotAuthenticated, SylviteError
from sylvite.functions.data import stamp
from sylvite.jobs.client_core import MasterPlace

HOOK_TAG = "salt/netapi/hook"
HIDDEN_HEADERS = frozenset(("x-auth-token", "authorization", "cookie", "proxy-authorization"))
"""Of a request to the hook: an event is no place for secrets."""
SESSION, CREDENTIALS = "session", "credentials"
logger = logging.getLogger("sylvite.api")
PLEASE_LOG_IN = {"status": None, "return": "Please log in"}


class _Results(msgspec.Struct):
    """Of what `jobs.list_job` returns."""

    Result: dict[str, dict[str, Any]] = {}


class SaltApi:
    """All entries, and what they share."""

    def __init__(self, service: Service, settings: ApiSettings, place: MasterPlace) -> None:
        self.service, self.settings = service, settings
        self.sessions = Sessions(settings, service.access, Eauth(settings))
        self.lows = Lows(settings, place)
        self.has_naive_stamps = settings.rest.events_stamp == "naive"
        self.form = SaltForm(naive=self.has_naive_stamps)

    def entries(self) -> list[Entry]:
        return [
            Entry("GET", "/", "", self.welcome),
            Entry("POST", "/", SESSION, self.run_session),
            Entry("GET", "/login", "", self.please_log_in),
            Entry("POST", "/login", "", self.log_in),
            Entry("POST", "/logout", "", self.log_out),
            Entry("POST", "/token", CREDENTIALS, self.token),
            Entry("POST", "/run", CREDENTIALS, self.run_each),
            Entry("GET", "/minions", SESSION, self.minions),
            Entry("GET", "/minions/{id}", SESSION, self.minions),
            Entry("POST", "/minions", SESSION, self.start_jobs),
            Entry("GET", "/jobs", SESSION, self.jobs),
            Entry("GET", "/jobs/{jid}", SESSION, self.jobs),
            Entry("GET", "/keys", SESSION, self.keys),
            Entry("GET", "/keys/{id}", SESSION, self.keys),
            Entry("POST", "/keys", CREDENTIALS, self.make_key),
            Entry("GET", "/stats", SESSION, self.stats),
            Entry("GET", "/events", SESSION, self.events),
            Entry("POST", self.settings.rest.webhook_url, SESSION, self.hook),
            Entry("POST", self.settings.rest.webhook_url + "/{path:path}", SESSION, self.hook),
        ]

    # -- Log in and out ----------------------------------------------------------------------------------------------

    async def welcome(self, request: Request) -> Response:
        """GET /: who this is."""
        return bodies.answer(request, {"return": "Welcome", "clients": sorted(CLIENTS)})

    async def please_log_in(self, request: Request) -> Response:
        """GET /login."""
        answer = bodies.answer(request, PLEASE_LOG_IN)
        answer.headers["WWW-Authenticate"] = "Session"
        return answer

    async def log_in(self, request: Request) -> Response:
        """POST /login: a session for a name and a password."""
        token, secret = await self.sessions.log_in(await _credentials(request), _address(request))
        shown = {
            "token": secret.reveal(), "expire": token.until_ns / 1e9, "start": token.made_ns / 1e9, "user": token.owner,
            "eauth": token.backend, "perms": list(token.perms),
        }  # fmt: skip
        answer = bodies.answer(request, {"return": [shown]})
        answer.headers["X-Auth-Token"] = secret.reveal()
        self.sessions.set_cookie(answer, request, secret)
        return answer

    async def log_out(self, request: Request) -> Response:
        """POST /logout: the session counts no more."""
        self.sessions.log_out(request)
        self.service.end_streams()
        return bodies.answer(request, {"return": "Your token has been cleared"})

    async def token(self, request: Request) -> Response:
        """POST /token: tokens for names and passwords."""
        _, said = await bodies.read(request)
        found: list[dict[str, Any]] = []
        for low in read_lowstate(said if said is not None else {}):
            if not all(low.get(name) for name in ("username", "password", "eauth")):
                raise InvalidInput('Require "username", "password", and "eauth" params')
            token, secret = await self.sessions.log_in(low, _address(request), digits=64)
            found.append(
                {
                    "start": token.made_ns / 1e9, "expire": token.until_ns / 1e9, "name": token.owner,
                    "eauth": token.backend, "token": secret.reveal(),
                }
            )  # fmt: skip
        return bodies.answer(request, found)

    # -- Run ---------------------------------------------------------------------------------------------------------

    async def run_session(self, request: Request) -> Response:
        """POST /: run lows, with a session."""
        caller = self.sessions.caller(request)
        _, said = await bodies.read(request)
        return bodies.answer(request, {"return": [await self._low(low, caller) for low in read_lowstate(said)]})

    async def run_each(self, request: Request) -> Response:
        """POST /run: run lows, each of which says who asks for it."""
        _, said = await bodies.read(request)
        found: list[Any] = []
        for low in read_lowstate(said):
            person = await self.sessions.person(low, _address(request))
            found.append(await self._run(low, person.name, person.perms))
        return bodies.answer(request, {"return": found})

    async def _low(self, low: Mapping[str, Any], caller: Caller) -> Any:
        return await self._run(low, caller.token.owner, caller.token.perms)

    async def _run(self, low: Mapping[str, Any], user: str, perms: Sequence[Any]) -> Any:
        """Run a low; whoever waits for a job by its jid hears that it may not be run."""
        try:
            return await self.lows.run(low, user, perms)
        except NotAllowed:
            if (refusal := refusal_of(low, user)) is not None:
                try:
                    await self.service.bus.publish(*refusal)
                except SylviteError as error:
                    logger.warning("%s could not be told: %s", refusal[0], error)
            raise

    async def _runner(self, caller: Caller, function: str, **kwarg: Any) -> Any:
        return await self._low({"client": "runner", "fun": function, "kwarg": kwarg}, caller)

    async def _wheel(self, caller: Caller, function: str, **kwarg: Any) -> Any:
        return (await self._low({"client": "wheel", "fun": function, "kwarg": kwarg}, caller))["data"].get("return")

    # -- Views -------------------------------------------------------------------------------------------------------

    async def minions(self, request: Request) -> Response:
        """GET /minions and /minions/{id}: the grains of minions, by id."""
        caller = self.sessions.caller(request)
        target = request.path_params.get("id", "*")
        found = await self._low({"client": "local", "tgt": target, "fun": "grains.items"}, caller)
        return bodies.answer(request, {"return": [found]})

    async def start_jobs(self, request: Request) -> Response:
        """POST /minions: start jobs, and do not wait for them."""
        caller = self.sessions.caller(request)
        _, said = await bodies.read(request)
        jobs = [await self._low({**low, "client": "local_async"}, caller) for low in read_lowstate(said)]
        links = [{"href": f"/jobs/{job['jid']}"} for job in jobs if job.get("jid")]
        return bodies.answer(request, {"return": jobs, "_links": {"jobs": links}}, 202)

    async def jobs(self, request: Request) -> Response:
        """GET /jobs and /jobs/{jid}: jobs that are kept, or one with its returns."""
        caller = self.sessions.caller(request)
        jid = request.path_params.get("jid")
        if jid is None:
            return bodies.answer(request, {"return": [await self._runner(caller, "jobs.list_jobs")]})
        info = await self._runner(caller, "jobs.list_job", jid=jid)
        try:
            results = msgspec.convert(info, _Results).Result
        except msgspec.ValidationError:
            results = {}  # It says in words why there are none.
        returns = {id_: each.get("return") for id_, each in results.items()}
        return bodies.answer(request, {"info": [info], "return": [returns]})

    async def keys(self, request: Request) -> Response:
        """GET /keys and /keys/{id}: keys by their state, or the fingerprint of one."""
        caller = self.sessions.caller(request)
        id_ = request.path_params.get("id")
        if id_ is None:
            return bodies.answer(request, {"return": await self._wheel(caller, "key.list_all")})
        return bodies.answer(request, {"return": await self._wheel(caller, "key.finger", match=id_)})

    async def make_key(self, request: Request) -> Response:
        """POST /keys: make a pair of keys for a minion and accept it; the answer is a tar file with both."""
        _, said = await bodies.read(request)
        (low,) = read_lowstate(said)[:1] or [{}]
        id_ = low.get("mid")
        if not isinstance(id_, str) or not id_:
            raise InvalidInput("mid must be the id of the minion that the keys are for")
        person = await self.sessions.person(low, _address(request))
        asked = {"client": "wheel", "fun": "key.gen_accept", "kwarg": {"id_": id_, "force": bool(low.get("force"))}}
        made: Any = (await self.lows.run(asked, person.name, person.perms))["data"].get("return")
        try:
            keys = msgspec.convert(made, dict[str, str])
            content = _tar({"minion.pub": keys["pub"], "minion.pem": keys["priv"]})
        except (msgspec.ValidationError, KeyError) as error:
            raise InvalidInput(f"no keys were made: {str(made)[:200]}") from error
        name = "".join(letter for letter in id_ if letter.isalnum() or letter in "-._")
        headers = {**bodies.HEADERS, "Content-Disposition": f'attachment; filename="saltkeys-{name}.tar"'}
        return Response(content, 200, headers, "application/x-tar")

    async def stats(self, request: Request) -> Response:
        """GET /stats: that the interface is there; how it is, `/v1/status` tells."""
        if not self.settings.rest.stats_disable_auth:
            self.sessions.caller(request)
        return bodies.answer(request, {})

    # -- Events ------------------------------------------------------------------------------------------------------

    async def hook(self, request: Request) -> Response:
        """POST /hook/...: a request of another program's becomes an event."""
        sender = "api:hook"
        if not self.settings.rest.webhook_disable_auth:
            sender = self.sessions.caller(request).name
        path = str(request.path_params.get("path", "")).strip("/")
        tag = f"{HOOK_TAG}/{path}" if path else HOOK_TAG
        check_tag(tag)
        text, said = await bodies.read(request)
        headers = {name.title(): value for name, value in request.headers.items() if name not in HIDDEN_HEADERS}
        data = {
            "body": text, "post": {} if said is None else said, "headers": {**headers, "Remote-Addr": _address(request)},
            "_stamp": stamp(time.time_ns()),
        }  # fmt: skip
        await self.service.publishing.publish_as(sender, [(tag, data)])
        return bodies.answer(request, {"success": True})

    def events(self, request: Request) -> ASGIApp:
        """GET /events: events as they come."""
        check_names(request.query_params, *URL_NAMES)
        if request.query_params and self.settings.rest.url_token == "never":
            raise InvalidSetting(
                "token", "***", "is not taken from the address here; send it as X-Auth-Token, or use the cookie"
            )
        caller = self.sessions.caller(request, from_url=True)
        headers = {"referrer-policy": "no-referrer", "cache-control": "no-cache"}
        if request.method == "HEAD":
            return Response(status_code=200, headers=headers, media_type=self.form.media_type)
        ending = self.service.streams.open(caller)
        reading = self.service.reading(caller, Filter())
        return Stream(reading, self.form, ending, partial(self.service.streams.close, caller, ending), headers)


async def _credentials(request: Request) -> Mapping[str, Any]:
    _, said = await bodies.read(request)
    lows = read_lowstate(said if said is not None else {})
    if len(lows) != 1:
        raise NotAuthenticated("Could not authenticate using provided credentials")
    return lows[0]


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _tar(files: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), 0o600
            archive.addfile(info, io.BytesIO(text.encode()))
    return content.getvalue()
