"""Listings: the shapes that programs written for Salt read."""

from __future__ import annotations

from typing import Any

from sylvite.jobs import listing
from sylvite.jobs.values import Answer, Job, Listed

JID = "20261123224725998685"
JOB = Job(JID, "test.ping", (), "*", "glob", "root", ("web1", "web2"))
LISTED = Listed(JOB, 1, None, 2, 1)
ANSWER = Answer("web1", 2, True, 0, True, None, None, late=False, repeats=0)
SHOWN: dict[str, Any] = {
    "Function": "test.ping",
    "Arguments": [],
    "Target": "*",
    "Target-type": "glob",
    "User": "root",
    "StartTime": "2026, Nov 23 22:47:25.998685",
}
"""As a real master printed it: design/third-party-clients.md, 2.6."""


def test_a_list_of_jobs() -> None:
    assert listing.list_jobs([LISTED]) == {JID: SHOWN}
    assert listing.list_jobs([]) == {}


def test_a_job_that_has_ended_says_when() -> None:
    ended = Listed(JOB, 1, 1_795_474_050_771_814_000, 2, 1)
    assert listing.list_jobs([ended]) == {JID: {**SHOWN, "Ended": "2026, Nov 23 22:47:30.771814"}}
    assert listing.list_job(ended, [])["Ended"] == "2026, Nov 23 22:47:30.771814"


def test_one_job_with_its_returns() -> None:
    assert listing.list_job(LISTED, [ANSWER]) == {
        "jid": JID,
        **SHOWN,
        "Minions": ["web1", "web2"],
        "Result": {"web1": {"return": True, "retcode": 0, "success": True}},
    }


def test_a_job_that_there_is_not_has_every_field_and_an_error() -> None:
    shown = listing.list_unknown_job(JID)
    assert shown["Error"] == "Cannot contact returner or no job with this jid"
    assert set(shown) == {*listing.list_job(LISTED, []), "Error"}


def test_returns_by_minion() -> None:
    assert listing.lookup_jid([ANSWER]) == {"web1": True}


def test_a_return_that_was_refused_shows_why() -> None:
    refused = Answer("web2", 2, None, 0, True, None, "too big", late=True, repeats=0)
    assert listing.show_answer(refused) == {
        "return": "too big", "retcode": 1, "success": False, "refused": True, "late": True,
    }  # fmt: skip
    assert listing.lookup_jid([refused]) == {"web2": "too big"}


def test_what_a_minion_says_besides() -> None:
    answer = Answer("web1", 2, [], 5, None, "highstate", None, late=False, repeats=1)
    assert listing.show_answer(answer) == {"return": [], "retcode": 5, "out": "highstate"}


def test_jobs_under_way() -> None:
    assert listing.active([(LISTED, ["web2"])], {JID: {"web1": 4711}}) == {
        JID: {**SHOWN, "Running": [{"web1": 4711}], "Returned": ["web2"]}
    }
    assert listing.active([], {}) == {}
    assert listing.active([(LISTED, [])], {})[JID]["Running"] == []


def test_lists_are_lists_and_metadata_is_shown_where_there_is_some() -> None:
    """Programs sort them."""
    job = Job(JID, ("a.b", "c.d"), ([1], []), ("web1", "db1"), "list", "root", (), {"ticket": 7})
    assert listing.show_job(job) == {
        "Function": ["a.b", "c.d"], "Arguments": [[1], []], "Target": ["web1", "db1"], "Target-type": "list",
        "User": "root", "Metadata": {"ticket": 7},
    }  # fmt: skip
