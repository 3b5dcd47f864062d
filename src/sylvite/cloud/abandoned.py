"""What earlier runs have left unsaid: they were killed, or the bus was away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sylvite.cloud.errors import Interrupted
from sylvite.cloud.events import Announcer
from sylvite.cloud.ledger import Ledger, Unfinished

ENDED = "the process that created it has ended"


def tell_abandoned(ledger: Ledger, announcer: Callable[[str], Announcer]) -> list[Unfinished]:
    """Say what became of each machine that nobody is at any more, once; return them.

    Raises:
        SylviteError: as the announcer; what was not said is said the next time.
    """
    told: list[Unfinished] = []
    for one in ledger.unfinished():
        if one.told or one.goes_on:
            continue
        identity: dict[str, Any] = {
            "name": one.name, "profile": one.profile, "provider": one.provider, "driver": one.driver,
        }  # fmt: skip
        if one.step == "created":
            announcer(one.name).say("created", **identity, instance_id=one.instance_id)
            ledger.settle(one.provider, one.name)
        else:
            left = left_of(one)
            fields: dict[str, Any] = {
                "step": one.step,
                "code": Interrupted.code,
                "reason": one.reason or ENDED,
                "left": left,
            }
            if one.instance_id is not None:
                fields["instance_id"] = one.instance_id
            announcer(one.name).say("failed", **identity, **fields)
            ledger.told(one.provider, one.name)
            if left is False:
                ledger.settle(one.provider, one.name)
        told.append(one)
    return told


def left_of(one: Unfinished) -> bool | None:
    """Say whether there is a machine at the provider; None: nobody knows."""
    if one.reason:
        return one.left
    if one.instance_id is not None:
        return True
    return False if one.step == "creating" else None
