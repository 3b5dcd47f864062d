"""The tables of docs/configuration.md, against the options."""

from __future__ import annotations

from pathlib import Path

import pytest

from sylvite.cli.config_show import value_text
from sylvite.daemons.options.changing import AT_START
from sylvite.daemons.options.explaining import Explained, explain
from sylvite.daemons.options.node import fields_of
from sylvite.daemons.options.reading import load_master, load_minion
from sylvite.daemons.options.unused import UNUSED
from tests.docs.blocks import PROJECT, table_under

PAGE = PROJECT / "docs" / "configuration.md"


@pytest.fixture(autouse=True)
def _nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SYLVITE_MASTER_CONFIG", "SYLVITE_MINION_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SYLVITE_CONFIG_DIR", str(tmp_path))


def options() -> list[dict[str, Explained]]:
    """Return what there is to say of each option of a master, and of a minion."""
    found: list[dict[str, Explained]] = []
    for loaded in (load_master(), load_minion()):
        names = [field.encode_name for field in fields_of(loaded.options)]
        found.append({name: told for name in names if (told := explain(loaded, name)) is not None})
    return found


def names(cell: str) -> list[str]:
    return [name.strip("`") for name in cell.split(", ")]


def test_every_option_with_its_default_and_what_it_is_for() -> None:
    master, minion = options()
    expected = {
        "Options of both": [name for name in master if name in minion],
        "Options of a master": [name for name in master if name not in minion],
        "Options of a minion": [name for name in minion if name not in master],
    }
    for heading, listed in expected.items():
        rows = table_under(PAGE, heading)
        assert [row[0].strip("`") for row in rows] == listed
        for (_, default, text), name in zip(rows, listed, strict=True):
            told = [node[name] for node in (master, minion) if name in node]
            assert text.startswith(told[0].text), name
            assert told[-1].text[1:] in text, name
            if name != "broker":
                assert default == ", ".join(dict.fromkeys(f"`{value_text(each.default)}`" for each in told)), name


def test_every_departure_from_salt() -> None:
    told = {(name, each.unlike_salt) for node in options() for name, each in node.items() if each.unlike_salt}
    shown = {(name, row[1]) for row in table_under(PAGE, "Not as in Salt") for name in names(row[0])}
    assert shown == told


def test_every_reason_for_having_no_meaning() -> None:
    rows = table_under(PAGE, "Options of Salt that have no meaning here")
    assert [row[0] for row in rows] == list(UNUSED)
    for reason, examples in rows:
        assert set(names(examples)) <= set(UNUSED[reason].split())


def test_every_option_that_counts_from_the_next_start_on() -> None:
    master, minion = options()
    found = {row[0]: set(names(row[1])) for row in table_under(PAGE, "Changes while it runs")}
    assert found["both"] == AT_START & master.keys() & minion.keys()
    assert found["master"] == (AT_START & master.keys()) - minion.keys()
    assert found["minion"] == (AT_START & minion.keys()) - master.keys()
    assert {name for listed in found.values() for name in listed} == AT_START
