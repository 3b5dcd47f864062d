"""Maps: files that name machines, each below its profile, as salt-cloud has them.

    small:
      - web1
      - web2:
          size: Big
          minion: {grains: {role: web}}
    big:
      db1: {}

What stands with a machine wins over its profile; maps within, such as `minion`, are joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from sylvite.cloud.files import read_own
from sylvite.cloud.machine import check_name
from sylvite.cloud.secret import HIDDEN
from sylvite.config import read_yaml
from sylvite.errors import InvalidInput, InvalidSetting

MACHINES_MAX = 10_000


class Mapped(NamedTuple):
    """A machine of a map.  `more`: what it is to have beside its profile, or in the place of that."""

    name: str
    profile: str
    more: Mapping[str, Any]
    place: str

    @property
    def key(self) -> str:
        """What its settings are found under, beside the profiles of the files: no profile is called so by accident."""
        return f"{self.profile} of {self.name}" if self.more else self.profile


def read_map(path: Path) -> list[Mapped]:
    """Return the machines of a map, in its order.

    Raises:
        InvalidSetting: the file cannot be read, is not safe, or is no map.
    """
    found: Any = read_yaml(read_own(path, "map").content, str(path))
    if not isinstance(found, dict) or not found:
        raise InvalidSetting("map", str(path), "must name machines below their profiles")
    machines: dict[str, Mapped] = {}
    for profile, said in cast("dict[Any, Any]", found).items():
        for name, more in _machines(said, f"{path}: {profile}"):
            place = f"{path}: {profile}.{name}"
            try:
                check_name(name)
            except InvalidInput as error:
                raise InvalidSetting(place, name, str(error)) from error
            if name in machines:
                raise InvalidSetting(place, name, f"is there already, at {machines[name].place}")
            machines[name] = Mapped(name, str(profile), more, place)
    if len(machines) > MACHINES_MAX:
        raise InvalidSetting("map", str(path), f"names {len(machines)} machines; there may be {MACHINES_MAX}")
    return list(machines.values())


def _machines(said: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for each in cast("list[Any]", said) if isinstance(said, list) else [said]:
        if isinstance(each, dict):
            for name, more in cast("dict[Any, Any]", each).items():
                if not isinstance(more, dict | None):
                    raise InvalidSetting(f"{place}.{name}", HIDDEN, "must be a map of settings")
                yield str(name), cast("dict[str, Any]", more or {})
        elif isinstance(each, str | int) and not isinstance(each, bool):
            yield str(each), {}
        else:
            raise InvalidSetting(place, HIDDEN, "must be a list of names, each alone or with a map of settings")


def joined(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return both; what is in `more` wins, and maps that are in both are joined."""
    found = dict(base)
    for name, value in more.items():
        former = found.get(name)
        if isinstance(former, Mapping) and isinstance(value, Mapping):
            found[name] = joined(cast("Mapping[str, Any]", former), cast("Mapping[str, Any]", value))
        else:
            found[name] = value
    return found
