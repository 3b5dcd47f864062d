"""The job store: what is kept of jobs and returns, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sylvite.errors import InvalidInput, InvalidJid, NoSuchJob
from sylvite.jobs.jid import JidMaker
from sylvite.jobs.matchers import IDS_MAX
from sylvite.jobs.store import (
    NANOSECONDS,
    PAGE_JOBS_MAX,
    PRUNED_AT_ONCE,
    JobStore,
    JobStoreSettings,
    open_jobs,
)
from sylvite.jobs.values import Arrival, Job, Return, Taken
from tests.jobs.stores import JID, NOW_NS, OTHER, fill, job, take

# -- Jobs and returns ------------------------------------------------------------------------------------------------


def test_a_job_is_found_with_all_that_was_said_of_it(store: JobStore) -> None:
    said = Job(
        JID, ("test.arg", "test.ping"), ([1, {"__kwarg__": True, "a": None}], []), ("web1", "db1"), "list", "sudo_me",
        ("db1", "web1"), {"ticket": 7},
    )  # fmt: skip
    store.add(said, NOW_NS)
    found = store.find(JID)
    assert found.job == said
    assert (found.published_ns, found.expected, found.returned, found.is_active) == (NOW_NS, 2, 0, True)


def test_returns_are_kept_as_they_come(store: JobStore) -> None:
    store.add(job(), NOW_NS)
    assert store.waiting(JID) == ["web1", "web2"]
    done = Return(JID, "web2", {"pid": 7, "list": [None, 1.5]}, 3, success=False, out="nested")
    assert store.take([done], NOW_NS + 5) == [Taken(Arrival.EXPECTED)]
    (answer,) = store.answers(JID)
    assert (answer.minion, answer.returned_ns, answer.value) == ("web2", NOW_NS + 5, {"pid": 7, "list": [None, 1.5]})
    assert (answer.retcode, answer.success, answer.out, answer.late, answer.repeats) == (3, False, "nested", False, 0)
    assert (store.waiting(JID), store.returned(JID)) == (["web1"], ["web2"])
    assert store.find(JID).is_active
    assert take(store, "web1", now_ns=NOW_NS + 9) is Arrival.EXPECTED
    assert store.find(JID).closed_ns == NOW_NS + 9


def test_a_minion_answers_once(store: JobStore) -> None:
    """What comes again, the same or not, is counted, and the first stays."""
    store.add(job(), NOW_NS)
    arrivals = [take(store, "web1", value) for value in (1, 1, 2)]
    assert arrivals == [Arrival.EXPECTED, Arrival.REPEATED, Arrival.REPEATED]
    (answer,) = store.answers(JID)
    assert (answer.value, answer.repeats) == (1, 2)
    assert store.find(JID).returned == 1
    twice = store.take([Return(JID, "web2", 1), Return(JID, "web2", 2)], NOW_NS)
    assert [taken.arrival for taken in twice] == [Arrival.EXPECTED, Arrival.REPEATED]


def test_what_comes_when_nobody_waits_any_more_is_late(store: JobStore) -> None:
    store.add(job(), NOW_NS)
    take(store, "web1")
    store.end(JID, NOW_NS + 1)
    assert not store.find(JID).is_active
    assert store.active() == []
    assert take(store, "web2", now_ns=NOW_NS + 2) is Arrival.LATE
    assert [answer.late for answer in store.answers(JID)] == [False, True]
    store.end(JID, NOW_NS + 3)
    assert store.find(JID).closed_ns == NOW_NS + 1


def test_nobody_answers_for_others_or_for_jobs_that_there_are_not(store: JobStore) -> None:
    store.add(job(), NOW_NS)
    assert take(store, "db1") is Arrival.UNEXPECTED
    assert take(store, "WEB1") is Arrival.UNEXPECTED
    assert take(store, "web1", jid=OTHER) is Arrival.UNKNOWN
    assert take(store, "web1", jid="' OR 1=1 --") is Arrival.UNKNOWN
    assert store.answers(JID) == []
    assert store.answers(OTHER) == []


def test_the_steps_of_a_batch_share_a_jid(store: JobStore) -> None:
    """Each adds its minions; a job that had all its answers is waited for again."""
    store.add(job(JID, "web1"), NOW_NS)
    take(store, "web1")
    assert not store.find(JID).is_active
    store.add(job(JID, "web1", "web2"), NOW_NS + 1)
    found = store.find(JID)
    assert (found.job.minions, found.expected, found.returned) == (("web1", "web2"), 2, 1)
    assert found.is_active
    assert take(store, "web2") is Arrival.EXPECTED
    assert not store.find(JID).is_active


def test_a_job_that_nobody_is_asked_to_do_is_done(store: JobStore) -> None:
    store.add(msgspec.structs.replace(job(), minions=()), NOW_NS)
    assert not store.find(JID).is_active


@pytest.mark.parametrize("jid", ["", "req", "../x", "2026"])
def test_a_job_has_a_jid(store: JobStore, jid: str) -> None:
    with pytest.raises(InvalidJid):
        store.add(job(jid), NOW_NS)
    with pytest.raises(NoSuchJob):
        store.find(jid)
    with pytest.raises(NoSuchJob):
        store.end(jid, NOW_NS)


# -- Lists -----------------------------------------------------------------------------------------------------------


def test_lists_come_in_pages_the_newest_first(store: JobStore) -> None:
    jids = fill(store, 7)
    pages: list[list[str]] = []
    before: str | None = None
    while page := store.page(before=before, count=3):
        pages.append([each.job.jid for each in page])
        before = pages[-1][-1]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [jid for page in pages for jid in page] == jids[::-1]
    assert store.page(count=0) == []


def test_only_those_that_are_wanted(store: JobStore) -> None:
    jids = fill(store, 6)
    even = {jid for jid in jids if int(jid) % 2 == 0}
    found = store.page(wanted=lambda job: job.jid in even, count=2)
    assert [each.job.jid for each in found] == sorted(even)[::-1][:2]


def test_a_page_has_a_limit(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sylvite.jobs.store.PAGE_JOBS_MAX", 4)
    fill(store, 6)
    assert len(store.page(count=10**9)) == 4
    assert PAGE_JOBS_MAX == 1000


def test_active_are_those_that_are_waited_for(store: JobStore) -> None:
    jids = fill(store, 5)
    take(store, "web1", jid=jids[1])
    store.end(jids[3], NOW_NS)
    assert [each.job.jid for each in store.active()] == [jids[4], jids[2], jids[0]]


def test_overdue_are_the_oldest_that_are_waited_for_with_those_that_have_not_answered(store: JobStore) -> None:
    jids = fill(store, 5)
    store.add(job(jids[0], "web1", "web2"), NOW_NS)
    take(store, "web1", jid=jids[0])
    store.end(jids[1], NOW_NS)
    found = store.overdue(NOW_NS + 4 * NANOSECONDS)
    assert [(each.job.jid, each.job.minions) for each in found] == [
        (jids[0], ("web2",)), (jids[2], ("web1",)), (jids[3], ("web1",)),
    ]  # fmt: skip
    assert [each.job.jid for each in store.overdue(NOW_NS + 9 * NANOSECONDS, count=1)] == [jids[0]]


def test_a_job_that_was_given_up_stays_so_when_it_is_heard_of_again(store: JobStore) -> None:
    """Only the next step of a batch opens it again."""
    store.add(job(), NOW_NS)
    store.end(JID, NOW_NS + 1)
    store.add(job(), NOW_NS + 2)
    assert store.find(JID).closed_ns == NOW_NS + 1
    store.add(job(JID, "web3"), NOW_NS + 3)
    assert store.find(JID).is_active


# -- Bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 100 * 1024 * 1024])
def test_a_return_that_is_too_big_is_refused_and_the_job_says_why(path: Path, size: int) -> None:
    with open_jobs(path, JobStoreSettings(return_bytes=1000)) as store:
        store.add(job(JID, "web1"), NOW_NS)
        (taken,) = store.take([Return(JID, "web1", "x" * size, 0, success=True)], NOW_NS)
        (answer,) = store.answers(JID)
        assert not store.find(JID).is_active
        kept = store.kept_bytes
    assert (taken.arrival is Arrival.EXPECTED) == (size == 100)
    if size > 1000:
        assert taken.arrival is Arrival.REFUSED
        assert "bytes; the limit is 1000" in taken.reason
        assert (answer.value, answer.refused) == (None, taken.reason)
        assert path.stat().st_size < 200_000
        assert kept < 1000


def test_a_return_of_exactly_the_limit_is_kept(path: Path) -> None:
    empty = len(msgspec.msgpack.encode({"value": "", "retcode": 0, "success": None, "out": None}))
    # A text of 256 bytes or more has a length of two bytes more than an empty one.
    fits = "x" * (1000 - empty - 2)
    with open_jobs(path, JobStoreSettings(return_bytes=1000)) as store:
        store.add(job(), NOW_NS)
        assert take(store, "web1", fits) is Arrival.EXPECTED
        assert take(store, "web2", fits + "x") is Arrival.REFUSED


LISTS: list[Any] = [[]] * 20_000


@pytest.mark.parametrize("value", [object(), 2**70, "\ud800", LISTS])
def test_a_return_that_cannot_be_kept_is_refused(store: JobStore, value: Any) -> None:
    store.add(job(), NOW_NS)
    (taken,) = store.take([Return(JID, "web1", value, out="x" * 10_000)], NOW_NS)
    assert taken.arrival is Arrival.REFUSED
    assert "cannot be kept" in taken.reason
    assert take(store, "web2") is Arrival.EXPECTED


def test_a_job_has_so_many_minions(store: JobStore) -> None:
    with pytest.raises(InvalidInput, match=f"at most {IDS_MAX} minions"):
        store.add(job(JID, *(f"w{number}" for number in range(IDS_MAX + 1))), NOW_NS)
    store.add(job(JID, *(f"w{number}" for number in range(2000))), NOW_NS)
    assert len(store.waiting(JID)) == 2000


def test_arguments_that_no_event_carries_are_refused(store: JobStore) -> None:
    with pytest.raises(InvalidInput):
        store.add(msgspec.structs.replace(job(), arg=("x" * 2_000_000,)), NOW_NS)
    assert store.page() == []


def test_old_jobs_are_forgotten_with_their_returns(path: Path) -> None:
    with open_jobs(path, JobStoreSettings(keep_s=10)) as store:
        jids = fill(store, 5)
        take(store, "web1", jid=jids[0])
        assert store.prune(NOW_NS + 10 * NANOSECONDS) == 0
        assert store.prune(NOW_NS + 12 * NANOSECONDS) == 2
        assert [each.job.jid for each in store.page()] == jids[:1:-1]
        assert store.answers(jids[0]) == []
        assert take(store, "web1", jid=jids[0]) is Arrival.UNKNOWN
        assert store.prune(NOW_NS - 10**18) == 0


def test_none_keeps_jobs_for_ever(path: Path) -> None:
    with open_jobs(path, JobStoreSettings(keep_s=None, keep_bytes=None)) as store:
        fill(store, 3)
        assert store.prune(NOW_NS + 10**18) == 0
        assert len(store.page()) == 3


def test_a_clock_that_jumps_ahead_does_not_take_all_at_once(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sylvite.jobs.store.PRUNED_AT_ONCE", 2)
    jids = fill(store, 5)
    assert store.prune(NOW_NS + 10**18) == 2
    assert [each.job.jid for each in store.page()] == jids[:1:-1]
    assert PRUNED_AT_ONCE == 1000


def test_beyond_a_size_the_oldest_jobs_are_forgotten_and_never_the_newest(path: Path) -> None:
    with open_jobs(path, JobStoreSettings(keep_bytes=20_000)) as store:
        jids = fill(store, 10)
        for jid in jids:
            take(store, "web1", "x" * 5000, jid=jid)
            assert store.kept_bytes <= 20_000
        left = [each.job.jid for each in store.page()]
        assert left == jids[::-1][: len(left)]
        assert 2 <= len(left) < 5
        newest = JidMaker().make(NOW_NS + 10**15)
        store.add(job(newest, "web1"), NOW_NS)
        take(store, "web1", "x" * 40_000, jid=newest)
        assert [each.job.jid for each in store.page()] == [newest]


# -- Property --------------------------------------------------------------------------------------------------------

JIDS = ("20261123224730000001", "20261123224730000002", "20261123224730000003_7")
IDS = ("web1", "web2", "db1")
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(JIDS), st.lists(st.sampled_from(IDS), unique=True, max_size=3)),
    st.tuples(st.just("take"), st.sampled_from(JIDS), st.sampled_from(IDS)),
    st.tuples(st.just("end"), st.sampled_from(JIDS), st.none()),
)


@given(st.lists(STEPS, max_size=25))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_store_says_what_a_few_dicts_would_say(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    """Whatever order jobs, returns and ends come in; also after it is opened again."""
    path = tmp_path_factory.mktemp("jobs") / "jobs.db"
    asked: dict[str, set[str]] = {}
    came: dict[str, dict[str, int]] = {}
    closed: dict[str, bool] = {}
    with open_jobs(path) as store:
        for number, (what, jid, argument) in enumerate(steps):
            if what == "add":
                store.add(msgspec.structs.replace(job(jid), minions=tuple(argument)), number)
                is_asked_more = not asked.setdefault(jid, set()).issuperset(argument)
                asked[jid].update(argument)
                # One that was given up stays so where nobody else is asked.
                is_done = asked[jid] <= set(came.setdefault(jid, {}))
                closed[jid] = is_done or (closed.get(jid, False) and not is_asked_more)
            elif what == "take":
                expected = Arrival.EXPECTED
                if jid not in asked:
                    expected = Arrival.UNKNOWN
                elif argument not in asked[jid]:
                    expected = Arrival.UNEXPECTED
                elif argument in came[jid]:
                    expected = Arrival.REPEATED
                else:
                    came[jid][argument] = number
                    expected = Arrival.LATE if closed[jid] else expected
                    closed[jid] = closed[jid] or asked[jid] == set(came[jid])
                assert take(store, argument, number, jid) is expected
            elif jid in asked:
                store.end(jid, number)
                closed[jid] = True
    with open_jobs(path) as store:
        assert [each.job.jid for each in store.page()] == sorted(asked, reverse=True)
        assert {each.job.jid for each in store.active()} == {jid for jid, done in closed.items() if not done}
        for jid in asked:
            assert {answer.minion: answer.value for answer in store.answers(jid)} == came[jid]
            assert store.waiting(jid) == sorted(asked[jid] - set(came[jid]))
