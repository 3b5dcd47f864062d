"""Clouds: machines at providers for runners, each step an event on the bus of the master."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sylvite.cloud.cloud import Cloud
from sylvite.cloud.files import state_folder
from sylvite.cloud.machine import Machine
from sylvite.cloud.maps import Mapped
from sylvite.cloud.reading import read_settings
from sylvite.functions.context import Bus

ByProvider = dict[str, dict[str, dict[str, Any]]]
"""By provider, driver, and name: salt-cloud's shape."""


@contextlib.contextmanager
def opened(
    opts: Mapping[str, Any],
    bus: Bus,
    more: Mapping[str, Mapping[str, Any]] | None = None,
    mapped: Sequence[Mapped] = (),
) -> Generator[Cloud]:
    """Open the clouds that are configured beside the options.  `more`: profiles that are in no file; `mapped`: machines of a map.

    Raises:
        InvalidSetting: the configuration is wrong.
    """
    settings = read_settings(Path(opts["config_dir"]), more, mapped)
    with Cloud(settings, state_folder(), bus.fire) as cloud:
        cloud.tell_abandoned()
        yield cloud


def names_of(instances: str | Iterable[str] | None) -> list[str]:
    """Return names as runners take them: a list, or a text with commas."""
    listed = instances.split(",") if isinstance(instances, str) else list(instances or ())
    return [name for name in (str(each).strip() for each in listed) if name]


def by_provider(machines: Iterable[Machine], value: Any = None) -> ByProvider:
    """Return machines in salt-cloud's shape.  `value`: what stands for each; None: what is known of it."""
    found: ByProvider = {}
    for machine in machines:
        place = found.setdefault(machine.provider, {}).setdefault(machine.driver, {})
        place[machine.name] = machine.facts() if value is None else value
    return found
