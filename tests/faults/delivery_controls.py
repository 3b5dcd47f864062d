"""Safeguards of delivery taken out of a broker, for the negative controls of group B: see controls.py."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Callable
from typing import Any

import sylvite.broker.readers
import sylvite.broker.subscription
import sylvite.broker.thought
from sylvite.auth.policy import Policy
from sylvite.broker.broker import Broker
from sylvite.broker.connection import Connection
from sylvite.broker.intake import Intake
from sylvite.broker.readers import Readers
from sylvite.broker.selection import Selection
from sylvite.broker.server import Wire
from sylvite.broker.subscription import Subscription
from sylvite.core.event import Gap
from sylvite.core.predicate import Predicate
from sylvite.errors import SylviteError
from sylvite.eventlog.cursors import Cursor
from sylvite.eventlog.history import History
from sylvite.wire.messages import Publish, Start
from tests.faults.controls import replace

LISTENS_S, PAUSE_S = 5.0, 0.05
MUCH_AT_ONCE_BYTES, MUCH_BYTES = 16 * 1024, 256 * 1024


def _connections_are_kept() -> None:
    """Let a connection that is gone stay among the others."""

    def keep(_: Broker, connection: Connection) -> None:
        del connection

    replace(Broker, "leave", keep)


def _subscriptions_are_kept() -> None:
    """Let a subscription whose connection is gone go on waiting for events."""

    def keep(_: Readers, subscription: Subscription) -> None:
        subscription.closed = True
        subscription.live = False

    replace(Readers, "unsubscribe", keep)


def _live_out_of_order() -> None:
    """Give every second live subscription each two batches in the wrong order."""
    offer = Subscription.offer
    known: dict[Subscription, bool] = {}
    kept: dict[Subscription, tuple[Any, ...]] = {}

    def swap(subscription: Subscription, selection: Selection, *others: Any) -> None:
        is_swapped = known.setdefault(subscription, len(known) % 2 == 0)
        if is_swapped and subscription not in kept and selection.batch.tags != ["load/end"]:
            kept[subscription] = selection, *others
            return
        offer(subscription, selection, *others)
        if subscription in kept:
            offer(subscription, *kept.pop(subscription))

    replace(Subscription, "offer", swap)


def _no_resuming() -> None:
    """Let readers that come back begin with what comes from now on."""
    place = Readers.place

    def newest(readers: Readers, start: Start) -> tuple[int, Gap | None]:
        return place(readers, Start("newest") if start.at == "resume" else start)

    replace(Readers, "place", newest)


def _deaf_to_acknowledgements() -> None:
    def ignore(_: Readers, subscription: Subscription, offset: int) -> None:
        del subscription, offset

    replace(Readers, "advance", ignore)


def _done_when_delivered() -> None:
    """Let a cursor stand behind what was sent."""

    def at_what_was_sent(subscription: Subscription, history: History, owner: str, now_ns: int) -> Cursor:
        offset = subscription.told
        return Cursor(subscription.cursor_name, owner, history.epoch_before(offset), offset, now_ns)

    replace(Subscription, "cursor_at", at_what_was_sent)


def _any_epoch() -> None:
    """Believe the offset that a reader says it has come to."""

    def believe(history: History, epoch: int, offset: int) -> tuple[int, Gap | None]:
        del epoch
        return min(offset, history.end), None

    replace(History, "resume", believe)


def _a_condition_that_breaks() -> None:
    """Let the broker make a mistake over conditions that name `data.broken`.  No safeguard is taken out."""
    matches = Predicate.matches

    def break_some(predicate: Predicate, *arguments: Any) -> bool:
        if "data.broken" in predicate.text:
            raise ZeroDivisionError
        return matches(predicate, *arguments)

    replace(Predicate, "matches", break_some)


def _one_mistake_for_all() -> None:
    """Let a mistake over one subscription stop the broker."""
    _a_condition_that_breaks()

    def raise_it(_: Readers, subscription: Subscription, error: Exception) -> None:
        del subscription
        raise error

    replace(Readers, "_end", raise_it)


def _one_end_for_all() -> None:
    """Let whoever is refused take all other connections with it."""
    close = Connection.close

    def close_all(connection: Connection, goodbye: str | None = None) -> None:
        for each in list(connection.broker.connections):
            close(each, goodbye)
        close(connection, goodbye)

    def refuse_and_close(connection: Connection, what: str, ref: int, error: SylviteError) -> None:
        refuse(connection, what, ref, error)
        if what == "connection":
            close_all(connection)

    refuse = Connection.refuse
    replace(Connection, "refuse", refuse_and_close)


def _one_full_socket_for_all() -> None:
    """Bring a batch to nobody any more once one subscription could not take it."""
    offer = Subscription.offer
    over: set[int] = set()

    def stop_at_first(subscription: Subscription, selection: Selection, *others: Any) -> None:
        if id(selection) in over:
            return
        if not subscription.can_take():
            over.clear()
            over.add(id(selection))
        offer(subscription, selection, *others)

    replace(Subscription, "offer", stop_at_first)


def _no_turns() -> None:
    """Let the broker listen to one peer that says much for as long as it goes on."""
    buffer_updated = Wire.buffer_updated

    def listen_on(wire: Wire, nbytes: int) -> None:
        buffer_updated(wire, nbytes)
        transport: asyncio.BaseTransport | None = vars(wire)["_transport"]
        if transport is None or nbytes < MUCH_AT_ONCE_BYTES:
            return
        descriptor = transport.get_extra_info("socket").fileno()
        until = time.monotonic() + LISTENS_S
        while time.monotonic() < until and select.select([descriptor], [], [], PAUSE_S)[0]:
            data = os.read(descriptor, len(wire.get_buffer(0)))
            wire.get_buffer(0)[: len(data)] = data
            buffer_updated(wire, len(data))
            if not data:
                return

    replace(Wire, "buffer_updated", listen_on)


def _drops_at_level_none() -> None:
    """Let go of events that nobody waits for, while there is much to do."""
    take = Intake.take

    def take_or_drop(intake: Intake, connection: Connection, message: Publish, policy: Policy) -> None:
        if message.level or connection.broker.log.unsynced_bytes < MUCH_BYTES:
            take(intake, connection, message, policy)

    replace(Intake, "take", take_or_drop)


def _whatever_the_socket_takes() -> None:
    """Go on giving a socket what it does not take."""

    def go_on(_: Wire) -> None:
        pass

    replace(Wire, "pause_writing", go_on)


def _all_thoughts_in_the_loop() -> None:
    """Work out every condition where the sockets are looked at."""

    def free(*_: object) -> int:
        return 0

    for name in ("STEPS_AT_ONCE", "STEPS_OF_FLUSH"):
        replace(sylvite.broker.thought, name, 1 << 60)
    for module in (sylvite.broker.subscription, sylvite.broker.readers):
        replace(module, "STEPS_AT_ONCE", 1 << 60)
    replace(sylvite.broker.subscription, "price", free)


DELIVERY_CONTROLS: dict[str, Callable[[], None]] = {
    "forgetting connections": _connections_are_kept,
    "forgetting subscriptions": _subscriptions_are_kept,
    "one order": _live_out_of_order,
    "resuming": _no_resuming,
    "mistakes": _a_condition_that_breaks,
    "working out costly conditions elsewhere": _all_thoughts_in_the_loop,
    "guarding each subscription": _one_mistake_for_all,
    "ending one connection": _one_end_for_all,
    "going on behind a full socket": _one_full_socket_for_all,
    "waiting for a full socket": _whatever_the_socket_takes,
    "turns": _no_turns,
    "keeping what nobody waits for": _drops_at_level_none,
    "looking at epochs": _any_epoch,
    "hearing acknowledgements": _deaf_to_acknowledgements,
    "waiting for acknowledgements": _done_when_delivered,
}
