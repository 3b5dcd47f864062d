"""A minion that gets jobs again, because it might have missed them, knows which it has had."""

from __future__ import annotations

from sylvite.link.jobs_had import REMEMBERED_MAX, JobsHad
from sylvite.link.recent_jobs import KEPT_MAX


def test_a_job_is_new_once() -> None:
    had = JobsHad()
    assert [had.is_new(tag) for tag in ("a", "b", "a", "b", "c")] == [True, True, False, False, True]


def test_the_latest_are_remembered() -> None:
    had = JobsHad(remembered_max=3)
    for tag in ("a", "b", "c", "d"):
        assert had.is_new(tag)
    assert not had.is_new("b")
    assert had.is_new("a")


def test_more_are_remembered_than_a_master_sends_again() -> None:
    assert REMEMBERED_MAX > KEPT_MAX
