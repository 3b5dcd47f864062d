"""Watching: which jobs are waited for no more, whatever their minions do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sylvite.jobs.minions import MinionRecord
from sylvite.jobs.values import Job, Listed
from sylvite.jobs.watching import GRACE_S, PAUSE_S_MAX, QUIET_S, Look, Watch
from tests.jobs.stores import JID, OTHER

S = 1_000_000_000
ANSWER_S = 15.0
BEGUN_NS = 1_000 * S


def open_job(*minions: str, jid: str = JID, fun: str = "test.sleep") -> Listed:
    return Listed(Job(jid, fun, (), "*", "glob", "root", minions), BEGUN_NS, None, 2, 2 - len(minions))


def here(minion: str) -> MinionRecord:
    return MinionRecord(minion, None, 1, None, "", "")


def gone(minion: str, left_s: float) -> MinionRecord:
    """It left so long after the job was published."""
    return MinionRecord(minion, None, 1, BEGUN_NS + int(left_s * S), "", "")


class Day:
    """One watch, asked at moments of its own.  `asked`: when somebody was asked."""

    def __init__(self, *jobs: Listed, records: Sequence[MinionRecord] | None) -> None:
        self.jobs, self.records = list(jobs), records
        self.watch = Watch(ANSWER_S, BEGUN_NS)
        self.asked: list[float] = []
        self.ended: dict[str, float] = {}

    def at(self, after_s: float, answers: dict[str, Any] | None = None) -> Look:
        now_ns = BEGUN_NS + int(after_s * S)
        look = self.watch.look(self.watch.due(self.jobs, now_ns), self.records, now_ns)
        self.ended |= dict.fromkeys(look.ended, after_s)
        self.jobs = [each for each in self.jobs if each.job.jid not in look.ended]
        if look.ask:
            self.asked.append(after_s)
            self.watch.hear(answers or {}, now_ns)
        return look

    def run(self, until_s: float, answers: dict[str, Any] | None = None) -> None:
        for second in range(0, int(until_s), 2):
            self.at(second, answers)


def runs(*jids: str) -> list[dict[str, Any]]:
    return [{"jid": jid, "fun": "test.sleep", "pid": 4711} for jid in jids]


def test_a_minion_that_says_that_it_runs_the_job_is_waited_for_however_long() -> None:
    day = Day(open_job("web1"), records=[here("web1")])
    day.run(12 * QUIET_S, {"web1": runs(OTHER, JID)})
    assert day.ended == {}
    first, pauses = day.asked[0], [b - a for a, b in zip(day.asked, day.asked[1:], strict=False)]
    assert ANSWER_S <= first < ANSWER_S + 2
    assert pauses == sorted(pauses), "it is asked less and less often"
    assert PAUSE_S_MAX <= pauses[-1] < PAUSE_S_MAX + 2


def test_a_minion_that_does_not_run_it_has_a_little_more_time() -> None:
    """Its return may be on its way; it is not asked a second time."""
    day = Day(open_job("web1"), records=[here("web1")])
    day.run(60, {"web1": []})
    assert len(day.asked) == 1
    assert GRACE_S <= day.ended[JID] - day.asked[0] < GRACE_S + 2


def test_a_minion_that_has_begun_anew_is_given_up() -> None:
    day = Day(open_job("web1"), records=[here("web1")])
    day.run(100, {"web1": runs(JID)})
    day.records = [gone("web1", 50)]
    day.run(300)
    assert day.ended == {}
    day.records = [here("web1")]
    day.run(1000, {"web1": runs(OTHER)})
    assert list(day.ended) == [JID]


@pytest.mark.parametrize("records", [[], [gone("web1", -10)], [MinionRecord("web1", 1, None, None, "", "")]])
def test_a_minion_that_has_never_got_it_is_given_up_at_once(records: list[MinionRecord]) -> None:
    """It was away when the job was published, or nothing is known of it any more."""
    day = Day(open_job("web1"), records=records)
    day.run(60)
    assert day.asked == []
    assert ANSWER_S <= day.ended[JID] < ANSWER_S + 2


@pytest.mark.parametrize("answer", [None, "nonsense", [{"pid": 1}], [7], {JID: 1}])
def test_a_minion_that_says_nothing_of_use_is_given_up_after_a_long_time(answer: Any) -> None:
    day = Day(open_job("web1"), records=[here("web1")])
    day.run(2 * QUIET_S, {} if answer is None else {"web1": answer})
    assert QUIET_S <= day.ended[JID] < QUIET_S + PAUSE_S_MAX + 2


def test_a_minion_that_went_away_with_the_job_is_given_up_after_a_long_time() -> None:
    day = Day(open_job("web1"), records=[here("web1")])
    day.run(600, {"web1": runs(JID)})
    heard_s = day.asked[-1]
    day.records = [gone("web1", 600)]
    day.run(600 + 2 * QUIET_S)
    assert heard_s + QUIET_S <= day.ended[JID] < heard_s + QUIET_S + PAUSE_S_MAX + 2


def test_a_job_ends_with_the_last_of_its_minions() -> None:
    day = Day(open_job("web1", "web2", "web3"), open_job("web1", jid=OTHER), records=[here("web1"), here("web2")])
    assert day.at(20, {"web1": runs(OTHER), "web2": runs(JID)}) == Look([], ["web1", "web2"])
    assert day.at(26) == Look([], ["web2"])
    day.jobs[0] = open_job("web1", "web3")  # web2 has answered.
    assert day.at(60) == Look([JID], ["web1"])


@pytest.mark.parametrize("fun", ["saltutil.find_job", "saltutil.running"])
def test_a_question_is_not_asked_for(fun: str) -> None:
    day = Day(open_job("web1", fun=fun), records=[here("web1")])
    day.run(60)
    assert day.asked == []
    assert ANSWER_S <= day.ended[JID] < ANSWER_S + 2


def test_where_nothing_is_known_of_minions_all_are_asked() -> None:
    day = Day(open_job("web1", "web2"), records=None)
    assert day.at(20, {"web1": [], "web2": []}) == Look([], ["web1", "web2"])
    assert day.at(26) == Look([JID], [])
