"""The verb table: every entry that Salt has not, as data: what it needs, who answers, what may be asked and what is given."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sylvite.api import consumers, documents, events, health, hooks, jobs, keys, metrics, minions, tokens_entry
from sylvite.api.answers import Items, answer
from sylvite.api.entry import ANY, NDJSON, OPEN, SECRET, SSE, TEXT, Parameter, Row, Said
from sylvite.api.parameters import ID, LEVELS, LIMIT_MAX, MATCHES, WAIT_S_MAX
from sylvite.api.publishing import Given
from sylvite.api.service import Service

_TEXT = {"type": "string"}
SELECTION = (
    Parameter("tag", "A tag's beginning, or a shell pattern; any of several fits.", _TEXT, many=True),
    Parameter("match", "What `tag` is; `glob`: as it looks.", {"enum": [*MATCHES], "default": "glob"}),
    Parameter("exclude", "As `tag`: what is left out.", _TEXT, many=True),
    Parameter("where", "A condition on the event, such as data.retcode != 0.", _TEXT),
    Parameter("since", "Where to begin: oldest, newest, @123, 2h, 2026-11-23 22:00.", _TEXT),
    Parameter("after", "The id of an event: begin behind it.", {"type": "string", "pattern": f"^{ID}$"}),
)  # fmt: skip
TICKET = Parameter("ticket", "In the place of a token, once.", {"type": "string", "maxLength": 128})
JID = {"type": "string", "pattern": "^[0-9]{20}(_[1-9][0-9]{0,9})?$"}


def _count(name: str, about: str, default: int, most: int) -> Parameter:
    return Parameter(name, about, {"type": "integer", "minimum": 1, "maximum": most, "default": default})


async def _openapi(service: Service, request: Request) -> Response:
    """GET /v1/openapi.json: this interface, as OpenAPI 3.1."""
    del service, request
    return answer(_openapi_bytes())


async def _asyncapi(service: Service, request: Request) -> Response:
    """GET /v1/asyncapi.json: its streams, as AsyncAPI 3.0."""
    del service, request
    return answer(_asyncapi_bytes())


NATIVE: tuple[Row, ...] = (
    Row("POST", "/v1/events", "events:write", events.publish, Said(
        (Parameter("ack", "What the answer waits for; without it, as the policy says.", {"enum": [*LEVELS]}),), body=Given, as_lines=True, gives=events.Published, status=201, also={409: "A retry too old to tell."})),
    Row("GET", "/v1/events", "events:read", events.history, Said(
        (*SELECTION, _count("limit", "Of a page.", 100, LIMIT_MAX)), gives=events.History)),
    Row("GET", "/v1/events/stream", "events:read", events.stream, Said((*SELECTION, TICKET), gives=str, media=(SSE, NDJSON))),
    Row("GET", "/v1/events/wait", "events:read", events.wait, Said(
        (*SELECTION, Parameter("timeout", "Seconds.", {"type": "number", "minimum": 0, "maximum": WAIT_S_MAX, "default": 30})),
        gives=events.EventShown)),
    Row("GET", "/v1/events/{offset}", "events:read", events.one, Said(
        gives=events.EventShown, also={410: "Retention has taken it."})),
    Row("GET", "/v1/whoami", ANY, tokens_entry.whoami, Said(gives=tokens_entry.TokenShown)),
    Row("GET", "/v1/tokens", "tokens:admin", tokens_entry.list_all, Said(gives=Items[tokens_entry.TokenShown])),
    Row("POST", "/v1/tokens", "tokens:admin", tokens_entry.create, Said(
        body=tokens_entry.TokenWanted, gives=tokens_entry.TokenMade, status=201)),
    Row("DELETE", "/v1/tokens/{id}", "tokens:admin", tokens_entry.revoke, Said(status=204)),
    Row("POST", "/v1/tickets", ANY, tokens_entry.make_ticket, Said(gives=tokens_entry.Ticket, status=201)),
    Row("GET", "/v1/keys", "keys:read", keys.list_all, Said(gives=Items[keys.KeyItem], also={404: "There is no master."})),
    Row("GET", "/v1/keys/{id}", "keys:read", keys.one, Said(gives=keys.KeyShown)),
    Row("POST", "/v1/keys/{id}", "keys:write", keys.move, Said(
        body=keys.KeyMove, gives=keys.KeyMoved, also={409: "Its state does not allow that."})),
    Row("GET", "/v1/minions", "minions:read", minions.list_all, Said(
        (Parameter("grains", "1: with their grains.", {"enum": ["0", "1"], "default": "0"}),), gives=Items[minions.MinionItem])),
    Row("GET", "/v1/minions/{id}", "minions:read", minions.one, Said(gives=minions.MinionItem)),
    Row("GET", "/v1/jobs", "jobs:read", jobs.list_all, Said(
        (_count("limit", "Of a page.", 50, jobs.PAGE_MAX), Parameter("before", "The id of a job: those before it.", JID)),
        gives=Items[jobs.JobItem])),
    Row("GET", "/v1/jobs/{jid}", "jobs:read", jobs.one, Said(gives=jobs.JobShown)),
    Row("POST", "/v1/jobs", "jobs:run", jobs.start, Said(
        body=jobs.JobWanted, gives=jobs.JobStarted, status=202,
        also={200: "With timeout_s: what has come.", 404: "There is no master."})),
    Row("DELETE", "/v1/jobs/{jid}", "jobs:run", jobs.end, Said(gives=jobs.JobStarted, status=202)),
    Row("GET", "/v1/consumers", "status:read", consumers.list_all, Said(gives=Items[consumers.Consumer])),
    Row("GET", "/v1/log", "log:read", consumers.log, Said(gives=consumers.LogShown)),
    Row("GET", "/v1/hooks", "status:read", hooks.list_all, Said(gives=Items[hooks.HookItem])),
    Row("POST", "/v1/hooks/{name}", SECRET, hooks.deliver, Said(
        body=bytes, gives=hooks.Delivered, status=201, also={200: "It was there already."})),
    Row("GET", "/v1/status", "status:read", health.status, Said(gives=dict[str, Any])),
    Row("GET", "/metrics", "status:read", metrics.show, Said(
        gives=str, media=(TEXT, "application/openmetrics-text"), also={501: "prometheus-client is not installed."})),
    Row("GET", "/v1/openapi.json", OPEN, _openapi, Said(gives=dict[str, Any])),
    Row("GET", "/v1/asyncapi.json", OPEN, _asyncapi, Said(gives=dict[str, Any])),
    Row("GET", "/healthz", OPEN, health.alive, Said(gives=str, media=(TEXT,))),
    Row("GET", "/readyz", OPEN, health.ready, Said(gives=str, media=(TEXT,), also={503: "The broker does not answer."})),
)  # fmt: skip


@cache
def _openapi_bytes() -> bytes:
    return msgspec.json.encode(documents.openapi(NATIVE))


@cache
def _asyncapi_bytes() -> bytes:
    return msgspec.json.encode(documents.asyncapi([*SELECTION, TICKET]))
