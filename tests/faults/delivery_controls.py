"""Safeguards of delivery taken out of a broker, for the negative controls of group B: see controls.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sylvite.broker.broker import Broker
from sylvite.broker.connection import Connection
from sylvite.broker.readers import Readers
from sylvite.broker.selection import Selection
from sylvite.broker.subscription import Subscription
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


DELIVERY_CONTROLS: dict[str, Callable[[], None]] = {
    "forgetting connections": _connections_are_kept,
    "forgetting subscriptions": _subscriptions_are_kept,
    "one order": _live_out_of_order,
}
