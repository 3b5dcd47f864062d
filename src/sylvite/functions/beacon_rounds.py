"""Rounds: which beacons are due, and the events that they make.  It takes the time, and publishes nothing.

A beacon is a module with a function `beacon`, called at its interval with its settings as Salt hands them over: a list of maps. It
returns a list of maps, each of which becomes an event `salt/beacon/<id>/<beacon>/<its tag>`.
Source: spec/salt-events.md 3.7 and golden/events_minion_bus.jsonl.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sylvite.core.tag import check_tag
from sylvite.errors import InvalidData, InvalidTag
from sylvite.functions.beacons_settings import joined
from sylvite.functions.data import plain
from sylvite.functions.module import Function

INTERVAL_S = 1.0
EVENTS_MAX = 1000
"""Of one round of all beacons: what is more is left out, and said.  The master takes no more in one list."""
logger = logging.getLogger("sylvite.beacons")


class _Beacon:
    """`config`: its settings, a list of maps.  `due_s`: when it is called next."""

    def __init__(self, name: str, config: Sequence[Any]) -> None:
        settings = joined(list(config))
        self.name = name
        self.config: list[Any] = [*config, {"_beacon_name": name}]
        self.module = str(settings.get("beacon_module", name))
        self.enabled = settings.get("enabled", True) is not False
        self.interval_s = _interval(settings.get("interval", INTERVAL_S))
        self.due_s = 0.0
        self.failing = ""


def _interval(value: object) -> float:
    """Return seconds; Salt takes any number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise ValueError(f"interval must be a number of seconds above 0, not {value!r}")
    return float(value)


class Rounds:
    """`enabled`: whether any beacon is called at all.  `mistakes`: of those that are not, by their names."""

    def __init__(self, node: str, beacons: Mapping[str, Sequence[Any]], functions: Mapping[str, Function]) -> None:
        self.enabled = True
        self.mistakes: dict[str, str] = {}
        self._node, self._functions = node, functions
        self._beacons: dict[str, _Beacon] = {}
        for name, config in beacons.items():
            if name == "enabled":
                self.enabled = joined(config).get("enabled", True) is not False
                continue
            self._add(name, config)

    def _add(self, name: str, config: Sequence[Any]) -> None:
        try:
            check_tag(f"salt/beacon/{self._node}/{name}/")
            beacon = _Beacon(name, config)
            reason = self._why_not(beacon)
        except (InvalidTag, ValueError) as error:
            reason = str(error)
        else:
            if reason is None:
                self._beacons[name] = beacon
                return
        self.mistakes[name] = reason
        logger.error("the beacon %s is not used: %s", name, reason)

    def _why_not(self, beacon: _Beacon) -> str | None:
        if f"{beacon.module}.beacon" not in self._functions:
            return f"there is no module {beacon.module} with a function beacon"
        validate = self._functions.get(f"{beacon.module}.validate")
        if validate is None:
            return None
        try:
            answer: object = validate(list(beacon.config))
        except Exception as error:  # noqa: BLE001 - a program of the operator's: whatever it raises is the reason
            return f"its validate failed: {type(error).__name__}: {error}"
        pair = (
            cast("tuple[object, ...]", answer) if isinstance(answer, tuple) else (answer, "its settings are not valid")
        )
        return None if pair and pair[0] else str(pair[-1])

    def wait_s(self, now_s: float) -> float | None:
        """Return how long nothing is due; None where nothing will ever be."""
        due = [beacon.due_s for beacon in self._beacons.values() if beacon.enabled]
        return max(min(due) - now_s, 0.0) if due and self.enabled else None

    def call(self, now_s: float) -> list[dict[str, Any]]:
        """Call those that are due; return the events, each a map of `tag`, `data` and `beacon_name`."""
        found: list[dict[str, Any]] = []
        for beacon in self._beacons.values():
            if self.enabled and beacon.enabled and beacon.due_s <= now_s:
                beacon.due_s = now_s + beacon.interval_s
                found.extend(self._call(beacon))
        if len(found) > EVENTS_MAX:
            logger.error("%d events of beacons at once: those beyond %d are left out", len(found), EVENTS_MAX)
        return found[:EVENTS_MAX]

    def _call(self, beacon: _Beacon) -> list[dict[str, Any]]:
        try:
            returned = self._functions[f"{beacon.module}.beacon"](list(beacon.config))
            found = [self._event(beacon, item) for item in _maps(returned)]
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a program of the operator's must not end the others
            return self._failed(beacon, f"{type(error).__name__}: {error}")
        beacon.failing = ""
        return found

    def _event(self, beacon: _Beacon, item: Mapping[str, Any]) -> dict[str, Any]:
        own = str(item.get("tag", ""))
        tag = f"salt/beacon/{self._node}/{beacon.name}/{own}"
        check_tag(tag)
        data = {key: value for key, value in item.items() if key != "tag"}
        return {"tag": tag, "data": plain({**data, "id": self._node}), "beacon_name": beacon.name}

    def _failed(self, beacon: _Beacon, reason: str) -> list[dict[str, Any]]:
        """Return Salt's event of a beacon that fails: one without data.  Said in the log once, until it works again."""
        if reason != beacon.failing:
            logger.error("the beacon %s fails: %s", beacon.name, reason)
            beacon.failing = reason
        return [{"tag": f"salt/beacon/{self._node}/{beacon.name}/", "data": {}, "beacon_name": beacon.name}]


def _maps(returned: object) -> list[Mapping[str, Any]]:
    if not isinstance(returned, list):
        raise InvalidData(f"a beacon returns a list of maps, not {type(returned).__name__}")
    items = cast("list[object]", returned)
    if not all(isinstance(item, Mapping) for item in items):
        raise InvalidData("a beacon returns a list of maps")
    return cast("list[Mapping[str, Any]]", items)
