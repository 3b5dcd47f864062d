"""When a client tries again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.client.retry import FIRST_S, MOST_S, Retry, wait_s


@given(attempt=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_a_wait_grows_up_to_its_limit(attempt: int, chance: float) -> None:
    assert 0 <= wait_s(attempt, chance) <= min(MOST_S, FIRST_S * 2 ** min(attempt, 30))


def test_the_first_attempt_is_at_once_and_later_ones_wait() -> None:
    retry = Retry(None)
    waits: list[float | None] = []
    for _ in range(8):
        waits.append(retry.wait_s(100.0, 1.0))
        retry.attempt()
    assert waits == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


def test_a_wait_that_is_interrupted_goes_on() -> None:
    """Who comes back with a second deadline does not begin to wait anew."""
    retry = Retry(None)
    retry.wait_s(100.0, 1.0)
    retry.attempt()
    assert retry.wait_s(100.0, 1.0) == pytest.approx(0.1)
    assert retry.wait_s(100.06, 1.0) == pytest.approx(0.04)
    assert retry.wait_s(101.0, 1.0) == 0.0


def test_it_gives_up_at_the_limit_and_then_begins_anew() -> None:
    retry = Retry(1.0)
    assert retry.wait_s(100.0, 1.0) == 0.0
    retry.attempt()
    assert retry.wait_s(100.5, 1.0) is not None
    retry.attempt()
    assert retry.wait_s(101.0, 0.0) is None
    assert retry.wait_s(101.0, 0.0) is not None


def test_an_attempt_is_made_however_late_it_is() -> None:
    """The loss was seen long ago, and nobody has called since: that is no time of trying."""
    retry = Retry(1.0)
    assert retry.wait_s(100.0, 1.0) == 0.0
    assert retry.wait_s(5000.0, 1.0) == 0.0
    retry.attempt()
    assert retry.wait_s(5000.0, 1.0) is None


def test_zero_means_zero() -> None:
    retry = Retry(0.0)
    assert retry.wait_s(100.0, 1.0) is None
    assert retry.wait_s(200.0, 1.0) is None


def test_a_connection_that_is_lost_at_once_does_not_make_it_hasty() -> None:
    """Else a broker that hangs up after each greeting would be called as fast as it answers."""
    retry = Retry(None)
    for _ in range(3):
        retry.wait_s(100.0, 1.0)
        retry.attempt()
    retry.connected(100.0)
    assert retry.wait_s(100.5, 1.0) == pytest.approx(0.4)
    retry.attempt()
    retry.connected(101.0)
    assert retry.wait_s(200.0, 1.0) == 0.0
