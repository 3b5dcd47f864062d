"""How far an event must have got before its publisher hears of it."""

from __future__ import annotations

from enum import IntEnum

from sylvite.errors import InvalidSetting


class Level(IntEnum):
    """What an acknowledged event survives.  Ordered: a higher level includes the lower ones."""

    NONE = 0
    """Nothing: no answer is waited for.  The broker says when it had to give such events up."""
    WRITTEN = 1
    """The death of the broker."""
    SYNCED = 2
    """Power loss of the node."""
    REPLICATED = 3
    """Loss of the node: needs a cluster."""

    @classmethod
    def named(cls, name: str) -> Level:
        """Raises InvalidSetting: no such level."""
        try:
            return cls[name.upper()]
        except KeyError:
            known = ", ".join(level.name.lower() for level in cls)
            raise InvalidSetting("level", name, f"is not a level; there are {known}") from None


BY_POLICY = 255
"""Asks the broker for the level that its policy has for the tag."""
