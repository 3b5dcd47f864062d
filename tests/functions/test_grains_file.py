"""Grains that are kept: `grains.setval` and its relatives, and the file that they write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sylvite.errors import InvalidSetting
from sylvite.functions.execute import run_job
from sylvite.functions.grains_file import change_grains, grains_of, read_grains
from sylvite.functions.library import Library
from sylvite.testing.bus import Bus
from tests.functions.conftest import GRAINS, Write


@pytest.fixture(autouse=True)
def _own_grains(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries of these tests share one map, which is changed here."""
    monkeypatch.setattr("tests.functions.conftest.GRAINS", {**GRAINS, "roles": ["web"], "deep": {"list": [1]}})


def value(library: Library, name: str, *packed: Any) -> Any:
    outcome = run_job(library, name, list(packed))
    assert outcome.success, outcome
    return outcome.value


def test_a_grain_that_is_set_counts_at_once_and_later(library: Library, bus: Bus, tmp_path: Path) -> None:
    """In this process, in the file, and for the minion, which is told to look."""
    assert value(library, "grains.setval", "role", "web") == {"role": "web"}
    assert value(library, "grains.get", "role") == "web"
    assert (tmp_path / "grains").read_text() == "role: web\n"
    assert (tmp_path / "grains").stat().st_mode & 0o077 == 0
    assert grains_of({"id": "alpha", "config_dir": str(tmp_path)})["role"] == "web"
    assert [tag for tag, _ in bus.fired] == ["grains_refresh"]
    assert value(library, "grains.setvals", {"role": "db", "rack": 7}) == {"role": "db", "rack": 7}
    assert read_grains(tmp_path / "grains") == {"rack": 7, "role": "db"}


def test_the_option_stands_above_the_file(tmp_path: Path, write: Write) -> None:
    write("grains", "role: web\nrack: 7\nos: Mine\n")
    found = grains_of({"id": "alpha", "config_dir": str(tmp_path), "grains": {"role": "db"}})
    assert (found["id"], found["role"], found["rack"], found["os"]) == ("alpha", "db", 7, "Mine")


def test_grains_are_forgotten(library: Library, tmp_path: Path) -> None:
    value(library, "grains.setvals", {"a": 1, "b": 2, "c": 3})
    assert value(library, "grains.delval", "a") == {"a": None}
    assert value(library, "grains.delkey", "b") == {"b": None}
    assert value(library, "grains.setval", "c", None, {"__kwarg__": True, "destructive": True}) == {"c": None}
    assert read_grains(tmp_path / "grains") == {"a": None}
    assert value(library, "grains.item", "a", "b", "c") == {"a": None, "b": "", "c": ""}


def test_lists(library: Library, tmp_path: Path) -> None:
    """In Salt's words where nothing can be done."""
    assert value(library, "grains.append", "roles", "db") == {"roles": ["web", "db"]}
    assert value(library, "grains.append", "roles", "db") == "The val db was already in the list roles"
    assert value(library, "grains.append", "os", "x") == "The key os is not a valid list"
    assert value(library, "grains.append", "os", "x", "convert=True") == {"os": ["Debian", "x"]}
    assert value(library, "grains.append", "deep:list", 2) == {"deep": {"list": [1, 2]}}
    assert value(library, "grains.append", "new:inner", 1) == {"new": {"inner": [1]}}
    assert value(library, "grains.remove", "deep:list", 1) == {"deep": {"list": [2]}}
    assert value(library, "grains.remove", "deep:list", 1) == "The val 1 was not in the list deep:list"
    assert value(library, "grains.remove", "id", "x") == "The key id is not a valid list"
    assert read_grains(tmp_path / "grains")["deep"] == {"list": [2]}
    assert not run_job(library, "grains.append", ["id:inner", 1]).success


def test_what_a_map_says_of_a_grain(library: Library) -> None:
    assert value(library, "grains.filter_by", {"Deb*": {"a": 1}, "default": {}}, "os") == {"a": 1}
    assert value(library, "grains.filter_by", {"RedHat": 1, "default": 2}, "os") == 2
    assert value(library, "grains.filter_by", {"web": 1}, "roles") == 1
    found = value(
        library, "grains.filter_by", {"Debian": {"a": 1}, "b": {"a": 0, "b": 0}}, "os", "base=b", "merge={c: 2}"
    )
    assert found == {"a": 1, "b": 0, "c": 2}
    assert value(library, "grains.equals", "os", "Debian") is True
    assert value(library, "grains.equals", "os", "other") is False


@pytest.mark.parametrize("content", ["- a list\n", "a: [1\n", "a: 1\na: 2\n"])
def test_a_file_that_cannot_be_read(
    tmp_path: Path, write: Write, library: Library, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    """It is said, and left as it is; the node has all other grains."""
    path = write("grains", content)
    assert grains_of({"id": "alpha", "config_dir": str(tmp_path), "grains": {"role": "db"}})["role"] == "db"
    assert "the grains of a file are left out" in caplog.text
    assert str(path) in caplog.text
    outcome = run_job(library, "grains.setval", ["a", 1])
    assert not outcome.success
    assert path.read_text() == content


def test_a_file_that_others_may_write_is_not_read(tmp_path: Path, write: Write) -> None:
    path = write("grains", "a: 1\n")
    path.chmod(0o666)
    assert "a" not in grains_of({"config_dir": str(tmp_path)})
    with pytest.raises(InvalidSetting, match="others may write to"):
        read_grains(path)


def test_values_that_cannot_be_kept(library: Library, tmp_path: Path) -> None:
    assert not run_job(library, "grains.setvals", ["text"]).success
    assert not run_job(library, "grains.setval", ["a", {"x": object()}]).success
    assert not (tmp_path / "grains").exists()


def test_two_that_write_at_once_both_count(tmp_path: Path) -> None:
    """Processes; nobody's change is lost, and nobody reads a half."""
    code = (
        "import sys; from pathlib import Path; from sylvite.functions.grains_file import change_grains\n"
        "for number in range(20):\n"
        "    change_grains(Path(sys.argv[1]), lambda grains: grains.__setitem__(f'{sys.argv[2]}{number}', number))\n"
    )
    path = tmp_path / "grains"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert read_grains(path) == {f"{name}{number}": number for name in "ab" for number in range(20)}
    assert os.listdir(tmp_path) == ["grains"]
    change_grains(path, lambda grains: grains.clear())
    assert read_grains(path) == {}
