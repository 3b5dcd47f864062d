"""Negative controls: safeguards of the broker, taken out one by one.  Each has to be found by the simulation."""

# What is taken out lies inside:
# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sylvite.broker.intake import Intake
from sylvite.broker.selection import Selection
from sylvite.broker.subscription import Subscription
from sylvite.core.level import Level
from sylvite.eventlog import recovery
from sylvite.eventlog.sources import Sources
from sylvite.testing.storage import MemoryFile
from sylvite.wire.messages import Ack

Control = Callable[[pytest.MonkeyPatch], None]


def sync_that_does_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryFile, "sync", _nothing)


def answer_before_the_write(patch: pytest.MonkeyPatch) -> None:
    """Who publishes is answered, at any level, with the place that the events are going to have."""
    real = Intake.append

    def append(self: Intake, now_ns: int) -> Any:
        log = self._log
        base = log.end
        for entry in list(self._incoming):
            batch = entry.batch
            source = (batch.sender, batch.source_epoch, batch.source_seq, batch.count)
            if entry.level is not Level.NONE and log.sources.is_new(*source):
                entry.connection.send(Ack(batch.source_seq, batch.count, base, log.epoch, entry.level))
                entry.connection.flush()
                base += batch.count
        return real(self, now_ns)

    patch.setattr(Intake, "append", append)


def answer_before_the_sync(patch: pytest.MonkeyPatch) -> None:
    """Who waits for the disk is answered once it is written, as if it were synced."""
    real = Intake.append

    def append(self: Intake, now_ns: int) -> Any:
        written = real(self, now_ns)
        for _, connection, ack in self._waiting:
            connection.send(ack)
        return written

    patch.setattr(Intake, "append", append)


def retries_that_are_stored_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sources, "is_new", _always)


def cursors_ahead_of_the_disk(patch: pytest.MonkeyPatch) -> None:
    """A reader with a cursor gets what is written, not what is synced."""
    real = Subscription.__init__

    def init(self: Subscription, *arguments: Any, **options: Any) -> None:
        real(self, *arguments, **options)
        self.held_back = False

    patch.setattr(Subscription, "__init__", init)


def recovery_that_drops_the_last_batch(patch: pytest.MonkeyPatch) -> None:
    real = recovery._read_whole

    def read_whole(*arguments: Any) -> Any:
        seen = real(*arguments)
        if len(seen.batches) > 1:
            seen.end_position = seen.batches.pop().position
        return seen

    patch.setattr(recovery, "_read_whole", read_whole)


def recovery_that_believes_a_second_sync(patch: pytest.MonkeyPatch) -> None:
    """It does not write again what an earlier broker could not sync."""
    patch.setattr(recovery, "_write_again", _nothing)


def deliveries_dropped_for_the_slow(patch: pytest.MonkeyPatch) -> None:
    real = Subscription.offer

    def offer(self: Subscription, selection: Selection, numbers: list[int], now_ns: int) -> None:
        if self.can_take():
            real(self, selection, numbers, now_ns)

    patch.setattr(Subscription, "offer", offer)


def _always(*_: Any) -> bool:
    return True


def _nothing(*_: Any) -> None:
    return None


CONTROLS: dict[Control, tuple[int, set[str]]] = {
    sync_that_does_nothing: (1, {"lost"}),
    answer_before_the_write: (1, {"lost", "conflict"}),
    answer_before_the_sync: (5, {"lost"}),
    retries_that_are_stored_again: (6, {"duplicate"}),
    cursors_ahead_of_the_disk: (1, {"lost", "hole"}),
    recovery_that_drops_the_last_batch: (1, {"lost"}),
    recovery_that_believes_a_second_sync: (9, {"lost"}),
    deliveries_dropped_for_the_slow: (1, {"hole", "stuck"}),
}
"""The seed to begin with, which spares time, and what it is found by."""
