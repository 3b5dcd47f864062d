"""The arguments of `create_node`, from a profile: looked up, checked, and told without secrets."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import msgspec

from sylvite.cloud.files import read_own
from sylvite.cloud.library import library
from sylvite.cloud.names import LISTED, LISTED_OF_OPENSTACK, PROFILE_KEYS, SEVERAL
from sylvite.cloud.secret import HIDDEN, Secret
from sylvite.cloud.settings import Profile
from sylvite.errors import InvalidSetting

SHOWN_MAX = 8


class Request(msgspec.Struct, frozen=True):
    """What a driver is asked for.  `told`: the same, in plain values; `location`: its name, None for the provider's choice."""

    arguments: dict[str, Any]
    told: dict[str, Any]
    location: str | None


class _Taken:
    """What `create_node` of a driver takes."""

    def __init__(self, driver: Any) -> None:
        parameters = inspect.signature(driver.create_node).parameters.values()
        self.names = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        self.needed = {one.name for one in parameters if one.default is one.empty and one.name in self.names}
        self.is_open = any(one.kind is one.VAR_KEYWORD for one in parameters)

    def takes(self, name: str) -> bool:
        return name in self.names or self.is_open


def request_for(driver: Any, name: str, profile: Profile) -> Request:
    """Return the request.  `driver`: libcloud's.

    Raises:
        InvalidSetting: the profile lacks something, or says what is not known at the provider or to the driver.
        Whatever the driver raises.
    """
    taken = _Taken(driver)
    machine, place = profile.machine, profile.place
    request: dict[str, Any] = {"name": name}
    told: dict[str, Any] = {"name": name}
    location = None
    for key, wanted, listed in (
        ("size", machine.size, lambda: driver.list_sizes()),
        ("image", machine.image, lambda: _images(driver, str(machine.image))),
        ("location", machine.location, lambda: driver.list_locations()),
    ):
        if wanted is None:
            if key in taken.needed:
                raise InvalidSetting(f"{place}.{key}", None, f"is needed by the driver {profile.provider.driver}")
        elif not taken.takes(key):
            raise InvalidSetting(
                f"{place}.{key}", wanted, f"is nothing that the driver {profile.provider.driver} takes"
            )
        else:
            found = _find(listed(), str(wanted), f"{place}.{key}")
            request[key] = found
            told[key] = str(found.name or found.id)
    location = told.pop("location", None)
    _authentication(request, told, taken, profile)
    for key, value in profile.arguments.items():
        target = _target(key, taken, profile)
        request[target] = _value(driver, target, value, f"{place}.{key}")
        told[target] = value
    if machine.userdata_file is not None:
        target = _target("userdata", taken, profile)
        content = read_own(Path(machine.userdata_file).expanduser(), f"{place}.userdata_file").content
        request[target], told[target] = Secret(content.decode()), HIDDEN
    missing = taken.needed - set(request)
    if missing:
        raise InvalidSetting(f"{place}.{min(missing)}", None, f"is needed by the driver {profile.provider.driver}")
    return Request(request, told, location)


def _target(key: str, taken: _Taken, profile: Profile) -> str:
    for name in (key, PROFILE_KEYS.get(key, key)):
        if taken.takes(name) and name not in ("name", "size", "image", "location", "auth"):
            return name
    close = difflib.get_close_matches(key, taken.names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InvalidSetting(
        f"{profile.place}.{key}", HIDDEN,
        f"is neither a setting nor an argument of the driver {profile.provider.driver}{hint}",
    )  # fmt: skip


def _authentication(request: dict[str, Any], told: dict[str, Any], taken: _Taken, profile: Profile) -> None:
    machine = profile.machine
    if machine.ssh_public_key is None and machine.password is None:
        return
    key = "ssh_public_key" if machine.password is None else "password"
    if not taken.takes("auth"):
        raise InvalidSetting(
            f"{profile.place}.{key}", HIDDEN, f"is nothing that the driver {profile.provider.driver} takes"
        )
    base = library("compute.base")
    if machine.password is not None:
        request["auth"] = base.NodeAuthPassword(machine.password.reveal())
    elif machine.ssh_public_key is not None:
        path = Path(machine.ssh_public_key).expanduser()
        content = read_own(path, f"{profile.place}.ssh_public_key").content
        request["auth"] = base.NodeAuthSSHKey(content.decode().strip())
    told["auth"] = key


def _value(driver: Any, target: str, value: Any, setting: str) -> Any:
    """Return the value, or the objects of the driver that it names."""
    if target in SEVERAL:
        value = cast("list[Any]", value) if isinstance(value, list) else [value]
    listing = LISTED.get(target) or (LISTED_OF_OPENSTACK.get(target) if _is_openstack(driver) else None)
    if listing is None or not hasattr(driver, listing):
        return value
    known = getattr(driver, listing)()
    if isinstance(value, list):
        return [_find(known, str(one), setting) for one in cast("list[Any]", value)]
    return _find(known, str(value), setting)


def _is_openstack(driver: Any) -> bool:
    return any(base.__name__ == "OpenStackNodeDriver" for base in type(driver).__mro__)


def _images(driver: Any, wanted: str) -> Iterable[Any]:
    """Return the images among which one is looked for: all, or just that one where all are too many to ask for."""
    many = any(
        base.__name__ in ("BaseEC2NodeDriver", "GCENodeDriver", "AzureNodeDriver") for base in type(driver).__mro__
    )
    one: Callable[[str], Any] | None = getattr(driver, "ex_get_image", None) or getattr(driver, "get_image", None)
    if many and one is not None:
        found = one(wanted)
        return [found] if found is not None else []
    return driver.list_images()


def _find(listed: Iterable[Any], wanted: str, setting: str) -> Any:
    """Return what has that id, else the one thing that has that name."""
    known = list(listed)
    for one in known:
        if str(one.id) == wanted:
            return one
    named = [one for one in known if str(one.name) == wanted]
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(str(one.id) for one in named[:SHOWN_MAX])
        raise InvalidSetting(setting, wanted, f"is the name of {len(named)}: write the id of one: {ids}")
    names = [str(one.name) for one in known]
    close = difflib.get_close_matches(wanted, names, 1)
    shown = ", ".join(names[:SHOWN_MAX]) + (", ..." if len(names) > SHOWN_MAX else "")
    hint = f"did you mean {close[0]!r}?" if close else f"there are {shown}" if names else "there is none"
    raise InvalidSetting(setting, wanted, f"is not known at the provider; {hint}")
