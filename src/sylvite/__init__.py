"""Sylvite: an event bus for infrastructure, durable and replayable.

    from sylvite import Client

    with Client.connect() as bus:
        bus.publish("myco/deploy/done", {"version": "1.4.2"})

docs/python.md shows the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sylvite.client.sync_client import Client, Publisher, Subscription
from sylvite.client.ticket import Published
from sylvite.core.event import Event, Gap, Offset, Position
from sylvite.core.level import Level
from sylvite.errors import (
    AckTimeout,
    AckUnknown,
    BrokerNotReachable,
    ConnectionLost,
    CursorInUse,
    DiskFull,
    DurabilityUnknown,
    EventsMissed,
    EventTooBig,
    InvalidData,
    InvalidExpression,
    InvalidPattern,
    InvalidSetting,
    InvalidTag,
    NoSuchOffset,
    NotAllowed,
    NotAuthenticated,
    OffsetGone,
    SylviteError,
    WaitTimeout,
)
from sylvite.version import __version__

if TYPE_CHECKING:
    from sylvite.client.async_client import AsyncClient, AsyncPublisher, AsyncSubscription

__all__ = [
    "AckTimeout",
    "AckUnknown",
    "AsyncClient",
    "AsyncPublisher",
    "AsyncSubscription",
    "BrokerNotReachable",
    "Client",
    "ConnectionLost",
    "CursorInUse",
    "DiskFull",
    "DurabilityUnknown",
    "Event",
    "EventTooBig",
    "EventsMissed",
    "Gap",
    "InvalidData",
    "InvalidExpression",
    "InvalidPattern",
    "InvalidSetting",
    "InvalidTag",
    "Level",
    "NoSuchOffset",
    "NotAllowed",
    "NotAuthenticated",
    "Offset",
    "OffsetGone",
    "Position",
    "Published",
    "Publisher",
    "Subscription",
    "SylviteError",
    "WaitTimeout",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # asyncio takes 36 ms to load: only for those who use it.
    if name in ("AsyncClient", "AsyncPublisher", "AsyncSubscription"):
        from sylvite.client import async_client

        return getattr(async_client, name)
    raise AttributeError(f"module 'sylvite' has no attribute {name!r}")
