"""Tell of the load of this machine, when one of its averages is outside of its bounds."""

from __future__ import annotations

import os
from typing import Any

from sylvite.functions.beacons_settings import joined
from sylvite.functions.given import __context__

_NAMES = ("1m", "5m", "15m")


def validate(config: Any) -> tuple[bool, str]:
    """Check the settings: `averages`, a map of 1m, 5m and 15m to two numbers each."""
    averages = joined(config).get("averages")
    if not isinstance(averages, dict) or not averages:
        return False, "Averages configuration is required for load beacon: averages: {1m: [0.0, 2.0]}"
    for name, bounds in averages.items():  # pyright: ignore[reportUnknownVariableType] - from a file of settings
        if name not in _NAMES:
            return False, f"load: {name} is no average; there are {', '.join(_NAMES)}"
        if not (isinstance(bounds, (list, tuple)) and len(bounds) == 2 and all(map(_is_number, bounds))):  # pyright: ignore[reportUnknownArgumentType] - as above
            return False, f"load: {name} must be two numbers, the lowest and the highest that is nothing to tell of"
    return True, "Valid beacon configuration"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def beacon(config: Any) -> list[dict[str, Any]]:
    """Return the averages, if one is outside of its bounds; with `onchangeonly` only when that changes."""
    settings = joined(config)
    found: dict[str, Any] = dict(zip(_NAMES, os.getloadavg(), strict=True))
    outside = any(not low <= found[name] <= high for name, (low, high) in settings["averages"].items())
    key = f"load:{settings.get('_beacon_name')}"
    before = __context__.get(key)
    __context__[key] = outside
    if settings.get("onchangeonly"):
        is_news = settings.get("emitatstartup", True) if before is None else before != outside
        return [found] if is_news else []
    return [found] if outside else []
