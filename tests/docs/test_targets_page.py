"""The tables of docs/targets.md, against the code."""

from __future__ import annotations

from sylvite.core.environment import STEPS_MAX
from sylvite.core.grammar import PATTERN_STEPS_MAX
from sylvite.core.pattern import PATTERN_CHARACTERS_MAX
from sylvite.jobs.compound import CHARACTERS_MAX, DEPTH_MAX, WORDS_MAX
from sylvite.jobs.matchers import IDS_MAX
from sylvite.jobs.targets import TARGET_TYPES, parse_target
from sylvite.jobs.values import Arrival
from tests.docs.blocks import PROJECT, table_under

PAGE = PROJECT / "docs" / "targets.md"
EXAMPLES = {"E@": "E@a", "L@": "L@a", "G@": "G@a:b", "P@": "P@a:b", "N@": "N@a", "S@": "S@10.0.0.1"}


def test_types_and_letters() -> None:
    rows = table_under(PAGE, "Types")
    assert [row[0].strip("`") for row in rows] == list(TARGET_TYPES)
    letters = {row[1].strip("`") for row in rows} - {""}
    assert letters == set(EXAMPLES)
    for example in EXAMPLES.values():
        assert parse_target(example, "compound", nodegroups={"a": "b"})


def test_limits() -> None:
    assert {row[0]: int(row[1]) for row in table_under(PAGE, "Limits of a target")} == {
        "characters, all of it": CHARACTERS_MAX,
        "ids in a list": IDS_MAX,
        "words, with those of its nodegroups": WORDS_MAX,
        "depth, with its nodegroups": DEPTH_MAX,
        "characters of a pattern": PATTERN_CHARACTERS_MAX,
        "steps of its patterns, worked out before it is used": PATTERN_STEPS_MAX,
        "steps on the grains of one minion": STEPS_MAX,
    }


def test_ways_in_which_a_return_arrives() -> None:
    assert [row[0].strip("`") for row in table_under(PAGE, "The job store")] == [each.name for each in Arrival]
