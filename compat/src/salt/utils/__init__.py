"""Thin: see `sylvite.compat`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PARTS = ("args", "event", "files", "jid", "json", "minions", "platform", "stringutils", "yaml")


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"salt.utils.{name}")
    raise AttributeError(f"module 'salt.utils' has no attribute {name!r}")
