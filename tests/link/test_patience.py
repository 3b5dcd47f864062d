"""How long a minion waits, and when it gives up: each option does what its page says."""

from __future__ import annotations

from typing import Any

from sylvite.link.messages import Verdict
from sylvite.link.patience import TAKEN_OVER_S, Patience, PatienceSettings

PENDING, REJECTED = Verdict("pending", retry_s=10.0), Verdict("rejected", retry_s=10.0)


def patience(chance: float = 1.0, masters: int = 1, **settings: Any) -> Patience:
    return Patience(PatienceSettings(**settings), lambda: chance, masters)


def test_the_wait_is_at_least_recon_default_and_grows_by_at_most_recon_max() -> None:
    shortest, longest = patience(0.0), patience(1.0)
    assert [shortest.after_loss() for _ in range(6)] == [1.0] * 6
    assert [longest.after_loss() for _ in range(6)] == [2.0, 3.0, 5.0, 9.0, 11.0, 11.0]


def test_without_recon_randomize_nothing_is_by_chance() -> None:
    waits = patience(0.5, recon_randomize=False, recon_default_s=2.0, recon_max_s=20.0)
    assert [waits.after_loss() for _ in range(6)] == [2.0, 4.0, 8.0, 16.0, 22.0, 22.0]


def test_one_that_was_let_in_begins_again() -> None:
    waits = patience(1.0)
    for _ in range(5):
        waits.after_loss()
    waits.was_in()
    assert waits.after_loss() == 2.0


def test_the_wait_for_acceptance_grows_up_to_its_limit_and_only_with_one() -> None:
    assert [patience().after_verdict(PENDING) for _ in range(3)] == [10.0] * 3
    waits = patience(acceptance_wait_time_s=5.0, acceptance_wait_time_max_s=12.0)
    assert [waits.after_verdict(PENDING) for _ in range(4)] == [5.0, 10.0, 12.0, 12.0]


def test_the_master_may_say_that_it_is_only_a_moment() -> None:
    assert patience().after_verdict(Verdict("pending", retry_s=1.0)) == 1.0


def test_a_master_that_is_full_is_left_alone_for_as_long_as_it_says() -> None:
    assert patience().after_verdict(Verdict("full", retry_s=60.0)) == 60.0


def test_who_was_rejected_gives_up_unless_rejected_retry_says_otherwise() -> None:
    for retry in (True, False):
        waits = patience(rejected_retry=retry)
        assert not waits.gives_up
        assert waits.after_verdict(REJECTED) == 10.0
        assert waits.gives_up == (not retry)


def test_of_several_masters_each_has_to_reject_it() -> None:
    waits = patience(masters=2, rejected_retry=False)
    waits.after_verdict(REJECTED)
    assert not waits.gives_up
    waits.after_verdict(PENDING)
    waits.after_verdict(REJECTED)
    assert not waits.gives_up
    waits.after_verdict(REJECTED)
    assert waits.gives_up


def test_who_meets_only_wrong_masters_gives_up_where_wrong_master_retry_is_off() -> None:
    for retry in (True, False):
        waits = patience(masters=2, wrong_master_retry=retry)
        waits.after_loss(wrong_master=True)
        waits.after_loss()
        waits.after_loss(wrong_master=True)
        waits.after_verdict(PENDING)
        waits.after_loss(wrong_master=True)
        assert not waits.gives_up
        waits.after_loss(wrong_master=True)
        assert waits.gives_up == (not retry)


def test_two_machines_with_one_key_do_not_fight_for_the_connection() -> None:
    assert patience(0.0).after_loss(taken_over=True) == TAKEN_OVER_S
