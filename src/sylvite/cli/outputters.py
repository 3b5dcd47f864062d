"""Outputters: what a function returns, as text, as Salt shows it.

nested   indented, with the keys of maps sorted; the usual one
json     JSON, indented by 4; with a negative indent on one line
yaml     YAML
raw      as Python writes it
pprint   the same, on several lines
txt      `key: value`, a line of text a line
quiet    nothing
"""

from __future__ import annotations

import json
import pprint
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import date, datetime
from importlib import import_module
from numbers import Number
from typing import Any, cast

OUTPUTTERS = ("nested", "json", "yaml", "raw", "pprint", "txt", "quiet")
_CYAN, _GREEN, _YELLOW, _END = "\x1b[0;36m", "\x1b[0;32m", "\x1b[0;1;33m", "\x1b[0;0m"


def show(value: Any, outputter: str = "nested", *, indent: int | None = None, color: bool = False) -> str | None:
    """Return the text to print, without the end of its last line; None for nothing at all.

    `indent`: of JSON, or of what is nested; None is the usual.
    """
    match outputter:
        case "json":
            return _as_json(value, 4 if indent is None else indent)
        case "yaml":
            return _as_yaml(value)
        case "raw":
            return str(value)
        case "pprint":
            return pprint.pformat(value)
        case "txt":
            return _as_text(value)
        case "quiet":
            return None
        case _:
            nested = _Nested(color=color)
            nested.add(value, indent or 0)
            return "\n".join(nested.lines)


class _Nested:
    def __init__(self, *, color: bool) -> None:
        self.lines: list[str] = []
        self._color = color

    def add(self, value: object, indent: int, prefix: str = "") -> None:
        if value is None or isinstance(value, (bool, Number)):
            self._line(indent, _YELLOW, repr(value), prefix)
        elif isinstance(value, (str, bytes)):
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            for number, line in enumerate(text.splitlines()):
                self._line(indent, _GREEN, line, prefix if number == 0 else " " * len(prefix))
        elif isinstance(value, Mapping):
            self._add_map(cast("Mapping[Any, Any]", value), indent, prefix)
        elif isinstance(value, (list, tuple, set, frozenset)):
            self._add_list(list(cast("list[Any]", value)), indent)
        else:
            self.add(str(value), indent, prefix)

    def _add_list(self, items: list[Any], indent: int) -> None:
        for item in items:
            if isinstance(item, (list, tuple, Mapping)):
                self._line(indent, _GREEN, "|_")
                self.add(cast("object", item), indent + 2, "" if isinstance(item, Mapping) else "- ")
            else:
                self.add(item, indent, "- ")

    def _add_map(self, pairs: Mapping[Any, Any], indent: int, prefix: str) -> None:
        if indent:
            self._line(indent, _CYAN, "----------")
        for key in pairs if isinstance(pairs, OrderedDict) else sorted(pairs, key=_sorted_by):
            self._line(indent, _CYAN, str(key), prefix, ":")
            self.add(pairs[key], indent + 4)

    def _line(self, indent: int, color: str, text: str, prefix: str = "", suffix: str = "") -> None:
        if self._color:
            self.lines.append(f"{' ' * indent}{color}{prefix}{text}{suffix}{_END}")
        else:
            self.lines.append(f"{' ' * indent}{prefix}{text}{suffix}")


def _sorted_by(key: object) -> tuple[str, str]:
    """Sort texts as texts; keys of other types, which cannot be compared with them, by type."""
    return ("", key) if isinstance(key, str) else (type(key).__name__, str(key))


def _as_json(value: Any, indent: int) -> str:
    return json.dumps(_simple(value, str), default=repr, ensure_ascii=False, indent=indent if indent >= 0 else None)


def _as_yaml(value: Any) -> str:
    yaml: Any = import_module("yaml")  # it has no types
    text = yaml.safe_dump(_simple(value, repr), default_flow_style=False, allow_unicode=True)
    return cast("str", text).rstrip()


def _simple(value: Any, name: Callable[[object], str]) -> Any:
    """Return maps and lists in the place of what is like one, and text in the place of what no format has."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return {key if _is_simple(key) else name(key): _simple(inner, name) for key, inner in pairs}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_simple(inner, name) for inner in cast("list[Any]", value)]
    return value if _is_simple(value) or type(value) in (bytes, date, datetime) else repr(value)


def _is_simple(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _as_text(value: Any) -> str:
    if not isinstance(value, Mapping):
        return value if isinstance(value, str) else pprint.pformat(value)
    lines: list[str] = []
    for key, inner in cast("Mapping[Any, Any]", value).items():
        shown = inner.splitlines() if isinstance(inner, str) else [inner]
        lines.extend(f"{key}: {line}" for line in shown)
    return "\n".join(lines)
