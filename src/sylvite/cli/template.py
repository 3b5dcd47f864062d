"""Templates: `-o 'template={time} {tag} {data.id|?}'`.

`{name}` is a field of the event, `{data.a.b}` goes into its data (a list by number), `{name|text}` gives what to show
where it is missing. `{{` and `}}` are braces; `\\t`, `\\n` and `\\\\` are what they are elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from sylvite.core.event import Event
from sylvite.errors import InvalidInput

MISSING = object()
Getter = Callable[[Event], Any]
FIELDS: dict[str, Getter] = {
    "offset": lambda event: event.offset,
    "stamp": lambda event: event.stamp,
    "time": lambda event: local_time(event.stamp_ns),
    "epoch": lambda event: f"{event.epoch:016x}",
    "tag": lambda event: event.tag,
    "sender": lambda event: event.sender,
    "source": lambda event: f"{event.origin.source_epoch:016x}/{event.source_seq}",
    "cause": lambda event: MISSING if event.cause is None else event.cause,
    "hop": lambda event: event.hop,
    "data": lambda event: event.data,
}
"""The fields of an event by the names of its envelope (core/event.py), and `time`: local."""

_part = re.compile(r"(\{\{|\}\}|\{[^{}]*\}|\{|\})")
_escape = re.compile(r"\\([tn\\])")
_ESCAPES = {"t": "\t", "n": "\n", "\\": "\\"}
_control = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def local_time(stamp_ns: int) -> str:
    moment = datetime.fromtimestamp(stamp_ns // 1_000_000_000, UTC).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{stamp_ns // 1_000_000 % 1000:03d}"


def printable(text: str) -> str:
    """Return text that cannot break a line, or say something to a terminal."""
    if text.isprintable():
        return text
    return _control.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def show(value: Any) -> str:
    """Return a value as one would write it: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return printable(value)
    return printable(encode_json(value).decode())


def _any_value(value: object) -> object:
    if isinstance(value, msgspec.msgpack.Ext):
        return {"$ext": value.code, "data": value.data}
    return repr(value)


encode_json = msgspec.json.Encoder(enc_hook=_any_value).encode
"""Any data as JSON: bytes as base64, what JSON has no form for described."""


def field(path: str) -> Getter:
    """Return what gets one field: a name of FIELDS, `data.…`, or a bare name of something in the data.

    The getter returns MISSING where an event has no such field.
    """
    first, *rest = path.split(".")
    if first not in FIELDS:
        first, rest = "data", path.split(".")
    get = FIELDS[first]
    if not rest:
        return get
    if first != "data":
        raise InvalidInput(f"{path!r} is not a field: only data has fields within")

    def walk(event: Event) -> Any:
        found: Any = event.data
        # A key may have dots in it itself, as the names of packages do.
        if len(rest) > 1 and ".".join(rest) in event.data:
            return event.data[".".join(rest)]
        for step in rest:
            if isinstance(found, dict):
                found = cast("dict[Any, Any]", found).get(step, MISSING)
            elif isinstance(found, list) and step.isdecimal() and int(step) < len(cast("list[Any]", found)):
                found = cast("list[Any]", found)[int(step)]
            else:
                return MISSING
        return found

    return walk


def parse_template(text: str) -> Callable[[Event], str]:
    """Return what fills the template in.

    Raises:
        InvalidInput: a brace without its other half, or an empty name.
    """
    steps: list[str | tuple[Getter, str]] = []
    for part in _part.split(text):
        if part in ("{{", "}}"):
            steps.append(part[0])
        elif part in ("{", "}"):
            raise InvalidInput(
                f"template {text!r}: a {part!r} without its other half; write {part * 2!r} for the brace"
            )
        elif part.startswith("{"):
            path, _, default = part[1:-1].partition("|")
            if not path.strip():
                raise InvalidInput(f"template {text!r}: there must be a field between the braces, such as {{tag}}")
            steps.append((field(path.strip()), default))
        elif part:
            steps.append(_escape.sub(lambda found: _ESCAPES[found[1]], part))

    def fill(event: Event) -> str:
        shown: list[str] = []
        for step in steps:
            if isinstance(step, str):
                shown.append(step)
            else:
                get, default = step
                value = get(event)
                shown.append(default if value is MISSING else show(value))
        return "".join(shown)

    return fill
