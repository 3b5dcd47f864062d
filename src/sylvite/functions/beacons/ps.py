"""Tell of processes that run, or do not, as they should."""

from __future__ import annotations

import os
from typing import Any

from sylvite.functions.beacons_settings import joined


def validate(config: Any) -> tuple[bool, str]:
    """Check the settings: `processes`, a map of names to running or stopped."""
    processes = joined(config).get("processes")
    if not isinstance(processes, dict) or not processes:
        return False, "Configuration for ps beacon requires processes: {salt-master: running}"
    for name, state in processes.items():  # pyright: ignore[reportUnknownVariableType] - from a file of settings
        if str(state).lower() not in ("running", "stopped"):  # pyright: ignore[reportUnknownArgumentType] - as above
            return False, f"ps: {name} must be running or stopped"
    return True, "Valid beacon configuration"


def beacon(config: Any) -> list[dict[str, Any]]:
    """Return each process whose state is the one that was asked for, as Salt's does."""
    running = _names()
    found: list[dict[str, Any]] = []
    for name, state in joined(config)["processes"].items():
        is_there = name in running
        if is_there == (str(state).lower() == "running"):
            found.append({name: "Running" if is_there else "Stopped"})
    return found


def _names() -> set[str]:
    """Return the names of all programs that run."""
    found: set[str] = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                status = file.read()
        except OSError:
            continue  # It has ended meanwhile.
        # The name stands in brackets, and may hold some itself.
        found.add(status[status.index(b"(") + 1 : status.rindex(b")")].decode(errors="replace"))
    return found
