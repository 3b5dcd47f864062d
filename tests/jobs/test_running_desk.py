"""The desk: which jobs a minion does, which wait, which are answered and which are nothing to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.jobs import desk
from sylvite.jobs.desk import Begin, Decision, Desk, Ignore, Job, Refuse, Wait, what_is_wrong

GRAINS = {"id": "alpha", "os": "Debian"}


def jid_of(number: int) -> str:
    return f"2026112322473{number:07d}"


def publish(desk: Desk, number: int, **more: Any) -> Decision:
    data: dict[str, Any] = {"fun": "test.ping", "arg": [], "tgt": "*", "jid": jid_of(number), **more}
    return desk.decide(f"salt/job/{jid_of(number)}/publish", data, GRAINS)


def job_of(decision: Decision) -> Job:
    assert isinstance(decision, Begin | Wait | Refuse)
    return decision.job


def test_as_many_run_as_may_and_the_others_follow_in_their_order() -> None:
    desk = Desk("alpha", remembered=100, at_once=2)
    kinds = [type(publish(desk, number)) for number in range(5)]
    assert kinds == [Begin, Begin, Wait, Wait, Wait]
    assert [job.jid for job in desk.waiting] == [jid_of(2), jid_of(3), jid_of(4)]
    following = [desk.done(jid_of(number)) for number in (1, 0, 2, 3, 4)]
    assert [job and job.jid for job in following] == [jid_of(2), jid_of(3), jid_of(4), None, None]
    assert isinstance(publish(desk, 9), Begin)


def test_those_that_look_after_jobs_do_not_wait() -> None:
    desk = Desk("alpha", remembered=100, at_once=1)
    publish(desk, 1)
    assert isinstance(publish(desk, 2, fun="saltutil.kill_job", arg=[jid_of(1)]), Begin)
    assert isinstance(publish(desk, 3), Wait)
    assert isinstance(publish(desk, 4, fun=["saltutil.running"], arg=[[]]), Wait)
    # One of them that ends makes no room for another one: the limit is still reached.
    assert desk.done(jid_of(2)) is None
    follower = desk.done(jid_of(1))
    assert follower is not None
    assert follower.jid == jid_of(3)


def test_nor_do_they_run_without_a_limit() -> None:
    found = Desk("alpha", remembered=1000, at_once=1)
    kinds = [type(publish(found, number, fun="saltutil.running")) for number in range(desk.URGENT_MORE + 2)]
    assert kinds == [Begin] * (desk.URGENT_MORE + 1) + [Wait]


def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "WAITING_MAX", 3)
    found = Desk("alpha", remembered=100, at_once=1)
    kinds = [type(publish(found, number)) for number in range(6)]
    assert kinds == [Begin, Wait, Wait, Wait, Refuse, Refuse]
    found.done(jid_of(0))
    assert isinstance(publish(found, 7), Wait)


def test_only_so_many_bytes_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "WAITING_BYTES_MAX", 100_000)
    found = Desk("alpha", remembered=100, at_once=1)
    kinds = [type(publish(found, number, arg=["x" * 40_000])) for number in range(4)]
    assert kinds == [Begin, Wait, Wait, Refuse]
    found.done(jid_of(0))
    assert isinstance(publish(found, 7, arg=["x" * 40_000]), Wait)
    assert [job.jid for job in found.drop_waiting()] == [jid_of(2), jid_of(7)]
    assert isinstance(publish(found, 8, arg=["x" * 90_000]), Wait)


def test_a_job_is_done_once_as_long_as_it_is_remembered_or_runs() -> None:
    desk = Desk("alpha", remembered=2, at_once=1)
    assert isinstance(publish(desk, 1), Begin)
    assert isinstance(publish(desk, 2), Wait)
    for number in (3, 4):
        publish(desk, number)
    # Neither is among the last two, but one runs, and one waits.
    assert isinstance(publish(desk, 1), Ignore)
    assert isinstance(publish(desk, 2), Ignore)
    for number in (1, 2, 3, 4):
        desk.done(jid_of(number))
    assert isinstance(publish(desk, 4), Ignore)
    assert isinstance(publish(desk, 1), Begin)


def test_a_job_for_others_is_not_remembered() -> None:
    desk = Desk("alpha", remembered=100)
    assert publish(desk, 1, tgt="beta") == Ignore(None)
    assert isinstance(publish(desk, 1), Begin)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tgt": "os:(a+)+$", "tgt_type": "grain_pcre"}, "could take for ever"), ({"tgt": "*", "tgt_type": "range"}, "range server"),
        ({"tgt": "*", "tgt_type": "nosuch"}, "no such type"), ({"tgt": None}, "must be a text"), ({"tgt": [1]}, "must be a text"),
        ({"tgt_type": 5}, "must be a text"), ({"delimiter": 5}, "must be a text"), ({"jid": 5}, "does not bear the jid"),
        ({"tgt": "a and", "tgt_type": "compound"}, "salt/job/"),
    ],
)  # fmt: skip
def test_what_is_not_known_to_be_for_this_minion_is_not_answered(more: dict[str, Any], said: str) -> None:
    decision = publish(Desk("alpha", remembered=100), 1, **more)
    assert isinstance(decision, Ignore)
    assert decision.reason is not None
    assert said in decision.reason
    assert "\n" not in decision.reason


def test_a_job_that_is_for_it_and_cannot_be_read_is_answered() -> None:
    found = Desk("alpha", remembered=100)
    decision = publish(found, 1, fun="test.ping", arg={"a": 1}, metadata=[1], user="root")
    assert isinstance(decision, Refuse)
    assert decision.job.publication == {
        "jid": jid_of(1), "user": "root", "metadata": [1], "fun": "test.ping", "arg": {"a": 1},
    }  # fmt: skip
    assert isinstance(publish(found, 1), Ignore)


@pytest.mark.parametrize("tag", ["salt/job/publish", "salt/job/20261123224730000001/x/publish", "salt/job//publish"])
def test_other_tags_are_none_of_jobs(tag: str) -> None:
    decision = Desk("alpha", remembered=100).decide(tag, {"jid": "20261123224730000001", "tgt": "*"}, GRAINS)
    assert isinstance(decision, Ignore)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    data=st.dictionaries(st.sampled_from(["fun", "arg", "tgt", "tgt_type", "jid", "user", "ret", "delimiter"]), json)
)
def test_whatever_is_published_is_decided(data: dict[str, Any]) -> None:
    """And what begins can be run: it has a function or several, with a list of arguments each."""
    said = {"jid": jid_of(1), **data}
    decision = Desk("alpha", remembered=10).decide(f"salt/job/{jid_of(1)}/publish", said, GRAINS)
    if isinstance(decision, Begin):
        publication = decision.job.publication
        assert isinstance(publication["fun"], str | list)
        assert isinstance(publication["arg"], list)
        assert what_is_wrong(publication) is None
