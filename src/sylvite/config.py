"""Configuration: one YAML file, checked whole before anything starts.

Unknown keys are errors, with the name that was probably meant. Sizes such as `64MiB` and durations such as `30d` are
taken for every key that ends in `_bytes` or `_s`.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from sylvite.core.duration import parse_bytes, parse_duration_s
from sylvite.errors import InvalidSetting

CONFIG_BYTES_MAX = 1024 * 1024

Settings = TypeVar("Settings", bound=msgspec.Struct)


def read_config(path: Path, kind: type[Settings]) -> Settings:
    """Return the settings in a YAML file.

    Raises:
        InvalidSetting: the file cannot be read, or a key or value in it is wrong; the message names it.
    """
    import yaml  # 27 ms: only for those who have a file

    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidSetting("config", str(path), f"cannot be read: {error.strerror}") from error
    if len(raw) > CONFIG_BYTES_MAX:
        raise InvalidSetting("config", str(path), f"has more than {CONFIG_BYTES_MAX} bytes")
    try:
        found = cast(object, yaml.load(raw, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidSetting("config", str(path), f"is not YAML: {' '.join(str(error).split())}") from error
    return convert(found or {}, kind, str(path))


def convert(found: object, kind: type[Settings], where: str) -> Settings:
    """Raises InvalidSetting: as `read_config`."""
    if not isinstance(found, dict):
        raise InvalidSetting("config", where, "must be a map of settings")
    plain = _units(cast(dict[Any, Any], found), "")
    _check_names(plain, kind, "")
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        raise InvalidSetting("config", where, f"is not valid: {error}") from error


def _units(found: dict[Any, Any], path: str) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for key, value in found.items():
        name = f"{path}{key}"
        if isinstance(value, dict):
            out[key] = _units(cast(dict[Any, Any], value), f"{name}.")
        elif isinstance(value, str) and name.endswith("_bytes"):
            out[key] = parse_bytes(value)
        elif isinstance(value, str) and name.endswith("_s"):
            out[key] = parse_duration_s(value)
        else:
            out[key] = value
    return out


def _check_names(found: dict[Any, Any], kind: type[msgspec.Struct], path: str) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key, value in found.items():
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(fields)}"
            raise InvalidSetting(f"{path}{key}", value, f"is not a setting{hint}")
        inner = fields[key].type
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            _check_names(cast(dict[Any, Any], value), inner, f"{path}{key}.")
