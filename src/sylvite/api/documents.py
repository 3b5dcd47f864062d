"""Documents: the interface as OpenAPI 3.1, and its streams as AsyncAPI 3.0, made of the verb table and of the types of its bodies.  Pure."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from sylvite.api.entry import ANY, JSON, NDJSON, OPEN, SECRET, Parameter, Row, Said
from sylvite.api.events import EventShown
from sylvite.api.problems import RETRY_S
from sylvite.core.event import Gap
from sylvite.version import __version__

Document = dict[str, Any]
PROBLEM = "application/problem+json"
_REF = "#/components/schemas/{name}"
_TITLE = "Sylvite"
_ABOUT = "An event bus for infrastructure, over HTTP: docs/http.md."
_LICENCE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
_placeholder = re.compile(r"\{(\w+)\}")


class Problem(msgspec.Struct, frozen=True):
    """An error (RFC 9457): `code` is the one that `sylvite --json` and the Python clients use.  Its facts stand beside these."""

    type: str
    title: str
    status: int
    code: str
    detail: str


class Bye(msgspec.Struct, frozen=True):
    """Why the stream ends."""

    reason: str


# -- OpenAPI ---------------------------------------------------------------------------------------------------------


def openapi(rows: Sequence[Row]) -> Document:
    types = [kind for row in rows for kind in (row.said.body, row.said.gives) if kind not in (None, bytes, str)]
    shapes, schemas = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
    schema_of = dict(zip(map(repr, types), shapes, strict=False))
    paths: Document = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": __version__, "summary": _ABOUT, "license": _LICENCE},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`sylvite tokens create`"}
            },
        },
    }


def _operation(row: Row, schema_of: Mapping[str, Any]) -> Document:
    said = row.said
    found: Document = {
        "operationId": f"{row.method.lower()}{re.sub(r'[^a-z0-9]+', '_', row.path)}".rstrip("_"),
        "summary": summary_of(row),
        "security": [] if row.scope in (OPEN, SECRET) else [{"token": [] if row.scope == ANY else [row.scope]}],
        "parameters": [*_of_path(row.path), *map(_of_query, said.parameters)],
        "responses": _responses(row, schema_of),
    }
    if said.body is bytes:
        found["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    elif said.body is not None:
        schema = schema_of[repr(said.body)]
        lines = {NDJSON: {"schema": {"type": "string", "description": "One a line."}}} if said.as_lines else {}
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}, **lines}}
    return found


def summary_of(row: Row) -> str:
    """Return what the first line of the handler's docstring says of it."""
    first, _, _ = (inspect.getdoc(row.answer) or "").partition("\n")
    _, _, about = first.partition(": ")
    return about[:1].upper() + about[1:]


def _of_path(path: str) -> list[Document]:
    kinds: Mapping[str, Document] = {"offset": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}}
    return [
        {"name": name, "in": "path", "required": True, "schema": kinds.get(name, {"type": "string", "minLength": 1})}
        for name in _placeholder.findall(path)
    ]


def _of_query(parameter: Parameter) -> Document:
    schema = {"type": "array", "items": parameter.schema} if parameter.many else parameter.schema
    found: Document = {"name": parameter.name, "in": "query", "description": parameter.about, "schema": schema}
    return found


def _responses(row: Row, schema_of: Mapping[str, Any]) -> Document:
    said = row.said
    found: Document = {str(said.status): _given(said, schema_of, HTTPStatus(said.status).phrase)}
    for status, about in {**_usual(row), **said.also}.items():
        found[str(status)] = _given(said, schema_of, about) if status < 300 else _problem(status, about)
    if row.path == "/readyz":
        found["503"] = _given(said, schema_of, said.also[503])
    return found


def _usual(row: Row) -> dict[int, str]:
    """Return the statuses of errors that the shape of an entry brings with it."""
    found: dict[int, str] = {}
    if row.scope != OPEN:
        found |= {401: "No token that counts.", 403: "A token without that scope.", 429: "Too much; wait."}
        found |= {400: "It cannot be so.", 503: "Not for the moment.", 504: "Nobody knows, or nothing came."}
    if "{" in row.path:
        found[404] = "It is not there."
    if row.said.body is not None:
        found |= {400: "It cannot be so.", 413: "The body is too large.", 415: "A kind of body that is not read."}
    return found


def _given(said: Said, schema_of: Mapping[str, Any], about: str) -> Document:
    if said.gives is None:
        return {"description": about}
    schema = {"type": "string"} if said.gives is str else schema_of[repr(said.gives)]
    return {"description": about, "content": {media: {"schema": schema} for media in said.media}}


def _problem(status: int, about: str) -> Document:
    found: Document = {
        "description": about,
        "content": {PROBLEM: {"schema": {"$ref": _REF.format(name="Problem")}}},
    }
    if status in (429, 503):
        schema = {"type": "integer", "minimum": 0, "examples": [RETRY_S]}
        found["headers"] = {"Retry-After": {"description": "Seconds.", "required": True, "schema": schema}}
    return found


# -- AsyncAPI --------------------------------------------------------------------------------------------------------

MESSAGES: Mapping[str, tuple[Any, str]] = {
    "event": (EventShown, "An event of the bus. Its `id` is `EPOCH.OFFSET`: whoever comes back with it goes on behind it."),
    "gap": (Gap, "Events that are not there any more."),
    "reset": (Gap, "The log is another one than that of the id; its events follow from the beginning."),
    "bye": (Bye, "The stream ends."),
}  # fmt: skip
"""What comes on the stream, by the name that stands behind `event:`."""


def asyncapi(query: Iterable[Parameter]) -> Document:
    types = [kind for kind, _ in MESSAGES.values()]
    shapes, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    plain = {name: (shape, about) for (name, (_, about)), shape in zip(MESSAGES.items(), shapes, strict=True)}
    messages: Document = {name: _message(name, *each) for name, each in plain.items()}
    gap_schema, gap_about = plain["gap"]
    # Where a message is a text, an event stands as it is, and a gap in an object of its own.
    wrapped: Document = {"type": "object", "required": ["gap"], "properties": {"gap": gap_schema}}
    texts: Document = {"line": _message("line", *plain["event"]), "gapLine": _message("gapLine", wrapped, gap_about)}
    parameters = {
        each.name: {
            "description": each.about,
            **({"type": "array", "items": each.schema} if each.many else each.schema),
        }
        for each in query
    }
    query_schema = {"type": "object", "properties": parameters, "additionalProperties": False}
    channels = {
        "stream": _channel("/v1/events/stream", "Server-sent events.", messages, {}),
        "socket": _channel(
            "/v1/events/ws",
            "A WebSocket: each message is a text.",
            texts,
            {"ws": {"method": "GET", "query": query_schema}},
        ),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": _TITLE, "version": __version__, "description": _ABOUT, "license": {"name": _LICENCE["name"]}},
        "defaultContentType": JSON,
        "servers": {
            "here": {
                "host": "{host}", "protocol": "https", "variables": {"host": {"default": "127.0.0.1:8000"}},
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": channels,
        "operations": {
            "readStream": _operation_of("stream", {"http": {"method": "GET", "query": query_schema, "bindingVersion": "0.3.0"}}),
            "readSocket": _operation_of("socket", {}),
        },
        "components": {
            "messages": {**messages, **texts},
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }  # fmt: skip


def _message(name: str, payload: Any, about: str) -> Document:
    return {"name": name, "summary": about, "contentType": JSON, "payload": payload}


def _channel(address: str, about: str, messages: Iterable[str], bindings: Document) -> Document:
    found: Document = {
        "address": address,
        "description": about,
        "servers": [{"$ref": "#/servers/here"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }
    return {**found, "bindings": bindings} if bindings else found


def _operation_of(channel: str, bindings: Document) -> Document:
    # What the interface does: it sends.
    found: Document = {"action": "send", "channel": {"$ref": f"#/channels/{channel}"}}
    return {**found, "bindings": bindings} if bindings else found
