"""Safeguards taken out of the link, for its negative controls; and its waits made short.

Each control changes the process that it is called in; what it changes is put in place by `replace`, so that a test can
have it undone (`monkeypatch.setattr`).
"""

# pyright: reportPrivateUsage=false
# Safeguards are inside of what they guard.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sylvite.link import forwarding, gatekeeper, master_end, minion_end
from sylvite.link.gatekeeper import Gatekeeper
from sylvite.link.master_end import MasterEnd
from sylvite.link.minion_session import Arrived, MinionSession
from sylvite.link.uplink import Uplink
from tests.faults.controls import replace

Replace = Callable[[object, str, object], None]


def hurry(put: Replace = replace) -> None:
    """Make the waits that are for people and far networks short."""
    put(minion_end, "BACK_OFF_S", (0.01, 0.05))
    put(minion_end, "PING_S", 0.1)
    put(minion_end, "SILENT_S", 0.5)
    put(minion_end, "CONNECT_S", 1.0)
    put(master_end, "LOOK_S", 0.05)
    put(master_end, "ALIVE_S", 0.1)
    put(master_end, "AGAIN_S", 0.05)
    put(gatekeeper, "RETRY_S", 0.05)
    put(gatekeeper, "SOON_S", 0.05)


def believe_what_is_said(put: Replace = replace) -> None:
    """An uplink that takes what it has said for taken."""
    say_loads = Uplink._say_loads

    def say_and_forget(uplink: Uplink) -> None:
        say_loads(uplink)
        while uplink._said:
            uplink.done = uplink._open.popleft()
            uplink._open_bytes -= len(uplink.done.packed)
            uplink._said -= 1

    put(Uplink, "_say_loads", say_and_forget)


def answer_before_it_is_stored(put: Replace = replace) -> None:
    """A master that says `Taken` when it has heard a load."""
    arrive = MinionSession._arrive

    def answer_at_once(session: MinionSession, *arguments: Any) -> None:
        arrive(session, *arguments)
        session.taken(session.arrived[-1])

    put(MinionSession, "_arrive", answer_at_once)


def another_source_each_time(put: Replace = replace) -> None:
    """A master that takes what comes on another connection for something else."""
    store = MasterEnd.store

    async def store_anew(end: MasterEnd, who: Any, loads: list[Arrived]) -> None:
        fresh = [load._replace(source_epoch=(load.source_epoch ^ id(end) ^ id(loads)) >> 1) for load in loads]
        await store(end, who, fresh)

    put(MasterEnd, "store", store_anew)


def believe_ids(put: Replace = replace) -> None:
    """A master that lets a load say whose it is."""
    forward = forwarding.forward

    def forward_as_said(minion: str, load: Any, *arguments: Any) -> Any:
        return forward(str(load.get("id", minion)), load, *arguments)

    put(forwarding, "forward", forward_as_said)
    put(__import__("sylvite.link.minion_session", fromlist=["forward"]), "forward", forward_as_said)


def never_look_again(put: Replace = replace) -> None:
    """A master that looks at a key once, when it connects."""

    def counts(*_: object) -> bool:
        return True

    put(Gatekeeper, "still_counts", counts)


LINK_CONTROLS: dict[str, Callable[[], None]] = {
    "saying again": believe_what_is_said,
    "storing before answering": answer_before_it_is_stored,
    "one source for each outbox": another_source_each_time,
}
