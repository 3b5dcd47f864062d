"""The keyring: who is accepted, every move there is, and that there are no others."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sylvite.auth.enrolment import BadToken, Token
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keyring_values import (
    HOLDS_ID,
    ID_CHARACTERS_MAX,
    MOVES,
    PENDING_MAX,
    PENDING_PER_ADDRESS_MAX,
    UNSEEN_S,
    Act,
    InvalidMinionId,
    Key,
    KeyInUse,
    MoveRefused,
    NoSuchKey,
    NotAccepted,
    State,
    TooManyPending,
    check_id,
)
from sylvite.auth.keys import Fingerprint, PublicKey, make_pair
from sylvite.core.tag import check_tag
from sylvite.errors import SylviteError
from tests.docs.blocks import PROJECT, table_under, tables

NOW_NS = 1_795_474_051_012_345_678
S_NS = 1_000_000_000
A, B, C = (make_pair().public for _ in range(3))
MASTER = make_pair().fingerprint


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[Keyring]:
    with Keyring.open(tmp_path / "keys", make=True) as opened:
        yield opened


def public(number: int) -> PublicKey:
    """A key that nobody has: for tests that need many."""
    return PublicKey((9 + number).to_bytes(32, "little"))


def events(keyring: Keyring) -> list[tuple[str, str]]:
    """Announce what is due, and return it as (act, id)."""
    found: list[tuple[str, str]] = []

    def publish(batch: Sequence[tuple[str, dict[str, object]]]) -> None:
        found.extend((str(data["act"]), str(data["id"])) for _, data in batch)

    announce(keyring, publish)
    return found


def put(keyring: Keyring, id_: str, key: PublicKey, state: State) -> Key:
    """Bring a key into a state, from the outside; what holds the id stays there for a denied one."""
    if state is State.DENIED:
        keyring.ask(id_, C, "10.0.0.9", NOW_NS)
    asked = keyring.ask(id_, key, "10.0.0.1", NOW_NS)
    if state in (State.ACCEPTED, State.REVOKED):
        keyring.accept(id_, asked.fingerprint, NOW_NS)
    if state is State.REJECTED:
        keyring.reject(id_, asked.fingerprint, NOW_NS)
    if state is State.REVOKED:
        keyring.revoke(id_, asked.fingerprint, NOW_NS)
    events(keyring)
    found = keyring.key(id_, key.fingerprint)
    assert found.state is state
    return found


# -- Ids ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id_", ["w", "web1", "web-1.example.com", "WEB_1", "7", "a@b+c", "x" * ID_CHARACTERS_MAX])
def test_ids_that_can_be(id_: str) -> None:
    assert check_id(id_) == id_
    check_tag(f"salt/job/20261123224730771814/prog/{id_}/99999")


@pytest.mark.parametrize(
    "id_",
    [
        "", " ", "a b", "a\n", "\na", "a\0", "a/b", "../a", "..", ".", ".a", "a.", "a..b", "-a", "_a", "@a", "a\\b", "a*",
        "a?", "[a]", "{a}", "~", "$a", "a;b", "a'b", 'a"b', "a|b", "a:b", "a,b", "a=b", "a%2fb", "wéb", "wеb", "ｗeb", "a\u200b",
        "a\u202eb", "a\x7f", "a\x85", "²", "x" * (ID_CHARACTERS_MAX + 1), "x" * 1_000_000, "\ud800",
    ],
)  # fmt: skip
def test_ids_that_cannot_be(id_: str, keyring: Keyring) -> None:
    """None is a path, a pattern, an option, or looks like another one; and the message can be printed."""
    with pytest.raises(InvalidMinionId) as caught:
        keyring.ask(id_, A, "10.0.0.1", NOW_NS)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1200
    assert keyring.all_keys() == []


# -- Ask ---------------------------------------------------------------------------------------------------------


def test_who_asks_first_is_pending(keyring: Keyring) -> None:
    key = keyring.ask("web1", A, "10.0.0.1", NOW_NS)
    assert (key.id, key.public, key.state, key.epoch, key.address) == ("web1", A, State.PENDING, 0, "10.0.0.1")
    assert keyring.all_keys() == [key]
    assert events(keyring) == [("pending", "web1")]
    with pytest.raises(NotAccepted, match="is pending"):
        keyring.identify(A.fingerprint, NOW_NS)


@pytest.mark.parametrize("state", State)
def test_asking_again_changes_nothing(state: State, keyring: Keyring) -> None:
    before = put(keyring, "web1", A, state)
    revision = keyring.revision()
    for at in (0, 30, 3600):
        if state is State.REVOKED:
            with pytest.raises(NotAccepted, match="revoked"):
                keyring.ask("web1", A, "10.0.0.1", NOW_NS + at * S_NS)
        else:
            assert keyring.ask("web1", A, "10.0.0.1", NOW_NS + at * S_NS).state is state
    after = keyring.key("web1", A.fingerprint)
    assert (after.state, after.epoch, after.changed_ns) == (state, before.epoch, before.changed_ns)
    assert (keyring.revision(), events(keyring)) == (revision, [])
    # That a stranger was seen is remembered, but not more often than there is a use for.
    assert after.seen_ns == (NOW_NS + 3600 * S_NS if state in (State.PENDING, State.DENIED) else before.seen_ns)


@pytest.mark.parametrize("state", HOLDS_ID)
def test_another_key_for_a_taken_id_is_denied_and_replaces_nothing(state: State, keyring: Keyring) -> None:
    holder = put(keyring, "web1", A, state)
    assert keyring.ask("web1", B, "10.0.0.2", NOW_NS).state is State.DENIED
    assert keyring.key("web1", A.fingerprint) == holder
    assert events(keyring) == [("denied", "web1")]
    with pytest.raises(MoveRefused, match="its id has another key"):
        keyring.accept("web1", B.fingerprint, NOW_NS)
    with pytest.raises(NotAccepted, match="denied"):
        keyring.identify(B.fingerprint, NOW_NS)


def test_a_denied_key_may_ask_once_its_id_is_free(keyring: Keyring) -> None:
    put(keyring, "web1", A, State.ACCEPTED)
    keyring.ask("web1", B, "10.0.0.2", NOW_NS)
    keyring.revoke("web1", A.fingerprint, NOW_NS)
    assert keyring.ask("web1", B, "10.0.0.2", NOW_NS).state is State.PENDING
    assert events(keyring) == [("denied", "web1"), ("revoked", "web1"), ("pending", "web1")]


def test_a_denied_key_can_be_accepted_once_its_id_is_free(keyring: Keyring) -> None:
    put(keyring, "web1", A, State.ACCEPTED)
    keyring.ask("web1", B, "10.0.0.2", NOW_NS)
    keyring.delete("web1", A.fingerprint, NOW_NS)
    assert keyring.accept("web1", B.fingerprint, NOW_NS).state is State.ACCEPTED


@pytest.mark.parametrize("state", HOLDS_ID)
def test_one_key_is_one_minion(state: State, keyring: Keyring) -> None:
    put(keyring, "web1", A, state)
    with pytest.raises(KeyInUse):
        keyring.ask("web2", A, "10.0.0.1", NOW_NS)
    assert [key.id for key in keyring.all_keys()] == ["web1"]


def test_a_key_that_was_denied_elsewhere_cannot_be_two_minions(keyring: Keyring) -> None:
    """Denied as web1 and accepted as web2, it does not become web1 when that id is free."""
    put(keyring, "web1", A, State.ACCEPTED)
    keyring.ask("web1", B, "10.0.0.2", NOW_NS)
    keyring.accept("web2", keyring.ask("web2", B, "10.0.0.2", NOW_NS).fingerprint, NOW_NS)
    keyring.delete("web1", A.fingerprint, NOW_NS)
    with pytest.raises(KeyInUse):
        keyring.accept("web1", B.fingerprint, NOW_NS)
    with pytest.raises(KeyInUse):
        keyring.ask("web1", B, "10.0.0.2", NOW_NS)


# -- Tokens and what is expected ---------------------------------------------------------------------------------


def test_a_token_lets_one_key_in_once(keyring: Keyring) -> None:
    token = Token.new(MASTER)
    keyring.add_token("web1", token.mac("web1"), NOW_NS, NOW_NS + 3600 * S_NS)
    assert keyring.tokens() == {"web1": NOW_NS + 3600 * S_NS}
    for id_, wrong in (("web2", token), ("web1", Token.new(MASTER))):
        with pytest.raises(BadToken):
            keyring.ask(id_, A, "10.0.0.1", NOW_NS, wrong)
    assert keyring.all_keys() == []
    assert keyring.ask("web1", A, "10.0.0.1", NOW_NS, token).state is State.ACCEPTED
    assert events(keyring) == [("accepted", "web1")]
    assert keyring.tokens() == {}
    # The answer was lost: the same one again is no error, and nobody else can use the token.
    assert keyring.ask("web1", A, "10.0.0.1", NOW_NS, token).state is State.ACCEPTED
    assert keyring.ask("web1", B, "10.0.0.1", NOW_NS, token).state is State.DENIED
    keyring.delete("web1", A.fingerprint, NOW_NS)
    with pytest.raises(BadToken):
        keyring.ask("web1", B, "10.0.0.1", NOW_NS, token)


def test_a_token_lets_in_who_waits_already(keyring: Keyring) -> None:
    put(keyring, "web1", A, State.PENDING)
    token = Token.new(MASTER)
    keyring.add_token("web1", token.mac("web1"), NOW_NS, NOW_NS + 3600 * S_NS)
    assert keyring.ask("web1", A, "10.0.0.1", NOW_NS + S_NS, token).state is State.ACCEPTED


def test_a_token_has_its_time_and_does_not_come_back(keyring: Keyring) -> None:
    token = Token.new(MASTER)
    keyring.add_token("web1", token.mac("web1"), NOW_NS, NOW_NS + 3600 * S_NS)
    for at in (3600, 10**9, -(10**8)):
        with pytest.raises(BadToken):
            keyring.ask("web1", A, "10.0.0.1", NOW_NS + at * S_NS, token)
    keyring.expire(NOW_NS + 3600 * S_NS)
    with pytest.raises(BadToken):
        keyring.ask("web1", A, "10.0.0.1", NOW_NS + S_NS, token)
    assert keyring.tokens() == {}


def test_a_later_token_takes_the_place_of_an_earlier_one(keyring: Keyring) -> None:
    first, second = Token.new(MASTER), Token.new(MASTER)
    for token in (first, second):
        keyring.add_token("web1", token.mac("web1"), NOW_NS, NOW_NS + S_NS)
    with pytest.raises(BadToken):
        keyring.ask("web1", A, "10.0.0.1", NOW_NS, first)
    assert keyring.forget_token("web1")
    assert not keyring.forget_token("web1")
    with pytest.raises(BadToken):
        keyring.ask("web1", A, "10.0.0.1", NOW_NS, second)


def test_a_key_that_is_expected_is_accepted_when_it_asks(keyring: Keyring) -> None:
    keyring.expect("web1", A.fingerprint, NOW_NS)
    assert keyring.expected() == {"web1": A.fingerprint}
    assert keyring.ask("web2", A, "10.0.0.1", NOW_NS).state is State.PENDING
    keyring.delete("web2", A.fingerprint, NOW_NS)
    assert keyring.ask("web1", A, "10.0.0.1", NOW_NS).state is State.ACCEPTED
    assert keyring.expected() == {}


@pytest.mark.parametrize("prepared", ["expected", "token"])
def test_an_id_that_is_prepared_for_somebody_is_not_taken_by_others(prepared: str, keyring: Keyring) -> None:
    """However often they ask; and it is free again when that is called off."""
    token = Token.new(MASTER) if prepared == "token" else None
    if token is None:
        keyring.expect("web1", A.fingerprint, NOW_NS)
    else:
        keyring.add_token("web1", token.mac("web1"), NOW_NS, NOW_NS + 3600 * S_NS)
    for at in (0, 1, 100):
        assert keyring.ask("web1", B, "10.0.0.1", NOW_NS + at * S_NS).state is State.DENIED
    assert keyring.ask("web1", A, "10.0.0.2", NOW_NS + S_NS, token).state is State.ACCEPTED
    assert events(keyring) == [("denied", "web1"), ("accepted", "web1")]
    assert keyring.ask("web1", B, "10.0.0.1", NOW_NS).state is State.DENIED

    keyring.expect("web2", C.fingerprint, NOW_NS)
    assert keyring.ask("web2", public(1), "10.0.0.1", NOW_NS).state is State.DENIED
    assert keyring.forget_expected("web2")
    assert keyring.ask("web2", public(1), "10.0.0.1", NOW_NS).state is State.PENDING


def test_a_token_whose_time_is_over_keeps_nobody_out(keyring: Keyring) -> None:
    keyring.add_token("web1", bytes(32), NOW_NS, NOW_NS + S_NS)
    assert keyring.ask("web1", A, "10.0.0.1", NOW_NS).state is State.DENIED
    assert keyring.ask("web1", A, "10.0.0.1", NOW_NS + S_NS).state is State.PENDING


@pytest.mark.parametrize("prepared", ["expected", "token"])
def test_a_denied_key_may_come_in_when_it_is_prepared_for(prepared: str, keyring: Keyring) -> None:
    """An operator has seen it denied, has freed the id, and has said that it may."""
    put(keyring, "web1", A, State.ACCEPTED)
    keyring.ask("web1", B, "10.0.0.1", NOW_NS)
    keyring.delete("web1", A.fingerprint, NOW_NS)
    token = Token.new(MASTER)
    if prepared == "expected":
        keyring.expect("web1", B.fingerprint, NOW_NS)
    else:
        keyring.add_token("web1", token.mac("web1"), NOW_NS, NOW_NS + S_NS)
    assert keyring.ask("web1", B, "10.0.0.1", NOW_NS, token if prepared == "token" else None).state is State.ACCEPTED


def test_expecting_a_key_that_waits_accepts_it_when_it_asks_again(keyring: Keyring) -> None:
    put(keyring, "web1", A, State.PENDING)
    keyring.expect("web1", A.fingerprint, NOW_NS)
    assert keyring.ask("web1", A, "10.0.0.1", NOW_NS).state is State.ACCEPTED


@pytest.mark.parametrize("state", [State.ACCEPTED, State.REJECTED])
def test_nothing_is_prepared_for_an_id_that_is_taken(state: State, keyring: Keyring) -> None:
    put(keyring, "web1", A, state)
    with pytest.raises(MoveRefused):
        keyring.add_token("web1", bytes(32), NOW_NS, NOW_NS + S_NS)
    with pytest.raises(MoveRefused):
        keyring.expect("web1", B.fingerprint, NOW_NS)
    with pytest.raises(InvalidMinionId):
        keyring.add_token("../web1", bytes(32), NOW_NS, NOW_NS + S_NS)
    with pytest.raises(InvalidMinionId):
        keyring.expect("a/b", B.fingerprint, NOW_NS)


# -- How much strangers can fill ---------------------------------------------------------------------------------


def test_one_address_has_room_for_ten(keyring: Keyring) -> None:
    for number in range(PENDING_PER_ADDRESS_MAX):
        keyring.ask(f"web{number}", public(number), "10.0.0.1", NOW_NS + number)
    with pytest.raises(TooManyPending, match=r"from 10\.0\.0\.1"):
        keyring.ask("more", A, "10.0.0.1", NOW_NS + 60 * S_NS)
    keyring.ask("more", A, "10.0.0.2", NOW_NS)
    # What is denied counts as well: an id that is taken is no way around it.
    with pytest.raises(TooManyPending):
        keyring.ask("more", B, "10.0.0.1", NOW_NS)
    # Who waits already is not concerned.
    assert keyring.ask("web0", public(0), "10.0.0.1", NOW_NS + 61 * S_NS).state is State.PENDING


def test_who_was_not_seen_for_longest_makes_room(keyring: Keyring) -> None:
    for number in range(PENDING_PER_ADDRESS_MAX):
        keyring.ask(f"web{number}", public(number), "10.0.0.1", NOW_NS + number)
    keyring.ask("web0", public(0), "10.0.0.1", NOW_NS + 100 * S_NS)
    events(keyring)
    late = NOW_NS + UNSEEN_S * S_NS + 1
    keyring.ask("more", A, "10.0.0.1", late)
    assert events(keyring) == [("delete", "web1"), ("pending", "more")]
    assert "web0" in {key.id for key in keyring.all_keys()}


def test_all_addresses_together_have_room_for_a_thousand(keyring: Keyring) -> None:
    with keyring.store.writing():
        for number in range(PENDING_MAX):
            keyring.store.change(
                "INSERT INTO keys VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?)",
                f"m{number}", public(number).fingerprint, public(number).raw, ("pending", "denied")[number % 2],
                f"10.0.{number // 9}.1", NOW_NS, NOW_NS, NOW_NS + number,
            )  # fmt: skip
    with pytest.raises(TooManyPending, match="in all"):
        keyring.ask("more", A, "192.0.2.1", NOW_NS)
    # What an operator has accepted takes no room.
    keyring.accept("m0", public(0).fingerprint, NOW_NS)
    keyring.ask("more", A, "192.0.2.1", NOW_NS)
    with pytest.raises(TooManyPending):
        keyring.ask("evenmore", B, "192.0.2.1", NOW_NS)


# -- Move --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [Act.ACCEPT, Act.REJECT, Act.REVOKE])
@pytest.mark.parametrize("state", State)
def test_the_moves_that_there_are_and_no_others(state: State, act: Act, keyring: Keyring) -> None:
    """Every state and every move: it leads where the table says, with one event, or nothing at all has changed."""
    put(keyring, "web1", A, state)
    if state is State.DENIED:
        keyring.delete("web1", C.fingerprint, NOW_NS)  # A denied key has no place to go while its id is taken.
        events(keyring)
    before, revision = keyring.all_keys(), keyring.revision()
    move = {Act.ACCEPT: keyring.accept, Act.REJECT: keyring.reject, Act.REVOKE: keyring.revoke}[act]
    if state in MOVES[act]:
        assert move("web1", A.fingerprint, NOW_NS + 1).state is MOVES[act][state]
        after = keyring.key("web1", A.fingerprint)
        assert (after.state, after.changed_ns) == (MOVES[act][state], NOW_NS + 1)
        assert events(keyring) == [(act.value, "web1")]
        assert keyring.revision() > revision
    else:
        with pytest.raises(MoveRefused) as caught:
            move("web1", A.fingerprint, NOW_NS + 1)
        assert (caught.value.state, caught.value.act) == (state, act)
        assert (keyring.all_keys(), keyring.revision(), events(keyring)) == (before, revision, [])


@pytest.mark.parametrize("state", State)
def test_every_key_can_be_deleted(state: State, keyring: Keyring) -> None:
    put(keyring, "web1", A, state)
    epoch = keyring.epoch("web1")
    assert keyring.delete("web1", A.fingerprint, NOW_NS).state is state
    assert events(keyring) == [("delete", "web1")]
    with pytest.raises(NoSuchKey):
        keyring.key("web1", A.fingerprint)
    assert keyring.epoch("web1") == epoch + (state in HOLDS_ID)
    if state is State.REVOKED:
        with pytest.raises(NotAccepted, match="revoked"):
            keyring.ask("web1", A, "10.0.0.1", NOW_NS)
    else:
        asked = keyring.ask("web1", A, "10.0.0.1", NOW_NS)
        assert asked.state is (State.DENIED if state is State.DENIED else State.PENDING)


@pytest.mark.parametrize("move", ["accept", "reject", "revoke", "delete", "key"])
def test_a_key_that_is_not_there(move: str, keyring: Keyring) -> None:
    """Neither under this id nor with this fingerprint: what was looked at is what is moved."""
    put(keyring, "web1", A, State.PENDING)
    arguments = () if move == "key" else (NOW_NS,)
    for id_, key in (("web2", A), ("web1", B), ("' OR 1=1 --", A)):
        with pytest.raises(NoSuchKey):
            getattr(keyring, move)(id_, key.fingerprint, *arguments)


def test_a_revoked_key_never_comes_back(keyring: Keyring) -> None:
    put(keyring, "web1", A, State.REVOKED)
    for delete in (False, True):
        if delete:
            keyring.delete("web1", A.fingerprint, NOW_NS)
        for id_ in ("web1", "web2"):
            with pytest.raises(NotAccepted, match="revoked"):
                keyring.ask(id_, A, "10.0.0.1", NOW_NS)
        with pytest.raises(NotAccepted, match="revoked"):
            keyring.identify(A.fingerprint, NOW_NS)


def test_a_denied_key_that_is_revoked_under_another_id_never_comes_back(keyring: Keyring) -> None:
    put(keyring, "web1", A, State.ACCEPTED)
    keyring.ask("web1", B, "10.0.0.1", NOW_NS)
    put(keyring, "web2", B, State.REVOKED)
    keyring.delete("web2", B.fingerprint, NOW_NS)
    keyring.delete("web1", A.fingerprint, NOW_NS)
    with pytest.raises(KeyInUse):
        keyring.accept("web1", B.fingerprint, NOW_NS)


def test_the_next_holder_of_an_id_has_another_epoch(keyring: Keyring) -> None:
    """After revoking and after deleting; also where it is the same key."""
    seen: list[int] = []
    for key, end in ((A, keyring.delete), (A, keyring.delete), (A, keyring.revoke), (B, keyring.delete)):
        put(keyring, "web1", key, State.ACCEPTED)
        seen.append(keyring.identify(key.fingerprint, NOW_NS).epoch)
        end("web1", key.fingerprint, NOW_NS)
        assert keyring.epoch("web1") > seen[-1]
    assert seen == sorted(set(seen))


def test_the_page_has_the_states_the_moves_and_the_limits() -> None:
    page = PROJECT / "docs" / "keys.md"
    states = {row[0].strip("`"): row[2] == "yes" for row in table_under(page, "States")}
    assert states == {state.value: state in HOLDS_ID for state in State}
    shown = {
        row[0].strip("`"): (set(re.findall("`([a-z]+)`", row[1])), row[2].strip("`"))
        for table in tables(page) for row in table if len(row) == 3 and row[0] in ("`accept`", "`reject`", "`revoke`")
    }  # fmt: skip
    verbs = {Act.ACCEPT: "accept", Act.REJECT: "reject", Act.REVOKE: "revoke"}
    assert shown == {
        verbs[act]: ({state.value for state in moves}, next(iter(moves.values())).value) for act, moves in MOVES.items()
    }
    limits = {row[0]: int(row[1]) for row in table_under(page, "Limits")}
    assert list(limits.values()) == [PENDING_PER_ADDRESS_MAX, PENDING_MAX, 1]
    assert f"at most {ID_CHARACTERS_MAX}" in page.read_text()
    assert f"{UNSEEN_S // 60} minutes" in page.read_text()


# -- What counts -------------------------------------------------------------------------------------------------


def test_an_accepted_key_counts_once_it_is_announced(keyring: Keyring) -> None:
    keyring.ask("web1", A, "10.0.0.1", NOW_NS)
    keyring.accept("web1", A.fingerprint, NOW_NS)
    assert not keyring.key("web1", A.fingerprint).counts
    with pytest.raises(NotAccepted, match="not announced yet"):
        keyring.identify(A.fingerprint, NOW_NS)

    def fail(_: object) -> None:
        raise SylviteError("no broker")

    with pytest.raises(SylviteError, match="no broker"):
        announce(keyring, fail)
    with pytest.raises(NotAccepted):
        keyring.identify(A.fingerprint, NOW_NS)
    revision = keyring.revision()
    assert events(keyring) == [("pending", "web1"), ("accepted", "web1")]
    assert keyring.revision() > revision
    identity = keyring.identify(A.fingerprint, NOW_NS)
    assert (identity.id, identity.epoch, identity.replaced) == ("web1", 1, False)
    assert keyring.key("web1", A.fingerprint).counts


@pytest.mark.parametrize("end", ["revoke", "delete"])
def test_what_takes_rights_away_counts_at_once(end: str, keyring: Keyring) -> None:
    put(keyring, "web1", A, State.ACCEPTED)
    getattr(keyring, end)("web1", A.fingerprint, NOW_NS)
    assert keyring.due_count() == 1
    with pytest.raises(NotAccepted):
        keyring.identify(A.fingerprint, NOW_NS)


def test_a_key_that_is_accepted_and_revoked_before_anybody_was_told_never_counts(keyring: Keyring) -> None:
    keyring.ask("web1", A, "10.0.0.1", NOW_NS)
    keyring.accept("web1", A.fingerprint, NOW_NS)
    keyring.revoke("web1", A.fingerprint, NOW_NS)
    assert events(keyring) == [("pending", "web1"), ("accepted", "web1"), ("revoked", "web1")]
    with pytest.raises(NotAccepted, match="revoked"):
        keyring.identify(A.fingerprint, NOW_NS)


def test_the_events_are_salts(keyring: Keyring) -> None:
    """Tag, fields and their forms as in the transcripts of Salt 3008.3."""
    keyring.ask("web1", A, "10.0.0.1", NOW_NS)
    keyring.delete("web1", A.fingerprint, NOW_NS)
    first, last = (change.data() for change in keyring.due(10))
    assert first == {
        "result": True, "act": "pending", "id": "web1", "pub": A.pem, "_stamp": "2026-11-23T22:47:31.012345+00:00",
    }  # fmt: skip
    assert last == {"result": True, "act": "delete", "id": "web1", "_stamp": "2026-11-23T22:47:31.012345+00:00"}
    assert keyring.due(10)[0].TAG == "salt/key"


def test_many_events_are_announced_in_order(keyring: Keyring) -> None:
    for number in range(250):
        keyring.ask(f"m{number}", public(number), f"10.0.0.{number}", NOW_NS)
    sizes: list[int] = []
    announce(keyring, lambda batch: sizes.append(len(batch)))
    assert sizes == [100, 100, 50]
    assert keyring.due_count() == 0


def test_two_processes_see_each_other(keyring: Keyring) -> None:
    """Two openings of one file, as the master and `sylvite keys` have it."""
    with Keyring.open(keyring.folder.path) as other:
        keyring.ask("web1", A, "10.0.0.1", NOW_NS)
        other.accept("web1", A.fingerprint, NOW_NS)
        events(other)
        revision = keyring.revision()
        assert keyring.identify(A.fingerprint, NOW_NS).id == "web1"
        other.revoke("web1", A.fingerprint, NOW_NS)
        assert keyring.revision() != revision
        with pytest.raises(NotAccepted):
            keyring.identify(A.fingerprint, NOW_NS)


# -- Roll over ---------------------------------------------------------------------------------------------------


def test_a_minion_takes_another_key_and_keeps_its_epoch(keyring: Keyring) -> None:
    put(keyring, "web1", A, State.ACCEPTED)
    former = keyring.identify(A.fingerprint, NOW_NS)
    keyring.offer_successor(former, B, NOW_NS)
    keyring.offer_successor(former, B, NOW_NS)
    with pytest.raises(NotAccepted, match="not used yet"):
        keyring.identify(B.fingerprint, NOW_NS)
    keyring.succeed(B.fingerprint, NOW_NS)
    # Until it is announced, the former one alone counts; then both do; then the new one alone.
    with pytest.raises(NotAccepted):
        keyring.identify(B.fingerprint, NOW_NS)
    assert keyring.identify(A.fingerprint, NOW_NS).id == "web1"
    assert events(keyring) == [("accepted", "web1")]
    day_ns = 24 * 3600 * S_NS
    for key, replaced in ((A, True), (B, False)):
        found = keyring.identify(key.fingerprint, NOW_NS + day_ns - 1)
        assert (found.id, found.epoch, found.replaced) == ("web1", former.epoch, replaced)
    with pytest.raises(NotAccepted):
        keyring.identify(A.fingerprint, NOW_NS + day_ns)
    assert keyring.expire(NOW_NS + day_ns - 1) == []
    assert [key.fingerprint for key in keyring.expire(NOW_NS + day_ns)] == [A.fingerprint]
    assert events(keyring) == [("revoked", "web1")]
    # Not even with the clock set back.
    with pytest.raises(NotAccepted, match="revoked"):
        keyring.identify(A.fingerprint, NOW_NS)


@pytest.mark.parametrize("end", ["revoke", "delete"])
def test_who_loses_a_minion_loses_all_its_keys(end: str, keyring: Keyring) -> None:
    """The former one in its overlap, and one that was only offered."""
    put(keyring, "web1", A, State.ACCEPTED)
    keyring.offer_successor(keyring.identify(A.fingerprint, NOW_NS), B, NOW_NS)
    keyring.succeed(B.fingerprint, NOW_NS)
    events(keyring)
    keyring.offer_successor(keyring.identify(B.fingerprint, NOW_NS), C, NOW_NS)
    getattr(keyring, end)("web1", B.fingerprint, NOW_NS)
    for key in (A, B, C):
        with pytest.raises(NotAccepted):
            keyring.identify(key.fingerprint, NOW_NS)
        with pytest.raises(NotAccepted):
            keyring.succeed(key.fingerprint, NOW_NS)
        if end == "revoke":
            with pytest.raises(NotAccepted, match="revoked"):
                keyring.ask("web1", key, "10.0.0.1", NOW_NS)


def test_a_successor_has_to_be_new_and_offered_by_the_key_that_counts(keyring: Keyring) -> None:
    put(keyring, "web1", A, State.ACCEPTED)
    put(keyring, "web2", C, State.PENDING)
    identity = keyring.identify(A.fingerprint, NOW_NS)
    for known in (A, C):
        with pytest.raises(KeyInUse):
            keyring.offer_successor(identity, known, NOW_NS)
    keyring.offer_successor(identity, B, NOW_NS)
    with pytest.raises(KeyInUse):
        keyring.ask("web3", B, "10.0.0.1", NOW_NS)
    keyring.succeed(B.fingerprint, NOW_NS)
    events(keyring)
    with pytest.raises(NotAccepted):
        keyring.offer_successor(identity, public(1), NOW_NS)  # What it was: it has a successor.
    with pytest.raises(NotAccepted):
        keyring.offer_successor(keyring.identify(A.fingerprint, NOW_NS), public(1), NOW_NS)
    keyring.revoke("web1", B.fingerprint, NOW_NS)
    with pytest.raises(NotAccepted):
        keyring.succeed(B.fingerprint, NOW_NS)


# -- Any sequence ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_in_whatever_order(seed: int, keyring: Keyring) -> None:
    """Three ids, five keys, three hundred steps: what must always be so is so after each."""
    chance = random.Random(seed)
    keys = [public(number) for number in range(5)]
    ids = ["web1", "web2", "web3"]
    revoked: set[Fingerprint] = set()
    epochs = dict.fromkeys(ids, 0)
    done = 0
    for step in range(300):
        id_, key = chance.choice(ids), chance.choice(keys)
        act = chance.choice(
            ["ask", "ask", "accept", "accept", "reject", "revoke", "delete", "announce", "offer", "succeed"]
        )
        now_ns = NOW_NS + step * 1000 * S_NS
        try:
            if act == "ask":
                keyring.ask(id_, key, "10.0.0.1", now_ns)
            elif act == "announce":
                events(keyring)
            elif act == "offer":
                keyring.offer_successor(keyring.identify(key.fingerprint, now_ns), chance.choice(keys), now_ns)
            elif act == "succeed":
                keyring.succeed(key.fingerprint, now_ns, overlap_s=5000)
            else:
                getattr(keyring, act)(id_, key.fingerprint, now_ns)
                if act == "revoke":
                    revoked.add(key.fingerprint)
            done += 1
        except (NotAccepted, KeyInUse, MoveRefused, NoSuchKey):
            pass  # There is no such move now: nothing has changed, as the other tests show.
        revoked |= {each.fingerprint for each in keyring.expire(now_ns)}
        _check(keyring, revoked, epochs, now_ns)
        if len(revoked) == len(keys):
            keys = [public(number) for number in range(10 * step + 10, 10 * step + 15)]
            revoked.clear()
    assert done > 60


def _check(keyring: Keyring, revoked: set[Fingerprint], epochs: dict[str, int], now_ns: int) -> None:
    found = keyring.all_keys()
    for id_ in epochs:
        assert sum(key.id == id_ and key.state in HOLDS_ID for key in found) <= 1
        assert keyring.epoch(id_) >= epochs[id_]
        epochs[id_] = keyring.epoch(id_)
    accepting = {(change.id, change.public) for change in keyring.due(1000) if change.act is Act.ACCEPT}
    for key in found:
        assert key.counts == (key.state is State.ACCEPTED and key.public not in {public for _, public in accepting})
        if key.counts:
            identity = keyring.identify(key.fingerprint, now_ns)
            assert (identity.id, identity.epoch) == (key.id, epochs[key.id])
    for fingerprint in revoked:
        with pytest.raises(NotAccepted):
            keyring.identify(fingerprint, now_ns)
