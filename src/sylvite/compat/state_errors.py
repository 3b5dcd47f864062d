"""What a return of a state run says about states that have failed, as events (`SaltEvent.fire_ret_load`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, cast

from sylvite.compat.matching import tagify

SUB_EVENT = ("state.highstate", "state.sls")
log = logging.getLogger("salt.utils.event")


def errors_of_load(load: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield tag and data: for each state whose result is False, under an older tag and under that of the job."""
    if not load.get("retcode"):
        return
    functions, retcodes, returns = load["fun"], load["retcode"], load["return"]
    if not isinstance(functions, list):
        functions, retcodes, returns = [functions], [retcodes], [returns]
    for at, function in enumerate(cast("list[str]", functions)):
        retcode = _of(retcodes, at, function)
        if retcode and function in SUB_EVENT:
            yield from _failed_states(load, function, retcode, _of(returns, at, function))


def _of(values: Any, at: int, function: str) -> Any:
    """Return what belongs to one of several functions: they stand in a list, or under its name."""
    if isinstance(values, Mapping):
        return cast("Mapping[str, Any]", values).get(function)
    return values[at] if at < len(values) else None


def _failed_states(
    load: Mapping[str, Any], function: str, retcode: int, returned: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(returned, dict):
        log.error("Event with bad payload received from '%s': %s", load["id"], returned)
        return
    states = cast("dict[str, Any]", returned)
    if not all(isinstance(result, dict) for result in states.values()):
        log.error("Event with bad payload received from '%s': %s", load["id"], states)
        return
    for name, result in states.items():
        data = cast("dict[str, Any]", result)
        if data.get("result") is not False:
            continue
        parts = name.split("_|-")
        short = f"{parts[0]}.{parts[-1]}"
        data["retcode"] = retcode
        yield short, data
        data |= {"jid": load["jid"], "id": load["id"], "success": False, "return": f"Error: {short}", "fun": function}
        if "user" in load:
            data["user"] = load["user"]
        yield tagify([load["jid"], "sub", load["id"], "error", function], "job"), data
