"""The clock that moves only when told to."""

from __future__ import annotations

from sylvite.broker.clock import Clock
from sylvite.testing.clock import ManualClock


def test_time_passes_on_both_clocks_and_jumps_on_one() -> None:
    """As in life: the clock of the wall may be set back, the other one only goes on."""
    clock: Clock = (manual := ManualClock(1_000_000_000))
    assert (clock.now_ns(), clock.now_s()) == (1_000_000_000, 0.0)
    manual.pass_s(1.5)
    assert (clock.now_ns(), clock.now_s()) == (2_500_000_000, 1.5)
    manual.jump(-2.0)
    assert (clock.now_ns(), clock.now_s()) == (500_000_000, 1.5)
