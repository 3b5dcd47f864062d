"""A minion that was away for a moment does not miss what was published meanwhile, nor what was on its way."""

from __future__ import annotations

from sylvite.link import recent_jobs
from sylvite.link.minion_wire import WAITING_BYTES_MAX
from sylvite.link.recent_jobs import KEPT_BYTES_MAX, RECENT_S, RecentJobs

BOTH = frozenset("ab")
ONE = frozenset("a")


def test_one_that_is_back_in_a_moment_gets_what_it_may_have_missed_in_order() -> None:
    """As often as it comes: whether it has got it this time, nobody knows."""
    jobs = RecentJobs()
    jobs.add("salt/job/1/publish", b"1", BOTH, 0.0)
    jobs.add("salt/job/2/publish", b"2", ONE, 1.0)
    for _ in range(2):
        assert jobs.of("a", 2.0) == [("salt/job/1/publish", b"1"), ("salt/job/2/publish", b"2")]
    assert jobs.of("b", 2.0) == [("salt/job/1/publish", b"1")]
    assert jobs.of("c", 2.0) == []


def test_one_that_comes_later_gets_no_old_jobs() -> None:
    jobs = RecentJobs()
    jobs.add("salt/job/1/publish", b"1", ONE, 0.0)
    jobs.add("salt/job/2/publish", b"2", ONE, 1.0)
    assert jobs.of("a", RECENT_S + 0.5) == [("salt/job/2/publish", b"2")]


def test_some_are_kept_for_longer() -> None:
    """Those that were published while the link was away; others before and after them are forgotten in their time."""
    jobs = RecentJobs()
    jobs.add("salt/job/1/publish", b"1", BOTH, 0.0, 3 * RECENT_S)
    jobs.add("salt/job/2/publish", b"2", BOTH, 0.0)
    assert jobs.of("a", RECENT_S + 0.5) == [("salt/job/1/publish", b"1")]
    assert jobs.of("b", 3 * RECENT_S) == []


def test_only_so_much_is_kept() -> None:
    """Less than a minion may leave unread: it may get all of it at once."""
    assert KEPT_BYTES_MAX <= WAITING_BYTES_MAX / 2
    jobs = RecentJobs()
    big = bytes(recent_jobs.KEPT_BYTES_MAX // 2)
    for number in range(3):
        jobs.add(f"salt/job/{number}/publish", big, ONE, 0.0)
    assert [tag for tag, _ in jobs.of("a", 0.0)] == ["salt/job/1/publish", "salt/job/2/publish"]
