"""The tables of docs/cloud.md, against the code that they tell of."""

from __future__ import annotations

import re

from sylvite.cloud.events import TEXTS
from sylvite.cloud.names import EC2_KEYS, PROFILE_KEYS, PROVIDER_KEYS
from sylvite.cloud.settings import MachineSettings
from sylvite.core.duration import parse_duration_s
from tests.docs.blocks import PROJECT, table_under, tables

PAGE = PROJECT / "docs" / "cloud.md"


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def table_with(first: str) -> list[list[str]]:
    """Return the table whose first row begins with that word."""
    (found,) = [rows for rows in tables(PAGE) if words(rows[0][0])[:1] == [first]]
    return found


def test_every_key_of_a_profile_is_told_with_what_it_is_without_it() -> None:
    rows = table_with("size")
    assert {key for row in rows for key in words(row[0])} == set(MachineSettings.__struct_fields__)
    for keys, without, _ in rows:
        first, *_ = words(keys)
        value = getattr(MachineSettings(), first)
        if isinstance(value, float):
            assert parse_duration_s(without) == value, first
        elif isinstance(value, bool):
            assert without == str(value).lower(), first


def test_salts_keys_of_providers() -> None:
    shown = {words(row[0])[0]: words(row[1]) for row in table_with("ec2")}
    assert shown == {"ec2": list(EC2_KEYS), **{driver: list(keys) for driver, keys in PROVIDER_KEYS.items()}}
    text = PAGE.read_text()
    for key in PROFILE_KEYS:
        assert f"`{key}`" in text


def test_every_event_is_told_with_its_text() -> None:
    shown = {step: text for row in table_under(PAGE, "Events") for step in words(row[0]) for text in [row[1]]}
    assert set(shown) == {*TEXTS, "deploy_script"}
    for step, text in TEXTS.items():
        assert text in shown[step] or "..." in shown[step], step
