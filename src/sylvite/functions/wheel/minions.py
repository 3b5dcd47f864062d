"""Look at minions."""

from __future__ import annotations

from sylvite.functions.given import __opts__
from sylvite.functions.known_minions import present


def connected() -> list[str]:
    """
    Return the ids of the minions that are connected.

    CLI Example:

        sylvite wheel minions.connected
    """
    return present(__opts__)
