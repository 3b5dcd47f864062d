"""Explaining options: each with its value, where that comes from, and what it is for.  Secrets show as `***`."""

from __future__ import annotations

from typing import Any

import msgspec

from sylvite.daemons.options.node import default_of, fields_of
from sylvite.daemons.options.reading import ALIASES, Loaded, Said, about, form_of
from sylvite.daemons.options.secrets import hide
from sylvite.daemons.options.unused import reason_unused

DEFAULT, COMPUTED = "default", "computed"


class Shown(msgspec.Struct, frozen=True):
    """An option as people see it.  `origin`: FILE:LINE, `default` or `computed`."""

    name: str
    value: Any
    origin: str
    is_default: bool


class Explained(msgspec.Struct, frozen=True):
    """All there is to say of an option.  `said`: what files say of it, in the order in which they are read: the last one counts."""

    name: str
    value: Any
    default: Any
    expected: str
    text: str
    unlike_salt: str
    origin: str
    said: tuple[tuple[str, Any], ...]


def show(loaded: Loaded[Any]) -> list[Shown]:
    """Return every option, in the order of their names; settings of settings as `broker.log.keep_bytes`."""
    shown: list[Shown] = []
    for field in fields_of(loaded.options):
        value, default = getattr(loaded.options, field.name), default_of(field)
        if isinstance(default, msgspec.Struct):
            shown += _inner(loaded, field.encode_name, value, default)
        else:
            name, unchanged = field.encode_name, value == default
            shown.append(Shown(name, _written(field, value), _origin(loaded, name), unchanged))
    return sorted(shown, key=lambda each: each.name)


def _inner(loaded: Loaded[Any], path: str, settings: msgspec.Struct, usual: msgspec.Struct) -> list[Shown]:
    shown: list[Shown] = []
    for field in msgspec.structs.fields(settings):
        name = f"{path}.{field.encode_name}"
        value, default = getattr(settings, field.name), getattr(usual, field.name)
        if isinstance(value, msgspec.Struct) and isinstance(default, msgspec.Struct):
            shown += _inner(loaded, name, value, default)
        else:
            written = int(value) if isinstance(value, float) and value.is_integer() else plain(value)
            shown.append(Shown(name, hide(name, written), _inner_origin(loaded, name), value == default))
    return shown


def explain(loaded: Loaded[Any], name: str) -> Explained | None:
    """Return what there is to say of an option; None if there is no such option."""
    option = ALIASES[name][0] if name in ALIASES else name
    for field in fields_of(loaded.options):
        if field.encode_name == option:
            return _explained(loaded, field)
        if option.startswith(f"{field.encode_name}."):
            for shown in show(loaded):
                if shown.name == option:
                    return _explained_inner(field, shown)
    return None


def _explained(loaded: Loaded[Any], field: msgspec.structs.FieldInfo) -> Explained:
    option, told = field.encode_name, about(field)
    return Explained(
        option,
        _written(field, getattr(loaded.options, field.name)),
        _written(field, default_of(field)),
        form_of(field).expected,
        told.text,
        told.unlike,
        _origin(loaded, option),
        tuple((str(each.place), hide(option, each.value)) for each in _said(loaded, option)),
    )


def _explained_inner(field: msgspec.structs.FieldInfo, shown: Shown) -> Explained:
    default: Any = default_of(field)
    for step in shown.name.split(".")[1:]:
        default = getattr(default, step)
    said = () if shown.origin == DEFAULT else ((shown.origin, shown.value),)
    expected = f"one of the {form_of(field).expected}"
    return Explained(shown.name, shown.value, plain(default), expected, about(field).text, "", shown.origin, said)


def explain_unused(name: str) -> str | None:
    """Return why an option of Salt has no meaning here; None where it is not one."""
    return reason_unused(name)


def plain(value: Any) -> Any:
    """Return a value as JSON and YAML know it."""
    return msgspec.to_builtins(value, enc_hook=str)


def _written(field: msgspec.structs.FieldInfo, value: Any) -> Any:
    """Return a value as it is written in a file, and nothing of a secret."""
    return hide(field.encode_name, plain(form_of(field).write(value)))


def _said(loaded: Loaded[Any], option: str) -> tuple[Said, ...]:
    older = next((older for older, (newer, _) in ALIASES.items() if newer == option), "")
    return loaded.said.get(option) or loaded.said.get(older, ())


def _origin(loaded: Loaded[Any], name: str) -> str:
    if said := _said(loaded, name):
        return str(said[-1].place)
    return COMPUTED if name in loaded.computed else DEFAULT


def _inner_origin(loaded: Loaded[Any], name: str) -> str:
    said = _said(loaded, name.partition(".")[0])
    line = loaded.lines[said[-1].place.file].get(name) if said else None
    return f"{said[-1].place.file}:{line}" if line is not None else DEFAULT
