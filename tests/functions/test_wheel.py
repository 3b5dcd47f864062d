"""Wheel functions: the keys of a master, in the shapes of Salt's wheel, and what the bus is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import load_or_make_pair
from sylvite.auth.keyring_values import KeyInUse, MoveRefused
from sylvite.auth.keys import make_pair, read_pair, read_pem
from sylvite.errors import ConnectionLost, InvalidSetting
from sylvite.functions.arguments import Arguments
from sylvite.functions.errors import FunctionFailed
from sylvite.functions.key_lists import UnknownList
from sylvite.functions.library import Library
from sylvite.functions.task import WHEEL, Task, run_task
from sylvite.jobs.minions import open_minions
from sylvite.testing.bus import Bus
from tests.functions.conftest import MakeLibrary

JID = "20261123224826492351"


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[Keyring]:
    """Of a master with a key of its own, to which `web1`, `web2` and `db1` have come."""
    (tmp_path / "data").mkdir(mode=0o700)
    with Keyring.open(tmp_path / "data" / "keys", make=True) as keyring:
        load_or_make_pair(keyring.folder, "master")
        for minion in ("web1", "web2", "db1"):
            keyring.ask(minion, make_pair().public, "192.0.2.1", time.time_ns())
        yield keyring


@pytest.fixture
def library(make_library: MakeLibrary, keyring: Keyring, tmp_path: Path) -> Library:
    del keyring
    return make_library(data_dir=str(tmp_path / "data"))


def wheel(library: Library, name: str, *positional: Any, **named: Any) -> Any:
    return run_task(library, Task(WHEEL, name, Arguments(list(positional), named), JID, "root")).value


def told(bus: Bus) -> list[tuple[str, str]]:
    """Return what the bus was told of keys: what was done, and to whom; not that they have come."""
    acts = [(data["act"], data["id"]) for tag, data in bus.fired if tag == "salt/key"]
    return [(act, minion) for act, minion in acts if act != "pending"]


def test_all_lists_are_shown_as_the_rest_api_of_salt_shows_them(library: Library) -> None:
    """The transcript rest_run_wheel: these names, in this order, and the files of the master."""
    found = wheel(library, "key.list_all")
    assert list(found) == ["minions_pre", "minions_rejected", "minions", "minions_denied", "local"]
    assert (found["minions_pre"], found["local"]) == (["db1", "web1", "web2"], ["master.key", "master.pub"])


@pytest.mark.parametrize("word", ["pre", "un", "unaccepted", "p"])
def test_one_list(library: Library, word: str) -> None:
    assert wheel(library, "key.list", word) == {"minions_pre": ["db1", "web1", "web2"]}


def test_keys_are_accepted_rejected_and_deleted(library: Library, bus: Bus, keyring: Keyring) -> None:
    """Each is an event, between those of the run; what is accepted counts, for it was announced."""
    assert wheel(library, "key.accept", "web*") == {"minions": ["web1", "web2"]}
    assert all(key.counts for key in keyring.all_keys("web1"))
    assert wheel(library, "key.accept", "nobody") == {}
    assert wheel(library, "key.reject", "db1") == {"minions_rejected": ["db1"]}
    assert wheel(library, "key.accept", "db1") == {"minions_rejected": ["db1"]}
    assert wheel(library, "key.accept", "db1", include_rejected=True) == {"minions": ["db1"]}
    assert wheel(library, "key.delete", "db1,web2") == {}
    acts = [("accepted", "web1"), ("accepted", "web2"), ("rejected", "db1"), ("accepted", "db1")]
    assert told(bus) == [*acts, ("delete", "db1"), ("delete", "web2")]
    tags = [tag for tag, _ in bus.fired]
    assert (tags[0], tags[1], tags[-1]) == (f"salt/wheel/{JID}/new", "salt/key", f"salt/wheel/{JID}/ret")


def test_an_accepted_key_that_is_rejected_is_revoked(library: Library, bus: Bus) -> None:
    wheel(library, "key.accept", "*")
    assert wheel(library, "key.reject", "web1") == {"minions": ["web1"]}
    assert wheel(library, "key.reject", "web1", include_accepted=True) == {"minions_revoked": ["web1"]}
    assert wheel(library, "key.revoke", "web2") == {"minions_revoked": ["web2"]}
    assert wheel(library, "key.list_all")["minions_revoked"] == ["web1", "web2"]
    assert told(bus)[-2:] == [("revoked", "web1"), ("revoked", "web2")]


def test_keys_by_list_and_id(library: Library) -> None:
    wanted = {"minions_pre": ["web1", "nobody"], "minions": ["web2"]}
    assert wheel(library, "key.accept_dict", wanted) == {"minions": ["web1"]}
    assert wheel(library, "key.reject_dict", {"minions_pre": ["db1"]}) == {"minions_rejected": ["db1"]}
    assert wheel(library, "key.delete_dict", {"minions_rejected": ["db1"], "minions": ["web1"]}) == {}
    assert wheel(library, "key.list_all")["minions_pre"] == ["web2"]


def test_fingerprints_and_public_keys(library: Library, keyring: Keyring) -> None:
    (key,) = keyring.all_keys("web1")
    assert wheel(library, "key.finger", "web1") == {"minions_pre": {"web1": str(key.fingerprint)}}
    assert wheel(library, "key.key_str", "web1") == {"minions_pre": {"web1": key.public.pem}}
    assert wheel(library, "key.name_match", "web*") == {"minions_pre": ["web1", "web2"]}
    pair, _ = load_or_make_pair(keyring.folder, "master")
    assert wheel(library, "key.finger_master") == {"local": {"master.pub": str(pair.fingerprint)}}


def test_a_pair_that_was_made_is_let_in_and_the_bus_does_not_see_it(
    library: Library, bus: Bus, keyring: Keyring
) -> None:
    """The log keeps events: a private key has no place there."""
    made = wheel(library, "key.gen_accept", "web4")
    pair = read_pair(made["priv"].encode())
    assert keyring.expected() == {"web4": pair.fingerprint}
    assert read_pem(made["pub"]) == pair.public
    assert wheel(library, "key.gen_accept", "web1") == {}
    assert set(wheel(library, "key.gen_accept", "web1", force=True)) == {"priv", "pub"}
    assert set(wheel(library, "key.gen")) == {"priv", "pub"}
    returns = [data["return"] for tag, data in bus.fired if tag.endswith("/ret")]
    assert returns == ["***"] * 4


@pytest.mark.parametrize(
    ("name", "arguments", "kind"),
    [
        ("key.list", ["foo"], UnknownList),
        ("key.list", [""], UnknownList),
        ("key.accept_dict", [{"minion": ["web1"]}], UnknownList),
        ("key.accept_dict", ["web1"], UnknownList),
        ("key.accept_dict", [{"minions_denied": ["web1"]}], None),
        ("key.reject_dict", [{"minions": ["db9"]}], None),
    ],
)
def test_what_cannot_be_done(library: Library, name: str, arguments: list[Any], kind: type[Exception] | None) -> None:
    if kind is None:
        assert wheel(library, name, *arguments) == {}
        return
    with pytest.raises(FunctionFailed) as raised:
        wheel(library, name, *arguments)
    assert isinstance(raised.value.__cause__, kind)


def test_a_move_that_is_refused_leaves_what_was_done_before(library: Library, bus: Bus, keyring: Keyring) -> None:
    """And that was announced."""
    wheel(library, "key.accept", "web1")
    with pytest.raises(FunctionFailed) as raised:
        wheel(library, "key.reject_dict", {"minions_pre": ["db1"], "minions": ["web1"]})
    assert isinstance(raised.value.__cause__, MoveRefused)
    assert told(bus) == [("accepted", "web1"), ("rejected", "db1")]
    keyring.ask("web1", make_pair().public, "192.0.2.1", time.time_ns())
    with pytest.raises(FunctionFailed) as raised:
        wheel(library, "key.accept", "web1", include_denied=True)
    assert isinstance(raised.value.__cause__, MoveRefused | KeyInUse)


def test_what_could_not_be_announced_is_said(library: Library, bus: Bus, keyring: Keyring) -> None:
    run = library.wheel.find("key.accept")
    bus.error = ConnectionLost("away")
    with pytest.raises(ConnectionLost) as raised:
        run("web1")
    assert "not announced" in raised.value.__notes__[0]
    assert not keyring.all_keys("web1")[0].counts
    bus.error = None
    run("web2")
    assert told(bus) == [("accepted", "web1"), ("accepted", "web2")]
    assert keyring.all_keys("web1")[0].counts


def test_a_master_without_keys(make_library: MakeLibrary, tmp_path: Path) -> None:
    with pytest.raises(FunctionFailed) as raised:
        wheel(make_library(data_dir=str(tmp_path / "nowhere")), "key.list_all")
    assert isinstance(raised.value.__cause__, InvalidSetting)


def test_who_is_connected(library: Library, tmp_path: Path) -> None:
    assert wheel(library, "minions.connected") == []
    with open_minions(tmp_path / "data" / "minions.db") as store:
        for minion in ("web2", "web1", "db1"):
            store.came(minion, "192.0.2.1", 1)
        store.left("db1", "goodbye", 2)
    assert wheel(library, "minions.connected") == ["web1", "web2"]


def test_options_that_are_for_others_to_see(make_library: MakeLibrary) -> None:
    library = make_library(id="m", saltgui_pages=["minions"], sharedsecret="hidden", nodegroups={"web": "web*"})
    found = wheel(library, "config.values")
    assert found["saltgui_pages"] == ["minions"]
    assert found["nodegroups"] == {"web": "web*"}
    assert "hidden" not in str(found)
    assert "sharedsecret" not in found
