"""Which deliveries have come before: known for a day, and bounded."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from sylvite.api import hook_memory
from sylvite.api.hook_memory import KEEP_S, Memory

NOW_NS = 1_800_000_000_000_000_000
DAY_NS = int(KEEP_S * 1e9)


@pytest.fixture
def memory(tmp_path: Path) -> Generator[Memory]:
    found = Memory(tmp_path)
    yield found
    found.close()


def test_a_delivery_keeps_its_source(memory: Memory, tmp_path: Path) -> None:
    """Also when it was begun and not ended, by a process that was killed in between."""
    first = memory.begin("a", b"1", NOW_NS)
    assert first.offset is None
    assert memory.begin("a", b"1", NOW_NS + 1) == first
    memory.close()
    again = Memory(tmp_path)
    assert again.begin("a", b"1", NOW_NS + 2) == first
    again.end("a", b"1", 17, 2**63 + 5)
    assert again.begin("a", b"1", NOW_NS + 3) == (first.source_epoch, 17, 2**63 + 5)
    again.close()


def test_another_hook_or_another_key_is_another_delivery(memory: Memory) -> None:
    sources = {memory.begin(hook, key, NOW_NS).source_epoch for hook, key in (("a", b"1"), ("a", b"2"), ("b", b"1"))}
    assert len(sources) == 3


def test_after_a_day_it_is_forgotten(memory: Memory) -> None:
    first = memory.begin("a", b"1", NOW_NS)
    memory.end("a", b"1", 17, 1)
    assert memory.begin("a", b"1", NOW_NS + DAY_NS - 1).offset == 17
    later = memory.begin("a", b"1", NOW_NS + DAY_NS)
    assert (later.offset, later.source_epoch == first.source_epoch) == (None, False)


def test_of_too_many_the_oldest_are_forgotten(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_memory, "DELIVERIES_MAX", 10)
    for number in range(25):
        memory.begin("a", b"%d" % number, NOW_NS + number)
        memory.end("a", b"%d" % number, number, 1)
    known = [memory.begin("a", b"%d" % number, NOW_NS + 30).offset for number in range(16, 25)]
    assert known == list(range(16, 25))
    assert memory.begin("a", b"0", NOW_NS + 30).offset is None
