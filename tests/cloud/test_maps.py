"""Maps of machines, as salt-cloud has them; and what a machine of one has beside its profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from sylvite.cloud.maps import joined, read_map
from sylvite.cloud.reading import read_settings
from sylvite.errors import InvalidSetting
from tests.cloud.surroundings import Surroundings

MAP = """
small:
  - web1
  - web2:
      size: Big
      minion: {log_level: debug}
  - 3
big:
  db1: {}
  db2:
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "a.map"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_machines_in_their_order_each_with_its_profile(tmp_path: Path) -> None:
    found = read_map(write(tmp_path, MAP))
    assert [(each.name, each.profile) for each in found] == [
        ("web1", "small"), ("web2", "small"), ("3", "small"), ("db1", "big"), ("db2", "big"),
    ]  # fmt: skip
    assert [each.more for each in found] == [{}, {"size": "Big", "minion": {"log_level": "debug"}}, {}, {}, {}]
    assert [each.key for each in found[:2]] == ["small", "small of web2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must name machines below their profiles"), ("[a]", "must name machines below their profiles"),
        ("small: [[a]]", "must be a list of names"), ("small:", "must be a list of names"), ("small: [true]", "must be a list of names"),
        ("small: [{web1: 5}]", "must be a map of settings"), ("small: [web1]\nbig: [web1]", "is there already, at"),
        ("small: [../x]", "small.../x"), ("small: [", "a.map"),
    ],
)  # fmt: skip
def test_what_is_no_map_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        read_map(write(tmp_path, text))
    assert said in str(caught.value)


def test_what_a_machine_has_beside_its_profile(tmp_path: Path) -> None:
    """It wins, and maps are joined; events still name the profile."""
    around = Surroundings(tmp_path)
    around.provider("here", driver="dummy")
    around.profile("small", provider="here", size="Small", image="Ubuntu 9.04", minion={"a": 1, "grains": {"b": 2}})
    more = "small:\n  - web1\n  - web2: {size: Big, minion: {grains: {c: 3}}, tag: {d: e}}\n"
    mapped = read_map(write(tmp_path, more))
    settings = read_settings(around.folder, mapped=mapped)
    plain, other = (settings.profiles[each.key] for each in mapped)
    assert (plain.machine.size, plain.machine.minion) == ("Small", {"a": 1, "grains": {"b": 2}})
    assert (other.name, other.machine.size, other.machine.tag) == ("small", "Big", {"d": "e"})
    assert other.machine.minion == {"a": 1, "grains": {"b": 2, "c": 3}}
    assert settings.profiles["small"].machine.size == "Small"
    wrong = read_map(write(tmp_path, "smal:\n  - web2: {size: Big}\n"))
    with pytest.raises(InvalidSetting, match=r"is no profile; did you mean 'small'"):
        read_settings(around.folder, mapped=wrong)


def test_joined() -> None:
    base = {"a": {"b": 1}, "c": [1]}
    assert joined(base, {"a": {"d": 2}, "c": [2], "e": 3}) == {"a": {"b": 1, "d": 2}, "c": [2], "e": 3}
    assert base == {"a": {"b": 1}, "c": [1]}
