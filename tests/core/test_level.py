"""How far an event must have got."""

from __future__ import annotations

import pytest

from sylvite.core.level import BY_POLICY, Level
from sylvite.errors import InvalidSetting


def test_each_level_includes_the_lower_ones() -> None:
    assert Level.NONE < Level.WRITTEN < Level.SYNCED < Level.REPLICATED


def test_no_level_has_the_number_that_asks_for_the_policy() -> None:
    assert BY_POLICY not in list(Level)


@pytest.mark.parametrize("level", list(Level))
def test_a_level_is_found_by_its_name(level: Level) -> None:
    assert Level.named(level.name.lower()) is level
    assert Level.named(level.name) is level


def test_an_unknown_level_names_those_there_are() -> None:
    with pytest.raises(InvalidSetting, match="none, written, synced, replicated"):
        Level.named("safe")
