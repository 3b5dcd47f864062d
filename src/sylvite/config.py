"""Configuration: one YAML file, checked whole before anything starts.

Unknown keys are errors, with the name that was probably meant; aliases, tags and equal keys are refused. Sizes such as `64MiB` and durations such as `30d` are
taken for every key that ends in `_bytes` or `_s`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec

from sylvite.core.duration import parse_bytes, parse_duration_s
from sylvite.errors import InvalidSetting

CONFIG_BYTES_MAX = 1024 * 1024
DEPTH_MAX = 32
VALUES_MAX = 20_000
"""Keys, values, lists and maps: each costs up to a kilobyte while the file is read."""
PATH_CHARACTERS_MAX = 256
"""Of keys below longer paths no line is noted."""

Settings = TypeVar("Settings", bound=msgspec.Struct)


def read_config(path: Path, kind: type[Settings]) -> Settings:
    """Return the settings in a YAML file.

    Raises:
        InvalidSetting: the file cannot be read, or a key or value in it is wrong; the message names it.
    """
    found = read_yaml(read_file(path), str(path))
    return convert({} if found is None else found, kind, str(path))


def read_file(path: Path) -> bytes:
    """Return what is in a file of configuration.  Raises InvalidSetting: it cannot be read, or is too big."""
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidSetting("config", str(path), f"cannot be read: {error.strerror}") from error
    if len(raw) > CONFIG_BYTES_MAX:
        raise InvalidSetting("config", str(path), f"has more than {CONFIG_BYTES_MAX} bytes")
    return raw


def read_yaml(raw: bytes, where: str, lines: dict[str, int] | None = None) -> object:
    """Return what the YAML says.

    `lines`: takes the line of each key, by its path: `a`, `a.b`, `a[0].b`.

    The grammar is read first, piece by piece, and then made: an alias makes a bomb of a few lines, brackets within
    brackets exhaust the stack, and of two equal keys PyYAML silently takes the last one.

    Raises:
        InvalidSetting: it is not YAML, or uses a part of it that is not taken.
    """
    # 27 ms: only for those who have a file.  Its types are known only in part.
    yaml: Any = import_module("yaml")
    try:
        _check_events(yaml.parse(raw, Loader=yaml.CSafeLoader), where)
        loader = yaml.CSafeLoader(raw)
        try:
            root: Any = loader.get_single_node()
            if root is None:
                return None
            _check_keys(root, where)
            if lines is not None:
                _note_lines(root, "", lines)
            return cast(object, loader.construct_document(root))
        finally:
            loader.dispose()
    except InvalidSetting:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # ValueError: what is written like a number or a date, and is none: 0x_, 2026-13-45.
        raise InvalidSetting("config", where, f"is not YAML: {' '.join(str(error).split())}") from error


def _check_events(events: Iterable[Any], where: str) -> None:
    depth = values = 0
    for event in events:
        kind = type(event).__name__
        place = f"line {event.start_mark.line + 1}"
        if kind == "AliasEvent":
            raise InvalidSetting("config", where, f"uses the alias *{event.anchor}, {place}; write it out")
        if getattr(event, "tag", None) not in (None, "!"):
            raise InvalidSetting("config", where, f"uses the tag {event.tag}, {place}; write the plain value")
        values += not kind.endswith("EndEvent")
        if values > VALUES_MAX:
            raise InvalidSetting("config", where, f"has more than {VALUES_MAX} keys and values, {place}")
        if kind in ("MappingStartEvent", "SequenceStartEvent"):
            depth += 1
            if depth > DEPTH_MAX:
                raise InvalidSetting("config", where, f"is nested more than {DEPTH_MAX} deep, {place}")
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            depth -= 1


def _check_keys(node: Any, where: str) -> None:
    if node.id == "sequence":
        for item in node.value:
            _check_keys(item, where)
    elif node.id == "mapping":
        seen: set[str] = set()
        for key, value in node.value:
            place = f"line {key.start_mark.line + 1}"
            if key.tag != "tag:yaml.org,2002:str":
                raise InvalidSetting("config", where, f"has a key that is no text, {place}; write it in quotes")
            if key.value in seen:
                raise InvalidSetting("config", where, f"has the key {key.value!r} twice, {place}")
            seen.add(key.value)
            _check_keys(value, where)


def _note_lines(node: Any, path: str, lines: dict[str, int]) -> None:
    if len(path) > PATH_CHARACTERS_MAX:
        return  # The path of each key holds all keys above it: of long ones that would be a bomb.
    if node.id == "sequence":
        for index, item in enumerate(node.value):
            lines[f"{path}[{index}]"] = item.start_mark.line + 1
            _note_lines(item, f"{path}[{index}]", lines)
    elif node.id == "mapping":
        for key, value in node.value:
            inner = f"{path}.{key.value}" if path else key.value
            lines[inner] = key.start_mark.line + 1
            _note_lines(value, inner, lines)


def convert(found: object, kind: type[Settings], where: str) -> Settings:
    """Raises InvalidSetting: as `read_config`."""
    if not isinstance(found, dict):
        raise InvalidSetting("config", where, "must be a map of settings")
    settings = cast(dict[Any, Any], found)
    _check_names(settings, kind, "")
    try:
        return msgspec.convert(_units(settings, ""), kind)
    except msgspec.ValidationError as error:
        raise InvalidSetting("config", where, f"is not valid: {error}") from error


def _units(found: Any, name: str) -> Any:
    """Return the settings with sizes and durations as numbers."""
    if isinstance(found, dict):
        settings = cast(dict[Any, Any], found)
        return {key: _units(value, f"{name}.{key}" if name else str(key)) for key, value in settings.items()}
    if isinstance(found, list):
        return [_units(item, f"{name}[{index}]") for index, item in enumerate(cast(list[Any], found))]
    if not isinstance(found, str) or not name.endswith(("_bytes", "_s")):
        return found
    try:
        return parse_bytes(found) if name.endswith("_bytes") else parse_duration_s(found)
    except InvalidSetting as error:
        raise InvalidSetting(name, found, error.reason) from error


def _check_names(found: dict[Any, Any], kind: type[msgspec.Struct], path: str) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key, value in found.items():
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(fields)}"
            raise InvalidSetting(f"{path}{key}", value, f"is not a setting{hint}")
        for name, inner, item in _inner_settings(f"{path}{key}", fields[key].type, value):
            _check_names(item, inner, f"{name}.")


def _inner_settings(name: str, kind: Any, value: Any) -> Iterator[tuple[str, type[msgspec.Struct], dict[Any, Any]]]:
    """Yield the maps that are settings of their own: one, or each of a list."""
    if get_origin(kind) is tuple and isinstance(value, list):
        for index, item in enumerate(cast(list[Any], value)):
            yield from _inner_settings(f"{name}[{index}]", get_args(kind)[0], item)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        yield name, kind, cast(dict[Any, Any], value)
