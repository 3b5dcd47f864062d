"""Look at what is known of this machine."""

from __future__ import annotations

from typing import Any

from sylvite.functions.given import __grains__
from sylvite.functions.paths import get_path


def items(*, sanitize: bool = False) -> dict[str, Any]:
    """
    Return all grains.

    sanitize
        Leave out those that could tell one machine from another.

    CLI Example:

        sylvite call grains.items
    """
    if not sanitize:
        return dict(__grains__)
    hidden = ("serialnumber", "domain", "fqdn", "id", "host", "localhost", "nodename", "machine_id")
    return {name: "MINION" if name in hidden else value for name, value in __grains__.items()}


def item(*args: str, default: Any = "", delimiter: str = ":") -> dict[str, Any]:
    """
    Return some grains, by name; one further in as os:name.

    CLI Example:

        sylvite call grains.item os osrelease
    """
    return {name: get_path(__grains__, name, default, delimiter) for name in args}


def get(key: str, default: Any = "", delimiter: str = ":") -> Any:
    """
    Return one grain, or the default.

    CLI Example:

        sylvite call grains.get ip4_interfaces:lo
    """
    return get_path(__grains__, key, default, delimiter)


def keys() -> list[str]:
    """
    Return the names of the grains.

    CLI Example:

        sylvite call grains.keys
    """
    return sorted(__grains__)


def ls() -> list[str]:
    """
    Return the names of the grains.

    CLI Example:

        sylvite call grains.ls
    """
    return sorted(__grains__)


def has_value(key: str) -> bool:
    """
    Say whether a grain is there and has a value.

    CLI Example:

        sylvite call grains.has_value os
    """
    return bool(get_path(__grains__, key, None, ":"))
