"""Whose returns are waited for, and how long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sylvite.jobs.collecting import GRACE_S, Ask, Collecting, Done, Publish, Returned, Wait, shape_missing, shape_return

JID = "20261123224730771814"
PING: dict[str, Any] = {"return": True, "retcode": 0, "jid": JID}
RUNS: dict[str, Any] = {"return": {"pid": 4711, "jid": JID}, "retcode": 0}
IDLE: dict[str, Any] = {"return": {}, "retcode": 0}


def collecting(*minions: str, away: tuple[str, ...] = ()) -> Collecting:
    """Of a job that was published at 0, with the usual times: 5 s and 10 s."""
    found = Collecting(JID, timeout_s=5, gather_s=10, now=0)
    found.expect(minions, 0, away=away)
    return found


def ask(job: Collecting, now: float, present: Iterable[str] | None = None) -> list[str]:
    """Do what `Ask` says; return who was asked."""
    assert job.step(now) == Ask()
    asked = job.reachable(None if present is None else frozenset(present))
    job.asked(asked, now)
    return asked


def test_it_is_done_when_all_have_answered() -> None:
    job = collecting("web1", "web2")
    assert job.step(0.1) == Wait(5)
    assert job.take("web1", PING, 0.2) == Returned("web1", PING)
    assert job.waiting == ["web2"]
    assert job.take("web2", PING, 0.3) == Returned("web2", PING)
    assert job.step(0.3) == Done()
    assert job.missing == []


def test_a_second_return_and_one_of_nobody_who_was_asked_do_not_count() -> None:
    job = collecting("web1", "web2")
    job.take("web1", PING, 1)
    assert job.take("web1", {**PING, "return": False}, 2) is None
    assert job.take("db1", PING, 2) is None
    assert job.take("web2", {"retcode": 0}, 2) is None, "a return without a return is none"
    assert job.returned == {"web1": PING}


def test_without_news_minions_are_asked_and_then_given_up() -> None:
    job = collecting("web1", "web2", "web3")
    job.take("web1", PING, 3)
    assert job.step(5) == Wait(8), "a return is news"
    assert ask(job, 8) == ["web2", "web3"]
    assert job.step(8.2) == Wait(18)
    job.take_answer("web2", IDLE, 9)
    assert job.step(18) == Done()
    assert job.missing == ["web2", "web3"]
    assert job.given_up == {"web2", "web3"}


def test_a_minion_that_says_that_it_runs_the_job_is_waited_for_and_asked_again() -> None:
    job = collecting("web1", "web2")
    assert ask(job, 5) == ["web1", "web2"]
    job.take_answer("web1", RUNS, 6)
    assert ask(job, 15) == ["web1"]
    job.take_answer("web1", RUNS, 16)
    assert ask(job, 25) == ["web1"]
    assert job.take("web1", PING, 26) == Returned("web1", PING)
    assert job.step(26) == Done()
    assert job.missing == ["web2"]


def test_when_all_have_said_no_only_what_is_on_its_way_is_waited_for() -> None:
    job = collecting("web1", "web2")
    ask(job, 5)
    job.take_answer("web1", IDLE, 6)
    assert job.step(6) == Wait(15)
    job.take_answer("web2", IDLE, 7)
    assert job.step(7) == Wait(7 + GRACE_S)
    assert job.take("web2", PING, 7.5) == Returned("web2", PING)
    assert job.step(7 + GRACE_S) == Done()
    assert job.missing == ["web1"]


def test_a_minion_that_answers_the_job_need_not_answer_the_question() -> None:
    job = collecting("web1", "web2")
    ask(job, 5)
    job.take("web1", PING, 6)
    job.take_answer("web2", IDLE, 7)
    assert job.step(7) == Wait(7 + GRACE_S)


def test_a_question_that_failed_is_a_no() -> None:
    """A minion without the function, say; and an answer of somebody who was not asked is none."""
    job = collecting("web1")
    job.take_answer("web1", RUNS, 1)
    ask(job, 5)
    job.take_answer("web9", RUNS, 6)
    job.take_answer("web1", {"return": {"a": 1}, "retcode": 254}, 6)
    assert job.step(7) == Done()


def test_who_was_not_here_and_still_is_not_is_given_up_after_the_timeout() -> None:
    job = collecting("web1", "web2", "web3", away=("web2", "web3"))
    job.take("web1", PING, 0.1)
    assert job.step(1) == Wait(5.1)
    assert ask(job, 6, ("web1", "web3")) == ["web3"], "it has come meanwhile"
    assert job.given_up == {"web2"}


def test_who_went_away_meanwhile_may_come_back() -> None:
    job = collecting("web1")
    assert ask(job, 5, ()) == []
    assert job.step(6) == Wait(15)
    assert job.take("web1", PING, 9) == Returned("web1", PING)
    assert job.step(9) == Done()


def test_when_all_who_have_not_answered_were_never_here_it_is_over_at_once() -> None:
    job = collecting("web1", away=("web1",))
    assert ask(job, 5, ("web2",)) == []
    assert job.step(5) == Done()


def test_a_return_of_one_that_was_given_up_counts_while_others_are_waited_for() -> None:
    job = collecting("web1", "web2")
    ask(job, 5)
    job.take_answer("web1", RUNS, 6)
    job.step(15)
    assert job.given_up == {"web2"}
    assert job.take("web2", PING, 16) == Returned("web2", PING)
    assert job.missing == ["web1"]


def test_further_minions_of_a_batch_get_their_time() -> None:
    job = collecting("web1")
    job.take("web1", PING, 4)
    job.expect(["web2"], 4.5)
    assert job.step(5) == Wait(9.5)
    assert ask(job, 9.5) == ["web2"]


def test_nobody_is_expected() -> None:
    assert Collecting(JID, now=0).step(0) == Done()


def test_shapes() -> None:
    assert shape_return({**PING, "out": "highstate", "fun": "x"}) == {
        "ret": True, "retcode": 0, "jid": JID, "out": "highstate"
    }  # fmt: skip
    assert shape_missing(JID, "a", None)["ret"].startswith("Minion did not return. [No response]\n")
    assert shape_missing(JID, "a", frozenset("b"))["ret"] == "Minion did not return. [Not connected]"


events = st.one_of(
    st.tuples(st.just("return"), st.sampled_from("abcd")),
    st.tuples(st.just("runs"), st.sampled_from("abcd")),
    st.tuples(st.just("idle"), st.sampled_from("abcd")),
)


@given(st.lists(st.tuples(st.floats(0, 12), events), max_size=40), st.sets(st.sampled_from("abc")))
def test_it_always_ends_and_every_minion_is_either_returned_or_missing(
    happens: list[tuple[float, tuple[str, str]]], away: set[str]
) -> None:
    """Whatever comes and whenever: a step never waits for a moment that is past, and a few rounds of silence end it."""
    job = collecting("a", "b", "c", away=tuple(away))
    now = 0.0
    for pause_s, (what, who) in happens:
        now += pause_s
        match job.step(now):
            case Ask():
                job.asked(job.reachable(frozenset("ab")), now)
            case Wait(until):
                assert until > now
            case Done():
                break
            case Publish():
                raise AssertionError("that is for batches")
        if what == "return":
            job.take(who, PING, now)
        else:
            job.take_answer(who, RUNS if what == "runs" else IDLE, now)
    for _ in range(8):
        match job.step(now):
            case Ask():
                job.asked(job.waiting, now)
            case Wait(until):
                now = until
            case Done():
                break
            case Publish():
                raise AssertionError("that is for batches")
    assert job.step(now) == Done()
    assert {*job.returned, *job.missing} == {"a", "b", "c"}
