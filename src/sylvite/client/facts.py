"""What the broker tells of readers, when it is asked (`AsyncClient.ask`).  Spec: docs/protocol.md, "Verbs"."""

from __future__ import annotations

import msgspec


class CursorFacts(msgspec.Struct):
    """A durable cursor: `cursors`.  `missed`: how many of the events that it has not had retention has taken."""

    name: str
    owner: str
    offset: int
    behind: int
    missed: int
    moved_ns: int
    in_use: bool


class SubscriptionFacts(msgspec.Struct):
    """A subscription of a client: `stats`.  `cursor`: the name of the one that it moves."""

    live: bool
    behind: int
    cursor: str | None = None


class ClientFacts(msgspec.Struct):
    """Somebody who is connected: `stats`."""

    client: str
    sender: str
    subscriptions: list[SubscriptionFacts]
