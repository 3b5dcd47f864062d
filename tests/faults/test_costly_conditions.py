"""B-06: a condition that costs as much as it may, on events as large as they may be, beside somebody who only publishes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.core.environment import STEPS_MAX
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.report import control, report

SETTINGS = BrokerSettings(log=LogSettings(keep_free_bytes=0))
COSTLY = "any(data.list, it < 0 or it == -1 or it in [-2, -3] or it is None)"
LIST = [0] * (STEPS_MAX // 3)
EVENTS = 3
SHARE_MAX = 0.5
"""Of the time that a condition takes, for one answer.  Where the loop waits for the condition, it is about all of it."""
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("b06")


def _publish_beside(forks: Forks, folder: Path, *, without: str | None = None) -> None:
    """Raises AssertionError: who only publishes waits for the condition."""
    started = forks.start(Start(str(folder), SETTINGS, without=without))
    assert started.ready, broker_output(folder)
    socket = folder / "bus.sock"
    shares: list[float] = []
    answers = wrong = 0
    with (
        Client.connect(socket) as costly,
        Client.connect(socket) as good,
        costly.subscribe("costly/", where=COSTLY + " or data.n >= 0") as subscription,
    ):
        for number in range(EVENTS):
            began, longest_s = time.monotonic(), 0.0
            costly.publish("costly/one", {"n": number, "list": LIST}, level="none")
            while (event := subscription.next(0)) is None:
                asked = time.monotonic()
                good.publish("good/one", {"n": answers}, level="written", timeout_s=WITHIN_S)
                answers += 1
                longest_s = max(longest_s, time.monotonic() - asked)
            wrong += event.data["n"] != number
            shares.append(longest_s / (time.monotonic() - began))
    assert forks.stop(started.pid) == 0, broker_output(folder)
    assert "Traceback" not in broker_output(folder), broker_output(folder)
    counters = {"wait_for_a_condition": round(min(shares), 2), "wrong": wrong, "answers": answers}
    report(
        "B-06 costly", seed=0, runs=EVENTS, counters=counters, target={"wait_for_a_condition": SHARE_MAX, "wrong": 0}
    )


def test_others_are_answered_while_a_costly_condition_is_worked_out(forks: Forks, folder: Path) -> None:
    _publish_beside(forks, folder)


def test_a_broker_that_works_it_out_in_its_loop_is_found_out(forks: Forks, folder: Path) -> None:
    """Negative control."""
    without = "working out costly conditions elsewhere"
    with control("B-06", without=without, match="wait_for_a_condition"):
        _publish_beside(forks, folder, without=without)
