"""Safeguards of delivery taken out of a broker, for the negative controls of group B: see controls.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sylvite.broker.broker import Broker
from sylvite.broker.connection import Connection
from sylvite.broker.readers import Readers
from sylvite.broker.selection import Selection
from sylvite.broker.subscription import Subscription
from sylvite.core.event import Gap
from sylvite.eventlog.cursors import Cursor
from sylvite.eventlog.history import History
from sylvite.wire.messages import Start
from tests.faults.controls import replace


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


DELIVERY_CONTROLS: dict[str, Callable[[], None]] = {
    "forgetting connections": _connections_are_kept,
    "forgetting subscriptions": _subscriptions_are_kept,
    "one order": _live_out_of_order,
    "resuming": _no_resuming,
    "looking at epochs": _any_epoch,
    "hearing acknowledgements": _deaf_to_acknowledgements,
    "waiting for acknowledgements": _done_when_delivered,
}
