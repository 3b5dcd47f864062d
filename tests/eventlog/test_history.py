"""Reading a log: where a reader goes on whose log was another one."""

from __future__ import annotations

import pytest

from sylvite.testing.storage import MemoryStorage
from tests.eventlog.logs import append, open_log


@pytest.mark.parametrize(
    ("at", "events", "says"), [(5, 9, "has epoch {} there"), (9, 5, "ends before @5, in epoch {}")]
)
def test_a_reset_names_both_epochs(at: int, events: int, says: str) -> None:
    """The reader's, and that of this log: there, or where it ends."""
    log = open_log(MemoryStorage())
    append(log, 0, events)
    _, gap = log.resume(7, at)
    assert gap is not None
    assert gap.detail == f"the reader was at @{at} of epoch {7:016x}; this log {says.format(f'{log.epoch:016x}')}"


def test_a_reset_of_an_empty_log_names_both_epochs() -> None:
    log = open_log(MemoryStorage())
    _, gap = log.resume(7, 9)
    assert gap is not None
    assert gap.detail.endswith(f"this log ends before @0, in epoch {log.epoch:016x}")
