"""Who is refused is told; a flood of those who are, in part."""

from __future__ import annotations

import pytest

from sylvite.link.refused_news import AT_ONCE, EACH_S, RefusedNews


@pytest.mark.parametrize("act", ["full", "reject", "denied", "error"])
def test_refusals_have_a_rate(act: str) -> None:
    news = RefusedNews()
    told = [news.is_told(act, 50.0) for _ in range(AT_ONCE + 7)]
    assert told == [True] * AT_ONCE + [False] * 7
    assert news.untold == 7
    assert [news.is_told(act, 50.0 + 2.5 * EACH_S) for _ in range(3)] == [True, True, False]
    assert sum(news.is_told(act, 1e6) for _ in range(2 * AT_ONCE)) == AT_ONCE


@pytest.mark.parametrize("act", ["pend", "accept"])
def test_who_is_let_in_or_waits_is_always_told(act: str) -> None:
    """How many can wait has a limit of its own."""
    news = RefusedNews()
    assert all(news.is_told(act, 50.0) for _ in range(10 * AT_ONCE))
    assert news.untold == 0
