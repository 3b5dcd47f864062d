"""Look at what is known of this machine, and add to it."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from sylvite.functions.data import plain
from sylvite.functions.given import __grains__, __opts__, __salt__
from sylvite.functions.grains_file import NAME, change_grains
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


def equals(key: str, value: Any) -> bool:
    """
    Say whether a grain has that value.

    CLI Example:

        sylvite call grains.equals os Debian
    """
    return str(value) == str(get_path(__grains__, key, None, ":"))


def filter_by(
    lookup_dict: Mapping[str, Any],
    grain: str = "os_family",
    merge: Mapping[str, Any] | None = None,
    default: str = "default",
    base: str | None = None,
) -> Any:
    """
    Return what a map says for the value of a grain.

    lookup_dict
        By value of the grain, or a shell pattern for it.
    merge
        A map whose values are put over what was found.
    default
        The key to take where none fits.
    base
        The key whose map lies below what was found.

    CLI Example:

        sylvite call grains.filter_by '{Debian: apt, RedHat: dnf, default: none}'
    """
    said = get_path(__grains__, grain, default, ":")
    values = [str(each) for each in (cast("list[Any]", said) if isinstance(said, list) else [said])]
    fitting = [key for value in values for key in lookup_dict if fnmatchcase(value, key)]
    found: Any = lookup_dict.get(fitting[0] if fitting else default)
    if base is not None:
        found = _over(lookup_dict.get(base), found)
    return _over(found, merge) if merge else found


def _over(below: Any, above: Any) -> Any:
    """Return one map put over another; what is none gives way to the other."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return cast("object", below if above is None else above)
    return {**cast("Mapping[str, Any]", below), **cast("Mapping[str, Any]", above)}


# -- Grains that are kept ----------------------------------------------------------------------------------------------


def setval(key: str, val: Any, destructive: bool = False) -> dict[str, Any]:
    """
    Keep a grain, and return it. It counts at once; the minion is told.

    destructive
        With null as the value: forget the grain.

    CLI Example:

        sylvite call grains.setval role web
        sylvite call grains.setval owner '{team: ops, phone: 4711}'
    """
    return setvals({key: val}, destructive)


def setvals(grains: Mapping[str, Any], destructive: bool = False) -> dict[str, Any]:
    """
    Keep several grains, and return them.

    CLI Example:

        sylvite call grains.setvals '{role: web, rack: 7}'
    """
    if not isinstance(grains, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - it comes from a command line
        raise TypeError(f"grains must be a map of grains and their values, not {grains!r}")
    new = {str(name): plain(value) for name, value in grains.items()}

    def change(kept: dict[str, Any]) -> None:
        for known in (kept, __grains__):
            for name, value in new.items():
                if value is None and destructive:
                    known.pop(name, None)
                else:
                    known[name] = value

    change_grains(Path(__opts__["config_dir"]) / NAME, change)
    if not __opts__.get("local"):
        __salt__["saltutil.refresh_grains"]()
    return new


def append(key: str, val: Any, convert: bool = False, delimiter: str = ":") -> dict[str, Any] | str:
    """
    Put a value at the end of a grain that is a list, and return the grain.

    convert
        Make a list of a grain that is none.

    CLI Example:

        sylvite call grains.append roles web
    """
    found = get_path(__grains__, key, [], delimiter)
    if not isinstance(found, list):
        if not convert:
            return f"The key {key} is not a valid list"
        found = [found]
    values = cast("list[Any]", found)
    if val in values:
        return f"The val {val} was already in the list {key}"
    return _set_within(key, [*values, val], delimiter)


def remove(key: str, val: Any, delimiter: str = ":") -> dict[str, Any] | str:
    """
    Take a value out of a grain that is a list, and return the grain.

    CLI Example:

        sylvite call grains.remove roles web
    """
    found = get_path(__grains__, key, [], delimiter)
    if not isinstance(found, list):
        return f"The key {key} is not a valid list"
    values = cast("list[Any]", found)
    if val not in values:
        return f"The val {val} was not in the list {key}"
    return _set_within(key, [each for each in values if each != val], delimiter)


def delval(key: str, destructive: bool = False) -> dict[str, Any]:
    """
    Make null of a grain that is kept.

    destructive
        Forget the grain altogether.

    CLI Example:

        sylvite call grains.delval role
    """
    return setval(key, None, destructive)


def delkey(key: str) -> dict[str, Any]:
    """
    Forget a grain that is kept.

    CLI Example:

        sylvite call grains.delkey role
    """
    return setval(key, None, True)


def _set_within(key: str, value: Any, delimiter: str) -> dict[str, Any]:
    """Keep a value that may stand further in: `a:b` is `b` of the map `a`."""
    while delimiter in key:
        key, _, last = key.rpartition(delimiter)
        around = get_path(__grains__, key, {}, delimiter)
        if not isinstance(around, Mapping):
            raise TypeError(f"the grain {key} is no map, so that {last} cannot stand in it")
        value = {**cast("Mapping[str, Any]", around), last: value}
    return setval(key, value)
