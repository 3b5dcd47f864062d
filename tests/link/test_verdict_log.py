"""What a minion logs while it waits."""

from __future__ import annotations

import logging

import pytest

from sylvite.auth.keyring_values import State
from sylvite.link.messages import Verdict
from sylvite.link.verdict_log import VerdictLog


def told(log: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in log.records if record.levelno >= logging.INFO]
    log.clear()
    return found


def test_what_is_to_be_done_is_said_once_and_again_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log = VerdictLog("web1")
    for _ in range(3):
        log.tell("mars:4507", Verdict(State.PENDING.value))
    (said,) = told(caplog)
    assert said.startswith("minion web1 at the master mars:4507: its key waits there to be accepted")
    assert "`sylvite keys accept web1`" in said
    log.tell("mars:4507", Verdict(State.REJECTED.value))
    assert "--include-rejected" in told(caplog)[0]
    log.was_in()
    assert told(caplog) == ["minion web1 is let in"]
    log.was_in()
    assert told(caplog) == []
    log.tell("mars:4507", Verdict(State.PENDING.value))
    assert len(told(caplog)) == 1


@pytest.mark.parametrize("state", [*(state.value for state in State if state is not State.ACCEPTED), "full"])
def test_every_verdict_says_more_than_its_name(state: str, caplog: pytest.LogCaptureFixture) -> None:
    VerdictLog("web1").tell("mars:4507", Verdict(state, detail="as it is"))
    (said,) = told(caplog)
    assert said.endswith(" (as it is)")
    assert "{" not in said
