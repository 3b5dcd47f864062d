"""Returning: what a function returned, as an event can carry it."""

from __future__ import annotations

from typing import Any

from sylvite.errors import EventTooBig, InvalidData
from sylvite.functions.context import Bus
from sylvite.functions.data import plain

TRIMMED = "VALUE_TRIMMED"
"""The word that Salt puts in the place of what does not fit into an event."""


def shown(value: Any) -> Any:
    """Return the value, or what Python writes for it: that it cannot travel must not undo that it succeeded."""
    try:
        return plain(value)
    except InvalidData:
        return repr(value)


def fire_return(bus: Bus, tag: str, data: dict[str, Any]) -> None:
    """Fire an event with a `return`; one that is too big is told without it.  Raises SylviteError: as `Bus.fire`."""
    data["return"] = shown(data["return"])
    try:
        bus.fire(tag, data)
    except EventTooBig:
        bus.fire(tag, {**data, "return": TRIMMED})
