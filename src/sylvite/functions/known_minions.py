"""Known minions: what the master of these options knows of its minions, for runners and wheel functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sylvite.jobs.minions import FILE, MinionRecord, read_minions


def records(opts: Mapping[str, Any]) -> list[MinionRecord]:
    """Return what is known of each; nothing where no minion was ever there.  Raises JobStoreFailed."""
    path = Path(opts["data_dir"]) / FILE
    if not path.exists():
        return []
    with read_minions(path) as reader:
        return list(reader.records())


def present(opts: Mapping[str, Any]) -> list[str]:
    """Return the ids of those that are connected.  Raises JobStoreFailed."""
    return sorted(record.id for record in records(opts) if record.is_present)
