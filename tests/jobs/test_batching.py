"""A job that goes to its minions by and by."""

from __future__ import annotations

from typing import Any

import pytest

from sylvite.errors import InvalidInput
from sylvite.jobs.batching import Batching, BatchLimits, read_size
from sylvite.jobs.collecting import Ask, Done, Publish, Wait

JID = "20261123224730771814"
ABOUT = {"jid": JID, "fun": "test.ping", "tgt": "*", "tgt_type": "glob", "user": "root"}
PING: dict[str, Any] = {"return": True, "retcode": 0}
FAILED: dict[str, Any] = {"return": "no", "retcode": 1}


def batching(*minions: str, down: tuple[str, ...] = (), **limits: Any) -> Batching:
    return Batching(ABOUT, minions, BatchLimits(**limits), down=down, timeout_s=5, gather_s=10, now=0)


def publish(job: Batching, now: float) -> list[str]:
    """Do what `Publish` says."""
    step = job.step(now)
    assert isinstance(step, Publish)
    job.expect(step.minions, now)
    return step.minions


def told(job: Batching) -> list[str]:
    return [tag.removeprefix(f"salt/batch/{JID}/") for tag, _ in job.take_events()]


def test_each_that_has_answered_makes_room_for_one() -> None:
    job = batching("a", "b", "c", "d", size=2)
    assert publish(job, 0) == ["a", "b"]
    assert job.step(0) == Wait(5)
    job.take("b", PING, 1)
    assert publish(job, 1) == ["c"]
    job.take("a", PING, 2)
    job.take("c", FAILED, 2)
    assert publish(job, 2) == ["d"]
    job.take("d", PING, 3)
    assert job.step(3) == Done()
    assert list(job.returned) == ["b", "a", "c", "d"]
    assert told(job) == ["new", "progress", "progress", "progress", "complete"]
    assert job.step(4) == Done()
    assert told(job) == []


def test_the_events_say_how_far_it_is() -> None:
    job = batching("a", "b", "c", down=("z",), size=1)
    (new,) = job.take_events()
    assert new == (
        f"salt/batch/{JID}/new",
        {**ABOUT, "driver": "cli", "state": {
            "total": 3, "completed": 0, "active": 0, "pending": 3, "failed": 0, "iter": 0, "last_progress": 0}},
    )  # fmt: skip
    publish(job, 0)
    job.take("a", FAILED, 1)
    publish(job, 1)
    ((tag, data),) = job.take_events()
    assert tag.endswith("/progress")
    assert data == {
        **ABOUT, "total": 3, "completed": 1, "active": 0, "pending": 2, "failed": 1, "iter": 1, "last_progress": 1
    }  # fmt: skip
    for minion, now in (("b", 2.0), ("c", 3.0)):
        job.take(minion, PING, now)
        if job.step(now) != Done():
            job.expect("c", now)
    tag, data = job.take_events()[-1]
    assert tag.endswith("/complete")
    assert data == {**ABOUT, "completed": ["b", "c"], "failed": ["a"], "total_minions": 3, "duration": 3}
    assert job.missing == ["z"]


def test_one_that_is_given_up_makes_room_too() -> None:
    job = batching("a", "b", size=1)
    publish(job, 0)
    assert job.step(5) == Ask()
    job.asked(["a"], 5)
    job.take_answer("a", {"return": {}, "retcode": 0}, 6)
    assert publish(job, 7) == ["b"]
    job.take("b", PING, 8)
    assert job.step(8) == Done()
    assert job.missing == ["a"]


def test_the_next_one_waits_a_while() -> None:
    job = batching("a", "b", "c", size=2, wait_s=3)
    assert publish(job, 0) == ["a", "b"]
    job.take("a", PING, 1)
    assert job.step(1) == Wait(4)
    job.take("b", PING, 2)
    assert job.step(2) == Wait(4)
    assert publish(job, 4) == ["c"]


def test_a_minion_that_fails_ends_it_for_all() -> None:
    job = batching("a", "b", "c", "d", size=2, failhard=True)
    publish(job, 0)
    job.take("a", FAILED, 1)
    assert job.step(1) == Done()
    assert job.halted
    tag, data = job.take_events()[-1]
    assert tag.endswith("/halted")
    assert (data["abandoned_active"], data["abandoned_pending"], data["failed"]) == (["b"], ["c", "d"], ["a"])
    assert job.missing == ["b", "c", "d"]


def test_a_batch_that_is_left_says_so_once() -> None:
    job = batching("a", "b", size=1)
    publish(job, 0)
    job.leave(1)
    job.leave(2)
    assert told(job) == ["new", "halted"]
    assert job.step(3) == Done()
    done = batching("a", size=1)
    publish(done, 0)
    done.take("a", PING, 1)
    done.step(1)
    done.leave(2)
    assert told(done)[-1] == "complete"


@pytest.mark.parametrize(
    ("text", "size"), [("3", 3), (3, 3), ("25%", 5), ("1%", 1), ("100 %", 20), ("12.5%", 2), ("500", 500)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert read_size(text, 20) == size


@pytest.mark.parametrize("text", ["0", "", "-1", "0%", "101%", "many", "1.5", "٣", "%"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidInput, match="no size of a batch"):
        read_size(text, 20)
