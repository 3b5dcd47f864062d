"""Whom a job is for, as the files of the master say it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sylvite.auth.keyring import Keyring
from sylvite.auth.keys import make_pair
from sylvite.errors import InvalidSetting
from sylvite.jobs.minions import open_minions
from sylvite.jobs.roster import Minions, Roster
from sylvite.jobs.targets import parse_target
from tests.jobs.scripted import accept

GRAINS = {"web1": {"os": "Debian"}, "web2": {"os": "Fedora"}}
EVERYBODY = ["db1", "web1", "web2"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    accept(tmp_path / "keys", EVERYBODY)
    return tmp_path


@pytest.fixture
def roster(folder: Path) -> Roster:
    return Roster(folder / "keys", folder / "minions.db")


def test_those_whose_keys_count(folder: Path, roster: Roster) -> None:
    """Not one that waits, nor one whose acceptance was not announced yet."""
    with Keyring.open(folder / "keys") as keyring:
        for id_ in ("waits", "soon"):
            public = make_pair().public
            keyring.ask(id_, public, "", time.time_ns())
            if id_ == "soon":
                keyring.accept(id_, public.fingerprint, time.time_ns())
    assert roster.read(with_grains=True) == Minions(EVERYBODY)
    assert roster.present() is None


def test_grains_are_read_where_they_are_wanted(folder: Path, roster: Roster) -> None:
    with open_minions(folder / "minions.db") as store:
        for minion, grains in GRAINS.items():
            store.keep_grains(minion, grains, 1)
        store.came("web1", "", 1)
        assert roster.read(with_grains=False) == Minions(EVERYBODY, {}, frozenset({"web1"}))
        assert roster.read(with_grains=True).grains == GRAINS
        assert roster.present() == {"web1"}


def test_whose_grains_are_not_known_decides_for_itself_if_it_is_here() -> None:
    target = parse_target("os:Debian", "grain")
    assert Minions(EVERYBODY, GRAINS, frozenset(("web1", "db1"))).expected(target) == ["db1", "web1"]
    assert Minions(EVERYBODY, GRAINS, frozenset(("web1",))).expected(target) == ["web1"]
    assert Minions(EVERYBODY, GRAINS, None).expected(target) == ["web1"]
    assert Minions(EVERYBODY, {}, None).expected(parse_target("*", "glob")) == EVERYBODY


def test_who_is_named_and_is_not_there() -> None:
    minions = Minions(EVERYBODY)
    assert minions.missing(parse_target("web9,web1,web9,web8", "list")) == ["web9", "web8"]
    assert minions.missing(parse_target("web9", "glob")) == []


def test_a_master_without_keys(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting):
        Roster(tmp_path / "keys", tmp_path / "minions.db").read(with_grains=False)
