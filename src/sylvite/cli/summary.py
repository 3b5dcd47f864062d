"""Summary: data in a few words, for one line."""

from __future__ import annotations

from typing import Any, cast

from sylvite.cli.template import encode_json, printable

_BREAKS = frozenset(" =\"'{}[],")


def summarize(data: dict[str, Any]) -> str:
    """Return data as `key=value …`; a job's return as `state.apply  rc=2  1 of 14 states failed: nginx_conf`."""
    function = data.get("fun")
    if isinstance(function, str) and "return" in data:
        return _job_return(function, data)
    return " ".join(f"{printable(key)}={_show(value)}" for key, value in data.items() if key != "_stamp")


def _show(value: Any) -> str:
    if isinstance(value, str):
        if value and value.isprintable() and _BREAKS.isdisjoint(value):
            return value
        return printable(encode_json(value).decode())
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, float)):
        return str(value)
    return "null" if value is None else printable(encode_json(value).decode())


def _job_return(function: str, data: dict[str, Any]) -> str:
    parts = [printable(function)]
    if (code := data.get("retcode")) is not None:
        parts.append(f"rc={_show(code)}")
    result = data["return"]
    parts.append(_states(result) or _show(result))
    return "  ".join(parts)


def _states(result: object) -> str | None:
    """Count the states in what `state.apply` returns: `module_|-id_|-name_|-function` to a map with `result`."""
    if not isinstance(result, dict) or not result:
        return None
    states = cast("dict[Any, Any]", result)
    failed: list[str] = []
    for key, state in states.items():
        if not isinstance(key, str) or key.count("_|-") != 3 or not isinstance(state, dict):
            return None
        if cast("dict[Any, Any]", state).get("result") is False:
            failed.append(key.split("_|-")[1])
    if failed:
        return printable(f"{len(failed)} of {len(states)} states failed: {', '.join(failed)}")
    return f"{len(states)} states ok"
