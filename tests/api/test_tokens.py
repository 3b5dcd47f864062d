"""Tokens: what is kept of them, and when they count."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Generator
from pathlib import Path

import pytest

from sylvite.api import tokens
from sylvite.api.scopes import Scope
from sylvite.api.tokens import LIFE_S, NoSuchToken, TokenStore
from sylvite.errors import InvalidInput, JobStoreFailed, NotAuthenticated

NOW = 1_800_000_000 * 10**9
SCOPES = [Scope("events:read", "myco/**")]


@pytest.fixture
def store(tmp_path: Path) -> Generator[TokenStore]:
    with TokenStore(tmp_path) as opened:
        yield opened


def test_a_token_counts_until_its_time_is_over(store: TokenStore) -> None:
    token, secret = store.make("alice", SCOPES, NOW)
    assert re.fullmatch(r"syl1_[a-z2-7]{8}_[A-Za-z0-9.-]{43}_[0-9a-f]{8}", secret.reveal())
    found, grant = store.check(secret.reveal(), NOW + 1)
    assert (found.id, found.owner) == (token.id, "alice")
    assert grant.may_read("myco/a")
    assert not grant.may_read("other")
    last = NOW + int(LIFE_S * 1e9)
    store.check(secret.reveal(), last - 1)
    with pytest.raises(NotAuthenticated):
        store.check(secret.reveal(), last)


def test_the_secret_is_not_kept_and_does_not_show_itself(store: TokenStore, tmp_path: Path) -> None:
    _, secret = store.make("alice", SCOPES, NOW)
    assert repr(secret) == str(secret) == f"{secret}" == "***"
    text = secret.reveal().split("_")[2].encode()
    for file in tmp_path.iterdir():
        assert text not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "change", ["", "x", "syl1", "syl1_a_b_c", "id", "secret", "check", "last", "é", "long", "null"]
)
def test_what_is_no_token_does_not_count(store: TokenStore, change: str) -> None:
    _, secret = store.make("alice", SCOPES, NOW)
    text = secret.reveal()
    prefix, id_, body, check = text.split("_")
    changed = {
        "id": f"{prefix}_aaaaaaaa_{body}_{check}", "secret": f"{prefix}_{id_}_{body[::-1]}_{check}",
        "check": f"{prefix}_{id_}_{body}_00000000", "last": text[:-1], "é": text + "é", "long": text * 20,
        "null": text.replace("_", "_\0", 1),
    }.get(change, change)  # fmt: skip
    with pytest.raises(NotAuthenticated, match="does not count"):
        store.check(changed, NOW)


def test_another_secret_with_a_right_check_does_not_count(store: TokenStore) -> None:
    token, _ = store.make("alice", SCOPES, NOW)
    forged = tokens._text_of(token.id, "A" * 43)  # pyright: ignore[reportPrivateUsage] - as somebody who has read the code would
    with pytest.raises(NotAuthenticated):
        store.check(forged, NOW)


def test_another_process_sees_what_is_made_and_revoked(store: TokenStore, tmp_path: Path) -> None:
    with TokenStore(tmp_path) as other:
        token, secret = store.make("alice", SCOPES, NOW)
        assert other.refresh()
        assert not other.refresh()
        other.check(secret.reveal(), NOW)
        store.revoke(token.id)
        assert other.refresh()
        with pytest.raises(NotAuthenticated):
            other.check(secret.reveal(), NOW)
        assert not other.still_counts(token.id, NOW)
    with pytest.raises(NoSuchToken, match="there is no token"):
        store.revoke(token.id)


def test_it_is_there_after_a_restart_and_says_when_it_was_used(store: TokenStore, tmp_path: Path) -> None:
    _, secret = store.make("alice", SCOPES, NOW, note="for the wall")
    later = NOW + 3600 * 10**9
    store.check(secret.reveal(), later)
    with TokenStore(tmp_path) as other:
        (found,) = other.all(later)
        assert found.shown() == {
            "id": found.id, "owner": "alice", "backend": "", "scopes": ["events:read:myco/**"], "made_ns": NOW,
            "until_ns": NOW + int(LIFE_S * 1e9), "used_ns": later, "note": "for the wall", "perms": [],
        }  # fmt: skip
        assert other.all(found.until_ns) == []


def test_those_whose_time_is_over_are_forgotten(store: TokenStore, tmp_path: Path) -> None:
    store.make("alice", SCOPES, NOW, life_s=1)
    store.make("bob", SCOPES, NOW + 2 * 10**9)
    with sqlite3.connect(tmp_path / tokens.NAME) as connection:
        assert [owner for (owner,) in connection.execute("SELECT owner FROM tokens")] == ["bob"]


def test_bad_input(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="needs an owner"):
        store.make("", SCOPES, NOW)
    with pytest.raises(InvalidInput, match="1 to 64 scopes"):
        store.make("a", [], NOW)
    for life_s in (0, -1, 1e9, float("nan")):
        with pytest.raises(InvalidInput, match="lives up to 366 days"):
            store.make("a", SCOPES, NOW, life_s=life_s)
    monkeypatch.setattr(tokens, "TOKENS_MAX", 1)
    store.make("a", SCOPES, NOW)
    with pytest.raises(InvalidInput, match="revoke some"):
        store.make("a", SCOPES, NOW)


def test_a_file_that_is_none_of_ours_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / tokens.NAME).write_bytes(b"not a database at all" * 100)
    (tmp_path / tokens.NAME).chmod(0o600)
    with pytest.raises(JobStoreFailed, match="all tokens are then void"):
        TokenStore(tmp_path)


def test_one_that_cannot_be_read_counts_for_nothing_and_the_others_do(store: TokenStore, tmp_path: Path) -> None:
    token, bad = store.make("alice", SCOPES, NOW)
    _, good = store.make("bob", SCOPES, NOW)
    with sqlite3.connect(tmp_path / tokens.NAME) as connection:
        connection.execute("UPDATE tokens SET scopes = '[\"all:of:it\"]' WHERE id = ?", (token.id,))
    with TokenStore(tmp_path) as other:
        other.check(good.reveal(), NOW)
        with pytest.raises(NotAuthenticated):
            other.check(bad.reveal(), NOW)


@pytest.mark.parametrize("digits", [40, 64])
def test_a_log_in_of_salt_s_api(store: TokenStore, tmp_path: Path, digits: int) -> None:
    token, secret = store.log_in("saltdev", "file", [".*", {"web*": ["test.ping"]}], SCOPES, NOW, digits=digits)
    assert re.fullmatch(rf"[0-9a-f]{{{digits}}}", secret.reveal())
    with TokenStore(tmp_path) as other:
        found, _ = other.check(secret.reveal(), NOW)
        assert (found.owner, found.backend, found.perms) == ("saltdev", "file", (".*", {"web*": ["test.ping"]}))
        with pytest.raises(NotAuthenticated):
            other.check("0" * digits, NOW)
        other.revoke(token.id)
    with pytest.raises(NotAuthenticated):
        store.check(secret.reveal(), NOW)
