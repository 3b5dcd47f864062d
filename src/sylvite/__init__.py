"""Sylvite: an event bus for infrastructure, durable and replayable.

    from sylvite import Client

    with Client.connect() as bus:
        bus.publish("myco/deploy/done", {"version": "1.4.2"})

docs/python.md shows the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sylvite.version import __version__

if TYPE_CHECKING:
    from sylvite.client.async_client import AsyncClient
    from sylvite.client.async_publisher import AsyncPublisher
    from sylvite.client.async_subscription import AsyncSubscription
    from sylvite.client.sync_client import Client
    from sylvite.client.sync_publisher import Publisher
    from sylvite.client.sync_subscription import Subscription
    from sylvite.client.ticket import Published
    from sylvite.core.event import Event, Gap, Offset, Position
    from sylvite.core.level import Level
    from sylvite.daemons.options.opts import master_opts, minion_opts
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
        ReplicationUnknown,
        SylviteError,
        WaitTimeout,
    )
    from sylvite.functions.async_clients import AsyncCaller, AsyncRunnerClient, AsyncWheelClient
    from sylvite.functions.clients import Caller, RunnerClient, WheelClient
    from sylvite.jobs.async_local_client import AsyncLocalClient
    from sylvite.jobs.client_core import MasterPlace
    from sylvite.jobs.local_client import LocalClient

__all__ = [
    "AckTimeout",
    "AckUnknown",
    "AsyncCaller",
    "AsyncClient",
    "AsyncLocalClient",
    "AsyncPublisher",
    "AsyncRunnerClient",
    "AsyncSubscription",
    "AsyncWheelClient",
    "BrokerNotReachable",
    "Caller",
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
    "LocalClient",
    "MasterPlace",
    "NoSuchOffset",
    "NotAllowed",
    "NotAuthenticated",
    "Offset",
    "OffsetGone",
    "Position",
    "Published",
    "Publisher",
    "ReplicationUnknown",
    "RunnerClient",
    "Subscription",
    "SylviteError",
    "WaitTimeout",
    "WheelClient",
    "__version__",
    "master_opts",
    "minion_opts",
]

_HOMES = {
    "AsyncCaller": "functions.async_clients",
    "AsyncClient": "client.async_client",
    "AsyncLocalClient": "jobs.async_local_client",
    "AsyncPublisher": "client.async_publisher",
    "AsyncRunnerClient": "functions.async_clients",
    "AsyncSubscription": "client.async_subscription",
    "AsyncWheelClient": "functions.async_clients",
    "Caller": "functions.clients",
    "Client": "client.sync_client",
    "Event": "core.event",
    "Gap": "core.event",
    "Level": "core.level",
    "LocalClient": "jobs.local_client",
    "MasterPlace": "jobs.client_core",
    "Offset": "core.event",
    "Position": "core.event",
    "Published": "client.ticket",
    "Publisher": "client.sync_publisher",
    "RunnerClient": "functions.clients",
    "Subscription": "client.sync_subscription",
    "WheelClient": "functions.clients",
    "master_opts": "daemons.options.opts",
    "minion_opts": "daemons.options.opts",
}
"""Where the names are; those that are not here are errors."""


def __getattr__(name: str) -> Any:
    # Loaded by those who use them: asyncio alone takes 36 ms, and a broker needs no client.
    if name not in __all__:
        raise AttributeError(f"module 'sylvite' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"sylvite.{_HOMES.get(name, 'errors')}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
