"""The jobs that run, as their minions say."""

from __future__ import annotations

from typing import Any

import pytest

from sylvite.jobs.active import active_jobs
from sylvite.jobs.store import JobStore
from tests.jobs.stores import JID, NOW_NS, OTHER, job, take

SAID = {
    "jid": JID,
    "fun": "test.sleep",
    "arg": [60],
    "tgt": "web*",
    "tgt_type": "glob",
    "user": "root",
    "ret": "",
    "pid": 4711,
}


def test_what_minions_say() -> None:
    found = active_jobs({"web2": [{**SAID, "pid": None}], "web1": [SAID], "db1": []}, None)
    assert found == {
        JID: {
            "Function": "test.sleep", "Arguments": [60], "Target": "web*", "Target-type": "glob", "User": "root",
            "StartTime": "2026, Nov 23 22:47:30.771814", "Running": [{"web1": 4711}, {"web2": 0}], "Returned": [],
        }
    }  # fmt: skip
    assert active_jobs({"web1": [{**SAID, "fun": ["a.b", "c.d"], "arg": [[], []]}]}, None)[JID]["Function"] == [
        "a.b",
        "c.d",
    ]


def test_what_is_kept_says_more(store: JobStore) -> None:
    store.add(job(), NOW_NS)
    take(store, "web2")
    found = active_jobs({"web1": [SAID, {**SAID, "jid": OTHER}]}, store)
    assert (found[JID]["Returned"], found[OTHER]["Returned"]) == (["web2"], [])


@pytest.mark.parametrize(
    "answer",
    [
        None,
        False,
        "'saltutil.running' is not available.",
        {},
        [None, 5, {}, [], {**SAID, "jid": "../x"}, {**SAID, "fun": 7}],
    ],
)
def test_a_minion_may_say_anything(answer: Any) -> None:
    assert list(active_jobs({"web1": answer, "web2": [SAID]}, None)) == [JID]
