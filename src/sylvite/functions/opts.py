"""Opts: what the options of a node mean to functions; they are in Salt's names, as `daemons/options/opts.py` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sylvite.client.address import bus_in


def has_master(opts: Mapping[str, Any]) -> bool:
    """Say whether events of this node go up to a master."""
    is_local = opts.get("local") or opts.get("file_client") == "local"
    return not (is_local and not opts.get("use_master_when_local")) and opts.get("master_type") != "disable"


def bus_of(opts: Mapping[str, Any]) -> str | None:
    """Return the address of this node's broker; None where the options do not say."""
    folder = opts.get("sock_dir")
    return bus_in(str(folder), opts.get("ipc_mode", "ipc")) if folder else None
