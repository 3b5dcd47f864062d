"""Tell of file systems that are fuller than they should be."""

from __future__ import annotations

import shutil
from typing import Any

from sylvite.functions.beacons_settings import OF_ALL, is_percent, joined, percent


def validate(config: Any) -> tuple[bool, str]:
    """Check the settings: a map of mount points to shares such as 63%."""
    limits = _limits(config)
    if not limits:
        return False, "diskusage: name at least one mount point with its limit: /: 90%"
    for mount, limit in limits.items():
        if not is_percent(limit):
            return False, f"diskusage: the limit of {mount} must be a share such as 63%, not {limit!r}"
    return True, "Valid beacon configuration"


def beacon(config: Any) -> list[dict[str, Any]]:
    """Return each mount point at or above its limit, with how full it is.  One that is not there is left out."""
    found: list[dict[str, Any]] = []
    for mount, limit in _limits(config).items():
        try:
            usage = shutil.disk_usage(mount)
        except OSError:
            continue
        # As `df` does: what is kept back for root is no room.
        room = usage.used + usage.free
        used = round(100 * usage.used / room, 1) if room else 0.0
        if used >= percent(limit):
            found.append({"diskusage": used, "mount": mount})
    return found


def _limits(config: Any) -> dict[str, Any]:
    return {name: value for name, value in joined(config).items() if name not in OF_ALL}
