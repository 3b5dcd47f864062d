"""Tell how this machine is, each time: a sign of life with figures."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from sylvite.functions.beacons_settings import OF_ALL, joined, read_meminfo


def validate(config: Any) -> tuple[bool, str]:
    """Check the settings: what to tell of, each with `all` or a list of names; nothing: all of it."""
    unknown = [name for name in _wanted(config) if name not in _FIGURES]
    if unknown:
        return False, f"status: {unknown[0]} is not known; there are {', '.join(_FIGURES)}"
    return True, "Valid beacon configuration"


def beacon(config: Any) -> list[dict[str, Any]]:
    """Return one event with the figures, under the time as its tag."""
    found: dict[str, Any] = {}
    for name, wanted in _wanted(config).items():
        figures = _FIGURES[name]()
        some = cast("list[Any]", wanted) if isinstance(wanted, list) else [wanted]
        found[name] = figures if "all" in some else {key: figures[key] for key in some if key in figures}
    # Salt's tag: the time, without its zone.
    stamp = datetime.now(UTC).replace(tzinfo=None).isoformat()
    return [{"tag": stamp, "data": found}]


def _wanted(config: Any) -> dict[str, Any]:
    settings = {name: value for name, value in joined(config).items() if name not in OF_ALL}
    return settings or {name: ["all"] for name in _FIGURES}


def _load() -> dict[str, Any]:
    return dict(zip(("1-min", "5-min", "15-min"), os.getloadavg(), strict=True))


def _memory() -> dict[str, Any]:
    return {name: {"value": str(value), "unit": "kB"} for name, value in read_meminfo().items()}


def _uptime() -> dict[str, Any]:
    with open("/proc/uptime", encoding="ascii") as file:
        return {"seconds": int(float(file.read().split()[0]))}


_FIGURES: dict[str, Callable[[], dict[str, Any]]] = {"loadavg": _load, "meminfo": _memory, "uptime": _uptime}
