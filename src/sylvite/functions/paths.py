"""Paths: `ip4_interfaces:lo:0`, a place in nested data, as Salt writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


def get_path(data: Mapping[str, Any], path: str, default: Any, delimiter: str = ":") -> Any:
    """Return what stands at a path: keys of maps, places in lists; or else the default."""
    if path in data:
        return data[path]
    found: Any = data
    for step in path.split(delimiter):
        if isinstance(found, Mapping):
            pairs = cast("Mapping[Any, Any]", found)
            if step in pairs:
                found = pairs[step]
                continue
        elif isinstance(found, list):
            items = cast("list[Any]", found)
            if step.isascii() and step.isdigit() and int(step) < len(items):
                found = items[int(step)]
                continue
        return default
    return found
