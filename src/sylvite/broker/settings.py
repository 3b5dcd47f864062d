"""What can be set of a broker."""

from __future__ import annotations

import msgspec

from sylvite.auth.policy import PolicySettings
from sylvite.core.event import EVENT_BYTES_MAX
from sylvite.eventlog.settings import LogSettings

FILES_APART = 256
"""Descriptors that a broker needs beside its connections: segments, listeners, the disk's threads."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one peer can take of the broker.  Each is tested at its edge.

    `unsynced_bytes`: written and not yet synced; beyond it publishers are not read from until the disk has followed.
    `socket_bytes`: deliveries that are put together for one connection; with so much, or with anything that its socket
    has not taken, its subscriptions are served from the log.
    `answer_bytes`: all that waits for one connection; beyond it the peer is not listened to until it has read.
    """

    event_bytes: int = EVENT_BYTES_MAX
    connections: int = 4096
    connections_per_user: int = 1024
    subscriptions_per_connection: int = 256
    cursors_per_user: int = 1024
    unsynced_bytes: int = 8 * 1024 * 1024
    socket_bytes: int = 64 * 1024
    answer_bytes: int = 4 * 1024 * 1024


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`has_cluster`: events can be replicated; a bridge says how far they are."""

    log: LogSettings = LogSettings()
    policy: PolicySettings = PolicySettings()
    limits: Limits = Limits()
    has_cluster: bool = False
