"""Bodies of Salt's API: what may come in, and in which form answers go out."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import yaml
from starlette.requests import Request
from starlette.responses import Response

from sylvite.api.bodies import media_type_of, read_body
from sylvite.api.problems import NotAcceptable
from sylvite.config import read_yaml
from sylvite.errors import InvalidInput
from sylvite.functions.arguments import parse_value

JSON, YAML, FORM = "application/json", "application/x-yaml", "application/x-www-form-urlencoded"
FIELDS_MAX = 1000
HEADERS = {"cache-control": "private, no-store", "x-content-type-options": "nosniff", "vary": "Accept"}


def check_accept(request: Request) -> str:
    """Return the form of the answer.  Raises NotAcceptable: it is none that we have."""
    wanted = request.headers.get("accept", "*/*")
    kinds = [part.partition(";")[0].strip().lower() for part in wanted.split(",")]
    for kind in kinds:
        if kind in (JSON, "*/*", "application/*", "", "text/html", "text/event-stream"):
            return JSON
        if kind in (YAML, "application/yaml", "text/yaml", "text/x-yaml"):
            return YAML
    raise NotAcceptable(f"answers are {JSON} or {YAML}, not {wanted[:80]}")


def answer(request: Request, body: object, status: int = 200) -> Response:
    kind = check_accept(request)
    if kind == YAML:
        content = yaml.safe_dump(json.loads(dump(body)), sort_keys=False, allow_unicode=True)
    else:
        content = dump(body)
    return Response(content.encode("utf-8", "replace"), status, HEADERS, media_type=kind)


def dump(body: object) -> str:
    """Return JSON as Salt writes it."""
    return json.dumps(body, ensure_ascii=False, default=_shown)


def _shown(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


async def read(request: Request) -> tuple[str, Any]:
    """Return a body as its text, and as what it says: None where there is nothing in it.

    What could not be answered is not begun: so `Accept` is looked at first.

    Raises:
        InvalidInput: it is not what it says it is.  NotAcceptable: a kind that is not read (Salt's status for it).
    """
    check_accept(request)
    raw = await read_body(request)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("the body is no UTF-8") from error
    kind = media_type_of(request)
    if not text.strip():
        return text, None
    if kind == JSON:
        return text, _json(text)
    if kind == FORM:
        return text, read_form(text)
    if kind in (YAML, "text/yaml", "application/yaml", "text/x-yaml"):
        return text, read_yaml(raw, "the body")
    if kind in ("text/plain", ""):
        # Web clients send JSON so, to be spared a question before each request; other text is no mistake.
        try:
            return text, json.loads(text)
        except (ValueError, RecursionError):
            return text, None
    raise NotAcceptable(f"a body of {kind[:80]} is not read; send {JSON}, {YAML}, or a form")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("Invalid JSON document") from error


def read_form(text: str) -> dict[str, Any]:
    """Return a form as Salt reads it: a name that is there several times is a list; values of `arg` and `kwarg` are YAML."""
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=False, max_num_fields=FIELDS_MAX, errors="strict"
        )
    except ValueError as error:
        raise InvalidInput(f"the form cannot be read: {error}") from error
    found: dict[str, Any] = {}
    for name, raw in pairs:
        value: Any = parse_value(raw) if name in ("arg", "kwarg") else raw
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found
