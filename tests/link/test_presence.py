"""Who is here, and what is told of it."""

from __future__ import annotations

from sylvite.link.presence import EXPECTED_S, LINGER_S, Change, Presence
from sylvite.link.twins import OFTEN, TELL_AGAIN_S, Twins


def test_one_that_comes_is_told_at_once_and_once() -> None:
    presence = Presence((), 0.0)
    presence.came("b")
    presence.came("a")
    assert presence.take(0.0) == Change(["a", "b"], [])
    presence.came("a")
    assert presence.take(1.0) is None
    assert presence.present() == ["a", "b"]


def test_one_that_is_back_in_a_moment_is_no_news() -> None:
    presence = Presence((), 0.0)
    presence.came("a")
    presence.take(0.0)
    presence.left("a", 10.0)
    assert presence.take(10.0 + LINGER_S / 2) is None
    presence.came("a")
    assert presence.take(1000.0) is None
    presence.left("a", 1000.0)
    assert presence.present() == ["a"]
    assert presence.take(1000.0 + LINGER_S) == Change([], ["a"])
    assert presence.present() == []


def test_one_that_came_and_went_before_anybody_was_told_never_was() -> None:
    presence = Presence((), 0.0)
    presence.came("a")
    presence.left("a", 0.0)
    assert presence.take(100.0) is None


def test_after_a_start_those_that_come_back_are_no_news_and_the_others_are_lost() -> None:
    presence = Presence(["a", "b"], 100.0)
    assert presence.take(100.0) is None
    presence.came("a")
    presence.came("c")
    assert presence.take(101.0) == Change(["c"], [])
    assert presence.take(100.0 + EXPECTED_S) == Change([], ["b"])
    assert presence.present() == ["a", "c"]


def test_a_minion_that_takes_its_own_connection_over_again_and_again_is_two() -> None:
    twins = Twins()
    assert [twins.replaced("a", float(at_s)) for at_s in range(OFTEN + 2)] == [False] * (OFTEN - 1) + [
        True,
        False,
        False,
    ]
    assert not twins.replaced("b", 1.0)
    later_s = TELL_AGAIN_S + OFTEN
    assert [twins.replaced("a", later_s + number) for number in range(OFTEN)][-1]


def test_connections_that_are_taken_over_now_and_then_are_no_twins() -> None:
    twins = Twins()
    assert not any(twins.replaced("a", at_s * 100.0) for at_s in range(50))
