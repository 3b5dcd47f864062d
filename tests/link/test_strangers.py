"""What is told of masters that are not to be trusted, and how often."""

from __future__ import annotations

from sylvite.auth.enrolment import WrongMaster
from sylvite.auth.keys import Fingerprint, InvalidKey
from sylvite.link.strangers import CHANGED_S, STILL_THERE_S, Strangers

ONE, OTHER = (WrongMaster(Fingerprint(each * 32), "and not …") for each in ("2f", "0a"))
AT = "10.0.3.1:4507"


def test_a_stranger_is_told_of_once_and_again_each_hour() -> None:
    strangers = Strangers("web1")
    assert strangers.met(AT, ONE, ["aa"], 0.0) == {
        "id": "web1", "master": AT, "found": "2f" * 32, "pinned": ["aa"], "count": 1, "reason": str(ONE),
    }  # fmt: skip
    assert [strangers.met(AT, ONE, [], each) for each in (1.0, 100.0, STILL_THERE_S - 1)] == [None] * 3
    told = strangers.met(AT, ONE, [], STILL_THERE_S)
    assert told is not None
    assert told["count"] == 4


def test_another_key_is_told_of_but_not_one_each_second() -> None:
    strangers = Strangers("web1")
    assert strangers.met(AT, ONE, [], 0.0)
    assert strangers.met(AT, OTHER, [], CHANGED_S - 1) is None
    told = strangers.met(AT, OTHER, [], CHANGED_S)
    assert told is not None
    assert (told["found"], told["count"]) == ("0a" * 32, 2)


def test_each_master_is_told_of_and_all_anew_once_one_was_good() -> None:
    strangers = Strangers("web1")
    assert strangers.met(AT, ONE, [], 0.0)
    assert strangers.met("10.0.3.2:4507", ONE, [], 0.0)
    strangers.was_in()
    assert strangers.met(AT, ONE, [], 1.0)


def test_one_that_shows_no_key_at_all() -> None:
    told = Strangers("web1").met(AT, InvalidKey("no key"), [], 0.0)
    assert told is not None
    assert (told["found"], told["reason"]) == ("", "no key")
