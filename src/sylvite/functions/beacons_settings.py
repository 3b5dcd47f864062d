"""What the beacons share: their settings, as a file has them, and the figures of the kernel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

OF_ALL = frozenset(("_beacon_name", "beacon_module", "disable_during_state_run", "enabled", "interval"))
"""Settings that any beacon may have: they are for whoever calls it."""
_PERCENT = re.compile(r"[0-9]+(\.[0-9]+)?%?", re.ASCII)


def joined(config: Any) -> dict[str, Any]:
    """Return settings as one map: Salt writes a list of small ones, and hands that to its beacons."""
    found: dict[str, Any] = {}
    parts = cast("list[Any]", config) if isinstance(config, list) else [config]
    for part in parts:
        if isinstance(part, Mapping):
            found.update({str(name): value for name, value in cast("Mapping[Any, Any]", part).items()})
    return found


def is_percent(value: object) -> bool:
    return isinstance(value, (str, int, float)) and _PERCENT.fullmatch(str(value)) is not None


def percent(value: object) -> float:
    """Return the number of `63%`, or of `63`."""
    return float(str(value).rstrip("%"))


def read_meminfo() -> dict[str, int]:
    """Return the kernel's figures of memory, KiB.  Source: proc(5), /proc/meminfo."""
    found: dict[str, int] = {}
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            name, _, figure = line.partition(":")
            number = figure.split()[:1]
            if number and number[0].isdigit():
                found[name] = int(number[0])
    return found
