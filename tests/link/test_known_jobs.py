"""Which minions a job was sent to."""

from __future__ import annotations

from sylvite.link.known_jobs import KnownJobs


def test_what_goes_down_goes_to_the_minions_of_the_step_before_it() -> None:
    """A batch: each step names its own minions, under one jid."""
    jobs = KnownJobs()
    assert jobs.hear("salt/job/1/publish", {"jid": "1"}) == frozenset()
    assert jobs.hear("salt/job/1/new", {"minions": ["a", "b"]}) == frozenset()
    assert jobs.hear("salt/job/1/publish", {"jid": "1"}) == {"a", "b"}
    jobs.hear("salt/job/1/new", {"minions": ["c"]})
    assert jobs.hear("salt/job/1/publish", {"jid": "1"}) == {"c"}


def test_returns_of_all_steps_of_a_batch_are_known_to_be_somebodys() -> None:
    jobs = KnownJobs()
    for minions in (["a", "b"], ["c"]):
        jobs.hear("salt/job/1/new", {"minions": minions})
    assert [jobs.is_for(minion, "1") for minion in ("a", "b", "c", "d")] == [True, True, True, False]
    assert not jobs.is_for("a", "2")


def test_the_oldest_jobs_are_forgotten_where_there_are_too_many() -> None:
    jobs = KnownJobs(jobs_max=2)
    for jid in ("1", "2", "3"):
        jobs.hear(f"salt/job/{jid}/new", {"minions": ["a"]})
    assert [jobs.is_for("a", jid) for jid in ("1", "2", "3")] == [False, True, True]


def test_the_oldest_jobs_are_forgotten_where_they_name_too_many_minions() -> None:
    jobs = KnownJobs(named_max=5)
    for jid in ("1", "2", "3"):
        jobs.hear(f"salt/job/{jid}/new", {"minions": ["a", "b"]})
    assert [jobs.is_for("a", jid) for jid in ("1", "2", "3")] == [False, True, True]


def test_what_went_out_to_the_former_holder_of_an_id_is_not_the_next_ones_to_answer() -> None:
    jobs = KnownJobs()
    jobs.hear("salt/job/1/new", {"minions": ["a", "b"]})
    for minion in ("a", "b"):
        jobs.holds(minion, 1)
    jobs.hear("salt/job/2/new", {"minions": ["a", "b"]})
    jobs.holds("a", 2)
    jobs.hear("salt/job/3/new", {"minions": ["a", "b"]})
    assert [jobs.is_for("a", jid) for jid in ("1", "2", "3")] == [False, False, True]
    assert [jobs.is_for("b", jid) for jid in ("1", "2", "3")] == [True, True, True]


def test_an_event_that_is_not_as_it_should_be_names_nobody() -> None:
    jobs = KnownJobs()
    for data in ({}, {"minions": "abc"}, {"minions": None}):
        jobs.hear("salt/job/1/new", data)
    assert jobs.hear("salt/job/1/publish", {}) == frozenset()
    assert not jobs.is_for("a", "1")
