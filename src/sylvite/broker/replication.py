"""Replication: publishers that want to hear that the cluster has their events too, and what its bridge says of that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from sylvite.errors import ReplicationUnknown
from sylvite.wire.messages import Ack

if TYPE_CHECKING:
    from sylvite.broker.connection import Connection

WITHIN_S = 8.0
"""So long the cluster has to take what is synced here; less than a client waits for an answer."""


class Replication:
    """`is_there`: there is a cluster.  `until`: what is below this offset, the cluster has."""

    def __init__(self, now_s: Callable[[], float], *, is_there: bool = False) -> None:
        self.is_there = is_there
        self._is_told = False
        self._now_s = now_s
        self.until = 0
        self._waiting: deque[tuple[int, float, Connection, Ack]] = deque()

    def change(self, *, is_there: bool) -> None:
        """Say from now on whether there is a cluster, whatever its bridge says."""
        self.is_there, self._is_told = is_there, True

    def wait(self, until: int, connection: Connection, ack: Ack) -> None:
        """Answer once the cluster has what is below an offset, all of which is synced."""
        if until <= self.until:
            connection.send(ack)
            return
        if self._waiting:
            until = max(until, self._waiting[-1][0])  # They are answered in their order.
        self._waiting.append((until, self._now_s() + WITHIN_S, connection, ack))

    def confirm(self, until: int) -> None:
        """The bridge says that the cluster has what is below this offset."""
        self.is_there = self.is_there or not self._is_told
        self.until = max(self.until, until)
        while self._waiting and self._waiting[0][0] <= self.until:
            _, _, connection, ack = self._waiting.popleft()
            connection.send(ack)

    def give_up(self) -> None:
        """Answer who has waited for too long."""
        now_s = self._now_s()
        while self._waiting and self._waiting[0][1] <= now_s:
            _, _, connection, ack = self._waiting.popleft()
            reason = ReplicationUnknown(
                f"the events are synced here, from @{ack.base} on; within {WITHIN_S:g} s the cluster has not confirmed that it "
                "has them too. It gets them as soon as it can; publishing them again is safe"
            )
            connection.refuse("publish", ack.seq, reason)
