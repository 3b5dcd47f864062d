"""Forms: how the value of an option is written, and what it becomes.

The type of a field of options is `Annotated[type, Form, About]`: the value is read by the form, then checked against the
type, then kept.  Amounts keep Salt's unit where they are written as plain numbers, and may be written with one: `90s`, `64MiB`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec

from sylvite.core.duration import parse_bytes, parse_duration_s
from sylvite.jobs.compound import parse_nodegroup

NO_LIMIT = -1


class Form(msgspec.Struct, frozen=True):
    """`expected` goes on after "must be".  `read` may raise ValueError, and `write` undoes it, for showing."""

    expected: str
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value


class About(msgspec.Struct, frozen=True):
    """`text`: what an option is for.  `unlike`: where we depart from Salt, and why."""

    text: str
    unlike: str = ""


def _duration(unit_s: float) -> Form:
    def read(value: Any) -> Any:
        if isinstance(value, str):
            return parse_duration_s(value)
        return value * unit_s if isinstance(value, int | float) and not isinstance(value, bool) else value

    def write(value: Any) -> Any:
        shown = value / unit_s
        return int(shown) if shown == int(shown) else shown

    name = {0.001: "milliseconds", 1.0: "seconds", 60.0: "minutes", 3600.0: "hours"}[unit_s]
    return Form(f"a number of {name} or a duration such as 90s, at least 0", read, write)


def _or_none(form: Form, none: object, meaning: str) -> Form:
    """Return the form in which one value stands for None, "no limit"."""

    def read(value: Any) -> Any:
        is_none = value is None or (value == none and not isinstance(value, bool))
        return None if is_none else form.read(value)

    def write(value: Any) -> Any:
        return none if value is None else form.write(value)

    return Form(f"{form.expected}; {none} {meaning}", read, write)


def _read_text(value: Any) -> Any:
    # As Salt does: an id made of digits is one all the same.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _read_texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _read_size(value: Any) -> Any:
    return parse_bytes(value) if isinstance(value, str) else value


def _write_path(value: Any) -> Any:
    return None if value is None else str(value)


def _write_paths(value: Any) -> Any:
    return [str(path) for path in value]


_LEVELS = ("all", "garbage", "trace", "debug", "profile", "info", "warning", "error", "critical", "quiet")


def _read_level(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _join_maps(value: Any) -> Any:
    """Return one map of a list of maps with one key each, as Salt takes both."""
    if not isinstance(value, list):
        return value
    joined: dict[Any, Any] = {}
    for item in cast("list[Any]", value):
        if not isinstance(item, dict) or len(cast("dict[Any, Any]", item)) != 1:
            raise ValueError("each item of the list must be a map with one key")
        ((name, inner),) = cast("dict[Any, Any]", item).items()
        if name in joined:
            raise ValueError(f"{name!r} stands there twice")
        joined[name] = inner
    return joined


def _read_nodegroups(value: Any) -> Any:
    found = _join_maps(value)
    if not isinstance(found, dict):
        return found
    groups = cast("dict[str, Any]", found)
    for name, definition in groups.items():
        if not isinstance(definition, str) and not _is_texts(definition):
            raise ValueError(f"{name!r} must be a target or a list of its words")
    for name in groups:
        parse_nodegroup(name, groups, ":")
    return groups


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in cast("list[Any]", value))


def _read_beacons(value: Any) -> Any:
    """Return the settings of each beacon as one map; Salt writes a list of small ones."""
    if not isinstance(value, dict):
        return value
    found: dict[Any, Any] = {}
    for name, settings in cast("dict[Any, Any]", value).items():
        if type(settings) is not list:
            raise ValueError(f"{name!r} must be a list of maps with one key each, as Salt has it")
        try:
            found[name] = _join_maps(settings)
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from error
    return found


def _write_beacons(value: Any) -> Any:
    return {name: [{key: inner} for key, inner in settings.items()] for name, settings in value.items()}


_NOT_NEGATIVE = msgspec.Meta(ge=0)
_AMOUNT = msgspec.Meta(ge=0, le=1e9)
"""Of seconds: thirty years, and no infinity."""
_second = _duration(1.0)

Seconds = Annotated[float, _AMOUNT, _second]
SecondsOrEver = Annotated[Annotated[float, _AMOUNT] | None, _or_none(_second, 0, "for no limit")]
Minutes = Annotated[float, _AMOUNT, _duration(60.0)]
Milliseconds = Annotated[float, _AMOUNT, _duration(0.001)]
Flag = Annotated[bool, Form("True or False")]
Text = Annotated[str, Form("text", _read_text)]
Texts = Annotated[tuple[str, ...], Form("a list of texts", _read_texts)]
Folder = Annotated[Path, Form("the path of a folder", write=_write_path)]
Folders = Annotated[tuple[Path, ...], Form("a list of folders", _read_texts, _write_paths)]
File = Annotated[Path | None, Form("the path of a file, or null", write=_write_path)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535), Form("a port, 1 to 65535")]
Count = Annotated[int, _NOT_NEGATIVE, Form("a whole number, at least 0")]
CountOrNoLimit = Annotated[
    Annotated[int, _NOT_NEGATIVE] | None, _or_none(Form("a whole number, at least 0"), NO_LIMIT, "for no limit")
]
CountOrAll = Annotated[
    Annotated[int, _NOT_NEGATIVE] | None, _or_none(Form("a whole number, at least 0"), 0, "for no limit")
]
SizeOrNoLimit = Annotated[
    Annotated[int, _NOT_NEGATIVE] | None, Form("a size such as 64MiB, or null for no limit", _read_size)
]
Level = Annotated[
    Literal["all", "garbage", "trace", "debug", "profile", "info", "warning", "error", "critical", "quiet"],
    Form(f"one of {', '.join(_LEVELS)}", _read_level),
]
LogFormat = Annotated[Literal["text", "json"], Form("text or json")]
IpcMode = Annotated[Literal["ipc", "tcp"], Form("ipc or tcp")]
HashType = Annotated[
    Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"],
    Form("one of md5, sha1, sha224, sha256, sha384, sha512", _read_level),
]
SaltFraming = Annotated[Literal["stream", "length"], Form("stream or length")]
MatchType = Annotated[
    Literal["startswith", "endswith", "find", "regex", "fnmatch"],
    Form("one of startswith, endswith, find, regex, fnmatch"),
]
MasterType = Annotated[Literal["str", "failover", "disable"], Form("one of str, failover, disable")]
FileClient = Annotated[Literal["remote", "local"], Form("remote or local")]
Roots = Annotated[
    dict[str, tuple[str, ...]],
    Form("a map of environments to lists of folders, such as {base: [/srv/salt]}"),
]
Map = Annotated[dict[str, Any], Form("a map")]
Nodegroups = Annotated[
    dict[str, str | tuple[str, ...]],
    Form("a map of names to targets, such as {web: 'L@web1,web2'}", _read_nodegroups),
]
Beacons = Annotated[
    dict[str, dict[str, Any]],
    Form("a map of beacons to lists of settings, such as {load: [{interval: 30}]}", _read_beacons, _write_beacons),
]
