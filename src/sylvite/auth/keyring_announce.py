"""Announcing: the events of the changes, on the bus, in order.

Several processes may do it: the master, and each `sylvite keys`.  One at a time does, and the others then find
nothing left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import Change

AT_ONCE = 100
LOCK = "announcing.lock"

Publish = Callable[[Sequence[tuple[str, dict[str, object]]]], object]
"""Publish events in order, and return once all of them are synced; raises where that is not certain."""


def announce(keyring: Keyring, publish: Publish) -> int:
    """Publish every event that is due, and return how many; then what was accepted counts.

    Where `publish` raises, the changes stay due and their events may come twice, each time in the same words.
    """
    announced = 0
    with keyring.folder.locked(LOCK):
        while changes := keyring.due(AT_ONCE):
            publish([(Change.TAG, change.data()) for change in changes])
            keyring.announced(changes[-1].number)
            announced += len(changes)
    return announced
