"""What there is to tell of presence where several masters have the minions."""

from __future__ import annotations

from sylvite.link.presence import EXPECTED_S, LINGER_S, Change
from sylvite.link.told import CHANGE, PRESENT, Told


def test_who_comes_is_told_at_once_and_who_goes_after_a_moment() -> None:
    told = Told()
    assert told.look({"a", "b"}, set(), 0.0) == Change(["a", "b"], [])
    assert told.look({"a"}, set(), 1.0) is None
    assert told.present() == ["a", "b"]
    assert told.look({"a"}, set(), 1.0 + LINGER_S) == Change([], ["b"])
    assert told.look({"a"}, set(), 60.0) is None
    assert told.present() == ["a"]


def test_one_that_moves_to_another_master_is_no_news() -> None:
    told = Told()
    told.look({"a"}, set(), 0.0)
    assert told.look(set(), set(), 1.0) is None
    assert told.look({"a"}, set(), 1.0 + LINGER_S / 2) is None
    assert told.look(set(), set(), 1.0 + LINGER_S) is None, "it counts from when it went the last time"


def test_those_of_a_master_that_was_stopped_have_longer() -> None:
    told = Told()
    told.look({"a"}, set(), 0.0)
    assert told.look(set(), {"a"}, 1.0) is None
    assert told.look(set(), {"a"}, EXPECTED_S) is None
    assert told.look(set(), {"a"}, 1.0 + EXPECTED_S) == Change([], ["a"])


def test_another_master_goes_on_where_one_has_ended() -> None:
    told = Told()
    told.hear(CHANGE, {"new": ["early"], "lost": []})
    assert not told.is_known
    told.hear(PRESENT, {"present": ["a", "b"]})
    told.hear(CHANGE, {"new": ["c"], "lost": ["b"]})
    told.hear(CHANGE, {"new": 7})
    told.hear(PRESENT, {"of": "somebody else"})
    assert (told.is_known, told.present()) == (True, ["a", "c"])
    assert told.look({"a", "c"}, set(), 0.0) is None
