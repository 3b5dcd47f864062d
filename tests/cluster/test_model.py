"""Over random interleavings, with losses and kills: nothing is lost, nothing is doubled, and each origin keeps its order."""

from __future__ import annotations

import pytest

from sylvite.eventlog import sources
from tests.cluster.model import Model

RIGHT = {"lost": 0, "doubled": 0, "reordered": 0, "phantom": 0}


def wrong_of(seed: int, steps: int = 300) -> dict[str, int]:
    model = Model(seed)
    model.run(steps)
    return model.wrong()


@pytest.mark.parametrize("seed", range(16))
def test_each_log_has_everything_once(seed: int) -> None:
    assert wrong_of(seed) == RIGHT


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 2000))
def test_each_log_has_everything_once_in_many_worlds(seed: int) -> None:
    assert wrong_of(seed, 1500) == RIGHT


def test_a_table_that_knows_only_the_last_of_a_minion_loses_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stretches are for: without them a minion that has moved on makes the rest of its former master stale."""

    def all_before(found: list[tuple[int, int]], first: int, next_: int) -> None:
        found[:] = [(0, max(next_, found[0][1] if found else 0))]

    monkeypatch.setattr(sources.stretches, "add", all_before)
    assert sum(wrong_of(seed)["lost"] for seed in range(20)) > 0


def test_a_table_that_knows_nothing_of_minions_from_elsewhere_doubles_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(sources.stretches, "overlaps", never)
    assert sum(wrong_of(seed)["doubled"] for seed in range(20)) > 0
