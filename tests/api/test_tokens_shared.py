"""Tokens of two masters: made on one, they count on both; taken back on one, on none."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.api.scopes import Scope
from sylvite.api.tokens import LINK, Secret, Token, TokenCopy, TokenStore
from sylvite.api.tokens_shared import SharedTokens, Told, decode, encode, join
from sylvite.errors import NotAuthenticated

S = 1_000_000_000
NOW = 1_800_000_000 * S
SCOPES = (Scope("events:read", "**"),)
COPIES = st.builds(
    TokenCopy,
    hash=st.sampled_from([b"1" * 32, b"2" * 32]),
    owner=st.just("ada"),
    backend=st.just(""),
    scopes=st.just(("events:read:**",)),
    perms=st.just("[]"),
    made_ns=st.just(1),
    until_ns=st.integers(1, 2),
    note=st.just(""),
)
TOLD = st.builds(Told, until_ns=st.integers(1, 2), copy=st.none() | COPIES)


@given(one=TOLD, other=TOLD, third=TOLD)
def test_what_masters_tell_comes_together_in_any_order(one: Told, other: Told, third: Told) -> None:
    assert join(one, other) == join(other, one)
    assert join(join(one, other), third) == join(one, join(other, third))
    assert join(one, one) == one
    assert (join(one, other).copy is None) == (one.copy is None or other.copy is None)
    assert decode(encode(one)) == one


def test_what_tells_of_no_token_is_refused() -> None:
    with pytest.raises(ValueError, match="it tells of no token"):
        decode(b"\xc1")


class Master:
    """`store`: as the api or a command have it open, beside what shares it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.store = TokenStore(folder)
        self.shared = SharedTokens(folder)

    def close(self) -> None:
        self.shared.close()
        self.store.close()

    def make(self, now_ns: int = NOW, *, note: str = "") -> tuple[Token, str]:
        token, secret = self.store.make("ada", SCOPES, now_ns, note=note)
        return token, secret.reveal()

    def counts(self, text: str, now_ns: int = NOW) -> bool:
        try:
            self.store.check(text, now_ns)
        except NotAuthenticated:
            return False
        return True


def exchange(*masters: Master, now_ns: int = NOW) -> None:
    for _ in range(2):
        for master in masters:
            master.shared.look(now_ns)
        told = [master.shared.known() for master in masters]
        for master in masters:
            for known in told:
                master.shared.take(known, now_ns)


@pytest.fixture
def masters(tmp_path: Path) -> Generator[tuple[Master, Master]]:
    both = Master(tmp_path / "mars"), Master(tmp_path / "venus")
    yield both
    for master in both:
        master.close()


def test_a_token_counts_on_all_masters_until_it_is_taken_back_on_one(masters: tuple[Master, Master]) -> None:
    mars, venus = masters
    token, text = mars.make(note="for the pager")
    exchange(mars, venus)
    assert venus.counts(text)
    assert [each.note for each in venus.store.all(NOW)] == ["for the pager"]
    assert venus.store.held(token.id, NOW)[0].scopes == SCOPES
    venus.store.revoke(token.id)
    exchange(mars, venus)
    assert not mars.counts(text)
    exchange(mars, venus)
    assert not venus.counts(text)
    assert mars.store.all(NOW) == []


def test_taking_back_a_token_takes_back_its_sessions_everywhere(masters: tuple[Master, Master]) -> None:
    mars, venus = masters
    token, _ = mars.make()
    _, session = mars.store.begin_session(token, NOW)
    _, login = mars.store.log_in("ada", "pam", [".*"], SCOPES, NOW)
    exchange(mars, venus)
    assert venus.counts(session.reveal())
    assert venus.store.check(login.reveal(), NOW)[0].perms == (".*",)
    venus.store.revoke(token.id)
    exchange(mars, venus)
    assert not mars.counts(session.reveal())
    assert mars.counts(login.reveal())


def test_a_link_counts_where_it_was_made(masters: tuple[Master, Master]) -> None:
    mars, venus = masters
    link, secret = mars.store.make("ada", SCOPES, NOW, backend=LINK)
    assert isinstance(secret, Secret)
    exchange(mars, venus)
    assert link.id not in venus.store.ids()
    mars.store.redeem(secret.reveal(), NOW)
    exchange(mars, venus)
    assert len(venus.store.ids()) == 1, "the session that it has become"


def test_what_has_run_out_is_forgotten(masters: tuple[Master, Master]) -> None:
    mars, venus = masters
    token, _ = mars.make()
    exchange(mars, venus)
    later = token.until_ns + 1
    for master in masters:
        master.make(later)
    exchange(mars, venus, now_ns=later)
    assert token.id not in mars.shared.known()
    assert token.id not in venus.shared.known()


def test_what_was_noted_and_not_done_is_done_at_the_next_start(tmp_path: Path, masters: tuple[Master, Master]) -> None:
    mars, _ = masters
    token, text = mars.make()
    mars.shared.look(NOW)
    mars.shared.close()
    told = Told(token.until_ns, None)
    with SharedTokens(mars.folder) as first:
        first.note({token.id: told})
    assert mars.counts(text)
    mars.shared = SharedTokens(mars.folder)
    mars.shared.look(NOW)
    assert not mars.counts(text)
    assert tmp_path.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": ("unheard:of",)},
        {"perms": "{"},
        {"hash": b"short"},
        {"owner": "a b"},
        {"backend": LINK},
        {"note": "n" * 201},
    ],
    ids=str,
)
def test_a_token_that_cannot_be_does_not_count_and_is_not_taken_back(
    masters: tuple[Master, Master], wrong: dict[str, object]
) -> None:
    mars, venus = masters
    token, text = mars.make()
    mars.shared.look(NOW)
    told = mars.shared.known()[token.id]
    assert told.copy is not None
    venus.shared.take({token.id: Told(told.until_ns, msgspec.structs.replace(told.copy, **wrong))}, NOW)
    venus.shared.take({"../../x": told}, NOW)
    assert not venus.counts(text)
    assert venus.shared.known() == {}
    venus.shared.take({token.id: told}, NOW)
    assert venus.counts(text)
