"""Look at minions."""

from __future__ import annotations

from sylvite.functions import master
from sylvite.functions.given import __opts__


def connected() -> list[str]:
    """
    Return the ids of the minions that are connected.

    CLI Example:

        sylvite wheel minions.connected
    """
    return sorted(master.present(__opts__))
