"""Safeguards taken out of the link, for its negative controls; and its waits made short.

Each control changes the process that it is called in; what it changes is put in place by `replace`, so that a test can
have it undone (`monkeypatch.setattr`).
"""

# pyright: reportPrivateUsage=false
# Safeguards are inside of what they guard.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from sylvite.auth import keyring_admission
from sylvite.auth.keyring_values import Identity
from sylvite.broker import broker
from sylvite.client import retry
from sylvite.errors import InvalidData
from sylvite.link import forwarding, gatekeeper, intake, master_end, minion_end, minion_session, minion_wire, patience
from sylvite.link.gate import Gate
from sylvite.link.intake import Intake
from sylvite.link.minion_end import MinionEnd
from sylvite.link.minion_session import Arrived, MinionSession
from sylvite.link.minion_wire import MinionWire
from sylvite.link.uplink import Uplink
from tests.faults.controls import replace

Replace = Callable[[object, str, object], None]
LATER_S = 0.1
GUEST_S = 0.2
HURRIED: dict[object, dict[str, object]] = {
    minion_end: {"BACK_OFF_S": (0.01, 0.05), "PING_S": 0.3, "SILENT_S": 2.0, "CONNECT_S": 3.0},
    master_end: {"LOOK_S": 0.05, "REPORT_S": 0.1, "PING_S": 0.4, "SILENT_S": 2.0, "BEATS_S": 0.1},
    intake: {"AGAIN_S": 0.05},
    gatekeeper: {"RETRY_S": 0.05, "SOON_S": 0.05},
    patience: {"TAKEN_OVER_S": 0.1},
    retry: {"MOST_S": 0.1},
    broker: {"CURSORS_EVERY_S": 0.05},
}


def hurry(put: Replace = replace) -> None:
    """Make the waits that are for people and far networks short."""
    for owner, waits in HURRIED.items():
        for name, value in waits.items():
            put(owner, name, value)


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
    """A master that says `Taken` when it has heard a load, and stores it a moment later."""
    arrive, store = MinionSession._arrive, Intake.store

    def answer_at_once(session: MinionSession, *arguments: Any) -> None:
        arrive(session, *arguments)
        session.taken(session.arrived[-1])

    async def store_later(here: Intake, who: Any, loads: list[Arrived]) -> None:
        await asyncio.sleep(LATER_S)
        await store(here, who, loads)

    put(MinionSession, "_arrive", answer_at_once)
    put(Intake, "store", store_later)


def another_source_each_time(put: Replace = replace) -> None:
    """A master that takes what comes on another connection for something else."""
    store = Intake.store

    async def store_anew(here: Intake, who: Any, loads: list[Arrived]) -> None:
        fresh = [load._replace(source_epoch=(load.source_epoch ^ id(loads)) >> 1) for load in loads]
        await store(here, who, fresh)

    put(Intake, "store", store_anew)


def another_source_and_late_answers() -> None:
    """As above; and few answers, so that much comes again."""
    another_source_each_time()
    taken, calls = MinionSession.taken, count()

    def seldom(session: MinionSession, arrived: Arrived) -> None:
        if next(calls) % 5 == 0:
            taken(session, arrived)

    replace(MinionSession, "taken", seldom)


def believe_ids(put: Replace = replace) -> None:
    """A master that lets a load say whose it is."""
    forward = forwarding.forward

    def forward_as_said(minion: str, load: Any, *arguments: Any) -> Any:
        return forward(str(load.get("id", minion)), load, *arguments)

    put(forwarding, "forward", forward_as_said)
    put(__import__("sylvite.link.minion_session", fromlist=["forward"]), "forward", forward_as_said)


def never_look_again(put: Replace = replace) -> None:
    """A master that looks at a key once, when its minion connects."""

    async def none(*_: object) -> list[Identity]:
        return []

    put(Gate, "ended", none)


def say_nothing_of_gaps(put: Replace = replace) -> None:
    """A minion that does not tell what its outbox had no room for."""

    def nothing(*_: object) -> None:
        return

    put(MinionEnd, "_missed", nothing)


def let_guests_wait(put: Replace = replace) -> None:
    """A master that takes its time between two who come in."""
    step = MinionWire.step

    def slow_step(wire: MinionWire) -> bool:
        time.sleep(GUEST_S)  # The whole end stands still, as it would in a handshake that takes so long.
        return step(wire)

    put(MinionWire, "step", slow_step)


def have_room_for_all(put: Replace = replace) -> None:
    """A keyring that takes whoever asks."""
    put(keyring_admission, "PENDING_MAX", 1 << 30)
    put(keyring_admission, "PENDING_PER_ADDRESS_MAX", 1 << 30)


def wait_for_handshakes(put: Replace = replace) -> None:
    """A master that waits for ever for who has shown nothing."""
    put(minion_wire, "HANDSHAKE_S", 1e6)
    put(minion_wire, "LATE_S", 1e6)


def give_up_what_is_refused(put: Replace = replace) -> None:
    """A master that tries once to store what its disk has no room for."""
    put(intake, "PASSING", ())


def be_upset_by_a_load(put: Replace = replace) -> None:
    """A master for which a load that it cannot read is an accident."""
    unpack = minion_session.unpack_data

    def upset(*arguments: Any) -> Any:
        try:
            return unpack(*arguments)
        except InvalidData as error:
            raise TimeoutError(str(error)) from error

    put(minion_session, "unpack_data", upset)


LINK_CONTROLS: dict[str, Callable[[], None]] = {
    "saying again": believe_what_is_said,
    "storing before answering": answer_before_it_is_stored,
    "one source for each outbox": another_source_and_late_answers,
    "telling of gaps": say_nothing_of_gaps,
    "trying again": give_up_what_is_refused,
    "refusing a load alone": be_upset_by_a_load,
    "no pause between two guests": let_guests_wait,
    "limits of who waits": have_room_for_all,
    "deadlines of handshakes": wait_for_handshakes,
}
