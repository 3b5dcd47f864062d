"""What a minion publishes of a job reaches the bus, once, whatever that says at first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sylvite.errors import AckTimeout, AckUnknown, ConnectionLost, DiskFull, EventTooBig, InvalidData, SylviteError
from sylvite.jobs import outgoing
from sylvite.jobs.outgoing import publish_for_sure

RETURN = {"jid": "20261123224730000001", "return": "x", "fun_args": ["y"]}


class Bus:
    """Answers with each of the errors in turn, and then with yes."""

    def __init__(self, *errors: SylviteError) -> None:
        self.errors = list(errors)
        self.published: list[dict[str, Any]] = []
        self.retried: list[AckUnknown] = []

    async def publish(self, tag: str, data: dict[str, Any]) -> None:
        self.published.append(data)
        self._answer()

    async def retry(self, error: AckUnknown) -> None:
        self.retried.append(error)
        self._answer()

    def _answer(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "PAUSE_S", (0.0, 0.0))


def publish(bus: Bus, data: dict[str, Any]) -> None:
    asyncio.run(publish_for_sure(bus, "__schedule_return", data))


def test_a_full_disk_and_a_lost_connection_are_waited_for() -> None:
    bus = Bus(DiskFull("no space"), ConnectionLost("away"), DiskFull("no space"))
    publish(bus, RETURN)
    assert bus.published == [RETURN] * 4


def test_what_may_have_arrived_is_asked_for_and_not_published_again() -> None:
    """So that a return is there once."""
    first, second = AckTimeout("?"), AckUnknown("?")
    bus = Bus(first, second)
    publish(bus, RETURN)
    assert bus.published == [RETURN]
    assert bus.retried == [first, second]


def test_what_was_not_taken_after_all_is_published_again() -> None:
    bus = Bus(AckTimeout("?"), ConnectionLost("nothing was sent"))
    publish(bus, RETURN)
    assert (len(bus.published), len(bus.retried)) == (2, 1)


@pytest.mark.parametrize("error", [EventTooBig(2_000_000, 1_000_000), InvalidData("data has more than 16384 maps")])
def test_a_return_that_fits_into_no_event_goes_without_its_value(error: SylviteError) -> None:
    bus = Bus(error)
    publish(bus, RETURN)
    assert bus.published[1] == {"jid": RETURN["jid"], "return": f"VALUE_TRIMMED: {error}", "fun_args": []}


def test_what_can_never_be_published_is_not_tried_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    for data in (RETURN, {"tag": "salt/job/1/prog/alpha/0"}):
        publish(Bus(*[InvalidData("no")] * 3), data)
        assert "cannot be published: no" in caplog.text
