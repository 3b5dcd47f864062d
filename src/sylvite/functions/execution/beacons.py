"""Look at the beacons of this minion."""

# The names and signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from typing import Any

import yaml

from sylvite.functions.given import __beacons__, __opts__

__func_alias__ = {"list_": "list"}


def list_(return_yaml: bool = True, include_opts: bool = True) -> Any:
    """
    Return the beacons that are configured, as YAML or as a map.

    CLI Example:

        sylvite call beacons.list return_yaml=False
    """
    found: dict[str, Any] = __opts__.get("beacons", {}) if include_opts else {}
    return yaml.safe_dump({"beacons": found}, sort_keys=False) if return_yaml else found


def list_available(return_yaml: bool = True) -> Any:
    """
    Return the names of the beacons that there are, ours and your own.

    CLI Example:

        sylvite call beacons.list_available return_yaml=False
    """
    found = [name.partition(".")[0] for name in __beacons__ if name.endswith(".beacon")]
    return yaml.safe_dump({"beacons": found}) if return_yaml else found
