"""Look at the configuration."""

from __future__ import annotations

from typing import Any

from sylvite.functions.given import __grains__, __opts__, __pillar__
from sylvite.functions.paths import get_path

_MISSING = object()


def get(key: str, default: Any = "", delimiter: str = ":") -> Any:
    """
    Return a value of the configuration, else of the grains, else of the pillar.

    CLI Example:

        sylvite call config.get file_roots:base
    """
    for source in (__opts__, __grains__, __pillar__):
        found = get_path(source, key, _MISSING, delimiter)
        if found is not _MISSING:
            return found
    return default


def option(key: str, default: Any = "") -> Any:
    """
    Return a value of the configuration, or else of the pillar, by its whole name.

    CLI Example:

        sylvite call config.option id
    """
    for source in (__opts__, __pillar__):
        if key in source:
            return source[key]
    return default
