"""Tell when little memory is left."""

from __future__ import annotations

from typing import Any

from sylvite.functions.beacons_settings import is_percent, joined, percent, read_meminfo


def validate(config: Any) -> tuple[bool, str]:
    """Check the settings: `percent`, a share such as 63%."""
    if not is_percent(joined(config).get("percent")):
        return False, "Configuration for memusage beacon requires percent: a share such as 63%"
    return True, "Valid beacon configuration"


def beacon(config: Any) -> list[dict[str, Any]]:
    """Return the share of the memory that is in use, if it is at or above the limit."""
    found = read_meminfo()
    total = found.get("MemTotal", 0)
    if not total:
        return []
    used = round(100 * (total - found.get("MemAvailable", 0)) / total, 1)
    return [{"memusage": used}] if used >= percent(joined(config)["percent"]) else []
