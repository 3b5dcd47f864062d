"""The verb table: every entry of `/v1` as data: what it needs, who answers, and what may be asked and is given.

Routes, docs/http.md, the OpenAPI document and the authorisation matrix of the tests are held against it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from sylvite.api import consumers, events, health, jobs, keys, metrics, minions, tokens_entry
from sylvite.api.service import Service

Handler = Callable[[Service, Request], "Awaitable[Response] | ASGIApp"]
ANY = "any"
"""The scope of an entry that any token may use."""


class Row(NamedTuple):
    """`scope`: what a token needs; empty: none is needed."""

    method: str
    path: str
    scope: str
    answer: Handler


NATIVE: tuple[Row, ...] = (
    Row("POST", "/v1/events", "events:write", events.publish),
    Row("GET", "/v1/events", "events:read", events.history),
    Row("GET", "/v1/events/stream", "events:read", events.stream),
    Row("GET", "/v1/events/wait", "events:read", events.wait),
    Row("GET", "/v1/events/{offset}", "events:read", events.one),
    Row("GET", "/v1/whoami", ANY, tokens_entry.whoami),
    Row("GET", "/v1/tokens", "tokens:admin", tokens_entry.list_all),
    Row("POST", "/v1/tokens", "tokens:admin", tokens_entry.create),
    Row("DELETE", "/v1/tokens/{id}", "tokens:admin", tokens_entry.revoke),
    Row("POST", "/v1/tickets", ANY, tokens_entry.make_ticket),
    Row("GET", "/v1/keys", "keys:read", keys.list_all),
    Row("GET", "/v1/keys/{id}", "keys:read", keys.one),
    Row("POST", "/v1/keys/{id}", "keys:write", keys.move),
    Row("GET", "/v1/minions", "minions:read", minions.list_all),
    Row("GET", "/v1/minions/{id}", "minions:read", minions.one),
    Row("GET", "/v1/jobs", "jobs:read", jobs.list_all),
    Row("GET", "/v1/jobs/{jid}", "jobs:read", jobs.one),
    Row("POST", "/v1/jobs", "jobs:run", jobs.start),
    Row("DELETE", "/v1/jobs/{jid}", "jobs:run", jobs.end),
    Row("GET", "/v1/consumers", "status:read", consumers.list_all),
    Row("GET", "/v1/log", "log:read", consumers.log),
    Row("GET", "/v1/status", "status:read", health.status),
    Row("GET", "/metrics", "status:read", metrics.show),
    Row("GET", "/healthz", "", health.alive),
    Row("GET", "/readyz", "", health.ready),
)
"""What Salt has not."""
