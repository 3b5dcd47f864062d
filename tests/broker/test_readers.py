"""Readers: what one subscription does to the others, which is nothing."""

from __future__ import annotations

from typing import Any

import pytest

from sylvite.core.predicate import Predicate
from sylvite.wire.messages import Refuse
from tests.broker.bus import Bus


@pytest.fixture
def mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the broker divide by zero where a condition is looked at."""

    def divide(_: Predicate, *__: Any) -> bool:
        return bool(1 // 0)

    monkeypatch.setattr(Predicate, "matches", divide)


@pytest.mark.usefixtures("mistake")
@pytest.mark.parametrize("at", ["newest", "oldest"])
def test_a_mistake_over_one_subscription_ends_that_one_only(at: str, caplog: pytest.LogCaptureFixture) -> None:
    """Live or in history: its reader is told, the log says where it happened, and all others get everything."""
    bus = Bus()
    writer, first, unlucky, last = bus.person(source_epoch=8), bus.person(), bus.person(), bus.person()
    writer.publish("a/1")
    bus.run()
    for number, person in enumerate((first, unlucky, last)):
        person.subscribe(at=at, startswith=("a/",), where="data.n == 0" if number == 1 else None)
    writer.publish("a/2")
    expected = ["a/2"] if at == "newest" else ["a/1", "a/2"]
    refused = unlucky.only(Refuse)
    assert (refused.what, refused.ref, refused.code) == ("subscribe", 1, "error")
    assert [first.tags(), last.tags()] == [expected, expected]
    assert "ZeroDivisionError" in caplog.text
    assert not bus.failures
    unlucky.subscribe(startswith=("a/",))  # Its number is free again.
    writer.publish("a/3")
    assert [unlucky.tags(), first.tags(), last.tags()] == [["a/3"]] * 3


def test_a_lack_of_memory_concerns_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Predicate, *__: Any) -> bool:
        raise MemoryError

    monkeypatch.setattr(Predicate, "matches", fail)
    bus = Bus()
    writer, reader = bus.person(source_epoch=8), bus.person()
    reader.subscribe(where="data.n == 0")
    bus.run()
    writer.publish("a/1")
    with pytest.raises(MemoryError):
        bus.run()
