"""What follows from an attempt, and when the next one is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.export.judging import (
    ASKED_S_MAX,
    FIRST_S,
    MOST_S,
    REFUSED_ATTEMPTS,
    Outcome,
    Verdict,
    judge,
    pause_s,
)

DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("status", "attempts", "since_s", "verdict"),
    [
        (200, 1, 0.0, Verdict.DONE),
        (299, 99, 2 * DAY_S, Verdict.DONE),
        (410, 1, 0.0, Verdict.ENDED),
        (None, 1, 0.0, Verdict.AGAIN),
        (None, 1000, DAY_S - 1, Verdict.AGAIN),
        (None, 1000, DAY_S, Verdict.DEAD),
        (302, 1, 0.0, Verdict.AGAIN),
        (404, 1000, DAY_S - 1, Verdict.AGAIN),
        (500, 1000, DAY_S, Verdict.DEAD),
        (422, REFUSED_ATTEMPTS - 1, 0.0, Verdict.AGAIN),
        (422, REFUSED_ATTEMPTS, 0.0, Verdict.DEAD),
    ],
)
def test_verdicts(status: int | None, attempts: int, since_s: float, verdict: Verdict) -> None:
    assert judge(Outcome(status), attempts, since_s, DAY_S) is verdict


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 1e9))
def test_pauses_are_bounded(attempts: int, chance: float, asked_s: float) -> None:
    pause = pause_s(Outcome(503, "", asked_s), attempts, chance)
    assert FIRST_S <= pause <= max(MOST_S, ASKED_S_MAX)
    assert pause >= min(asked_s, ASKED_S_MAX)


def test_pauses_grow() -> None:
    assert [pause_s(Outcome(500), attempts, 1.0) for attempts in (1, 2, 3, 20)] == [2.0, 4.0, 8.0, MOST_S]
