"""Another key in the place of one that is in use: whatever is cut in between, one of the steps done again goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from sylvite.auth import rollover
from sylvite.auth.enrolment import Succession, decode, pins_after_succession, read_pins
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair, load_pair, load_public
from sylvite.auth.rollover import NoRollover
from sylvite.errors import InvalidSetting

NOW_NS = 1_795_473_994 * 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    opened = KeyFolder(tmp_path / "keys", make=True)
    load_or_make_pair(opened, "master")
    return opened


def test_what_minions_are_told_is_believed_by_those_who_trust_the_key_in_use(folder: KeyFolder) -> None:
    pins = read_pins([load_public(folder, "master").fingerprint])
    pair, made = rollover.begin_master(folder, "master", NOW_NS)
    assert made
    told = pins_after_succession(pins, decode(rollover.statement_of(folder, "master"), Succession), NOW_NS)
    assert [pin.fingerprint for pin in told.pins] == [pins.pins[0].fingerprint, pair.fingerprint]


def test_the_steps_done_again_change_nothing(folder: KeyFolder) -> None:
    pair, _ = rollover.begin_master(folder, "master", NOW_NS)
    statement = rollover.statement_of(folder, "master")
    again, made = rollover.begin_master(folder, "master", NOW_NS + 1)
    assert (again.fingerprint, made) == (pair.fingerprint, False)
    assert rollover.statement_of(folder, "master") == statement
    assert rollover.finish(folder, "master").fingerprint == pair.fingerprint
    assert load_pair(folder, "master").fingerprint == pair.fingerprint
    assert load_public(folder, "master").fingerprint == pair.fingerprint
    assert rollover.statement_of(folder, "master") == b""
    for step in (rollover.finish, rollover.cancel):
        with pytest.raises(NoRollover):
            step(folder, "master")


class Crash(Exception):
    pass


@pytest.mark.parametrize("survive", range(4))
def test_a_crash_in_the_middle_of_the_end_leaves_a_key_and_the_end_goes_on(
    folder: KeyFolder, survive: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = load_pair(folder, "master").fingerprint
    pair, _ = rollover.begin_master(folder, "master", NOW_NS)
    left = survive
    write, remove = KeyFolder.write, KeyFolder.remove

    def count() -> None:
        nonlocal left
        if not left:
            raise Crash
        left -= 1

    def write_or_crash(keys: KeyFolder, name: str, content: bytes, *, replace: bool = False) -> None:
        count()
        write(keys, name, content, replace=replace)

    def remove_or_crash(keys: KeyFolder, name: str) -> None:
        count()
        remove(keys, name)

    monkeypatch.setattr(KeyFolder, "write", write_or_crash)
    monkeypatch.setattr(KeyFolder, "remove", remove_or_crash)
    with pytest.raises(Crash):
        rollover.finish(folder, "master")
    monkeypatch.undo()
    assert load_pair(folder, "master").fingerprint in (former, pair.fingerprint)
    assert rollover.finish(folder, "master").fingerprint == pair.fingerprint
    assert load_public(folder, "master").fingerprint == pair.fingerprint


def test_one_that_is_cancelled_is_gone_and_the_next_one_is_another(folder: KeyFolder) -> None:
    pair, _ = rollover.begin_master(folder, "master", NOW_NS)
    rollover.cancel(folder, "master")
    assert rollover.statement_of(folder, "master") == b""
    other, made = rollover.begin_master(folder, "master", NOW_NS)
    assert made
    assert other.fingerprint != pair.fingerprint


def test_without_a_key_in_use_there_is_none_to_follow_it(tmp_path: Path) -> None:
    with KeyFolder(tmp_path / "empty", make=True) as folder, pytest.raises(InvalidSetting):
        rollover.begin(folder, "master")
