"""Safeguards taken out of a bridge, for the negative controls: `python -m tests.faults.cluster_controls NAME ARGUMENTS`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from sylvite.cli.main import main
from sylvite.cluster import audit, claim, down, incoming, outgoing, up
from sylvite.cluster.carried import Carried, Forged, Place
from sylvite.cluster.incoming import Verdict
from sylvite.core.batch import Batch
from sylvite.errors import RemoteProtocolError


def _replace(owner: object, name: str, by: object) -> None:
    setattr(owner, name, by)


def _no_audit() -> None:
    """Look neither now and then nor as a session begins."""

    async def never(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    async def nothing(*_: object) -> bool:
        return False

    _replace(audit.Audit, "run", never)
    _replace(up.Up, "_find_lost", nothing)


def _no_confirmations() -> None:
    """Take what was sent for what is there."""
    _no_audit()
    take = outgoing.Outgoing.take

    def take_for_sent(out: outgoing.Outgoing, batch: Batch) -> object:
        if (message := take(out, batch)) is not None:
            out.confirm(message.number)
        return message

    _replace(outgoing.Outgoing, "take", take_for_sent)


def _trust_in_messages() -> None:
    """Take every message for what it says that it is."""

    def believe(_: str, data: bytes) -> Carried:
        try:
            head = data.index(b"SyB1")
            return Carried(data[21:head].decode(), Place(0, 0), Batch(data[head:]))
        except (ValueError, RemoteProtocolError) as error:
            raise Forged(str(error)) from error

    _replace(down, "decode", believe)


def _no_bound_of_memory() -> None:
    def always(_: object) -> bool:
        return True

    _replace(outgoing.Outgoing, "has_room", always)


def _no_look_at_what_was_before() -> None:
    def take(self: incoming.Incoming, carried: Carried, now_s: float, **_: Any) -> Verdict:
        return Verdict.TAKE if carried.node != self._node else Verdict.OWN  # type: ignore[reportPrivateUsage] - a control

    _replace(incoming.Incoming, "judge", take)


def _no_claim() -> None:
    async def nothing(*_: object) -> None:
        await asyncio.sleep(0)

    async def never(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    _replace(claim.Claiming, "take", nothing)
    _replace(claim.Claiming, "keep", never)


CONTROLS: dict[str, Callable[[], None]] = {
    "confirmations": _no_confirmations,
    "the audit": _no_audit,
    "checks of what a message says": _trust_in_messages,
    "the window": _no_bound_of_memory,
    "the claim": _no_claim,
    "places": _no_look_at_what_was_before,
}

if __name__ == "__main__":
    CONTROLS[sys.argv.pop(1)]()
    sys.exit(main())
