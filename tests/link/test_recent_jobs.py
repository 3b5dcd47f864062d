"""A minion that was away for a moment does not miss what was published meanwhile."""

from __future__ import annotations

from sylvite.link import recent_jobs
from sylvite.link.recent_jobs import RECENT_S, RecentJobs


def test_one_that_is_back_in_a_moment_gets_what_it_has_missed_once() -> None:
    jobs = RecentJobs()
    jobs.add("salt/job/1/publish", b"1", {"a", "b"}, 0.0)
    jobs.add("salt/job/2/publish", b"2", {"a"}, 1.0)
    assert jobs.take("a", 2.0) == [("salt/job/1/publish", b"1"), ("salt/job/2/publish", b"2")]
    assert jobs.take("a", 2.0) == []
    assert jobs.take("b", 2.0) == [("salt/job/1/publish", b"1")]
    assert jobs.take("c", 2.0) == []


def test_one_that_comes_later_gets_no_old_jobs() -> None:
    jobs = RecentJobs()
    jobs.add("salt/job/1/publish", b"1", {"a"}, 0.0)
    jobs.add("salt/job/2/publish", b"2", {"a"}, 1.0)
    assert jobs.take("a", RECENT_S + 0.5) == [("salt/job/2/publish", b"2")]


def test_some_are_kept_for_longer() -> None:
    """Those that were published while the link was away; others before and after them are forgotten in their time."""
    jobs = RecentJobs()
    jobs.add("salt/job/1/publish", b"1", {"a", "b"}, 0.0, 3 * RECENT_S)
    jobs.add("salt/job/2/publish", b"2", {"a", "b"}, 0.0)
    assert jobs.take("a", RECENT_S + 0.5) == [("salt/job/1/publish", b"1")]
    assert jobs.take("b", 3 * RECENT_S) == []


def test_only_so_much_is_kept() -> None:
    jobs = RecentJobs()
    big = bytes(recent_jobs.KEPT_BYTES_MAX // 2)
    for number in range(3):
        jobs.add(f"salt/job/{number}/publish", big, {"a"}, 0.0)
    assert [tag for tag, _ in jobs.take("a", 0.0)] == ["salt/job/1/publish", "salt/job/2/publish"]
