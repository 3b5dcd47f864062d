"""Enrolment: what is signed, tokens, pins, successors."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.auth import enrolment
from sylvite.auth.enrolment import (
    BadEnrolment,
    BadToken,
    Request,
    Succession,
    Token,
    Trust,
    WrongMaster,
    announce_successor,
    check_request,
    check_successor,
    decode,
    encode,
    judge_master,
    make_request,
    parse_token,
    pins_after_session,
    pins_after_succession,
    read_pins,
    sign_successor,
    token_fits,
    token_until_ns,
)
from sylvite.auth.keyring_values import InvalidMinionId
from sylvite.auth.keys import InvalidKey, make_pair
from sylvite.errors import InvalidInput

MASTER, NEXT_MASTER, RECOVERY, MINION, NEXT_MINION, OTHER = (make_pair() for _ in range(6))
NONCE = bytes(range(32))
NOW_NS = 1_795_474_051_000_000_000
HOUR_NS = 3600 * 1_000_000_000
S_NS = 1_000_000_000


# -- Asking ------------------------------------------------------------------------------------------------------


def test_a_request_shows_id_and_key() -> None:
    request = decode(encode(make_request(MINION, "web1", MASTER.fingerprint, NONCE)), Request)
    asking = check_request(request, MASTER.fingerprint, NONCE)
    assert (asking.id, asking.public, asking.token) == ("web1", MINION.public, None)


def test_a_request_brings_the_secret_of_a_token() -> None:
    token = Token.new(MASTER.fingerprint)
    asking = check_request(make_request(MINION, "web1", MASTER.fingerprint, NONCE, token), MASTER.fingerprint, NONCE)
    assert asking.token is not None
    assert asking.token.mac("web1") == token.mac("web1")
    with pytest.raises(WrongMaster, match="the token is for"):
        make_request(MINION, "web1", OTHER.fingerprint, NONCE, token)


WITH_TOKEN = make_request(MINION, "web1", MASTER.fingerprint, NONCE, Token.new(MASTER.fingerprint))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "web2"}, {"public": OTHER.public.raw}, {"public": b""}, {"public": bytes(32)}, {"signature": b""},
        {"signature": bytes(64)}, {"token": None}, {"token": bytes(32)}, {"token": b""},
        {"signature": make_request(OTHER, "web1", MASTER.fingerprint, NONCE).signature},
    ],
)  # fmt: skip
def test_a_request_that_was_changed_shows_nothing(change: dict[str, object]) -> None:
    check_request(WITH_TOKEN, MASTER.fingerprint, NONCE)
    with pytest.raises(BadEnrolment):
        check_request(msgspec.structs.replace(WITH_TOKEN, **change), MASTER.fingerprint, NONCE)


def test_a_request_is_for_one_master_and_one_connection() -> None:
    """What a man in the middle relays, or somebody recorded, is worth nothing."""
    for master, nonce in ((OTHER.fingerprint, NONCE), (MASTER.fingerprint, bytes(32)), (MASTER.fingerprint, b"")):
        with pytest.raises(BadEnrolment):
            check_request(WITH_TOKEN, master, nonce)


def test_no_signature_fits_something_else() -> None:
    """The same parts, signed for another purpose, or cut elsewhere."""
    signature = sign_successor(MINION, "web1", MINION.public, MASTER.fingerprint, NONCE)
    with pytest.raises(BadEnrolment):
        check_request(Request("web1", MINION.public.raw, signature), MASTER.fingerprint, NONCE)
    message: Callable[..., bytes] = vars(enrolment)["_message"]
    assert message(b"x", b"ab", b"c") != message(b"x", b"a", b"bc")


@pytest.mark.parametrize("id_", ["", "../x", "a/b", "a\nb", "x" * 193])
def test_a_request_has_a_proper_id(id_: str) -> None:
    with pytest.raises(InvalidMinionId):
        make_request(MINION, id_, MASTER.fingerprint, NONCE)
    with pytest.raises(InvalidMinionId):
        check_request(Request(id_, MINION.public.raw, bytes(64)), MASTER.fingerprint, NONCE)


@given(st.binary(max_size=200))
def test_bytes_are_a_request_or_refused(content: bytes) -> None:
    with pytest.raises(BadEnrolment):
        decode(content, Request)
    with pytest.raises(BadEnrolment):
        decode(content, Succession)


@pytest.mark.parametrize(
    "content",
    [
        encode(WITH_TOKEN) + b"\0", encode(WITH_TOKEN)[:-1], b"\x91" * 4000, b"\xc6\xff\xff\xff\xff", bytes(5000),
        msgspec.msgpack.encode(["web1", MINION.public.raw, bytes(64), None, 1]), msgspec.msgpack.encode({"id": "web1"}),
        b"\x94\xa4\xff\xff\xff\xff" + msgspec.msgpack.encode(bytes(32)) * 2 + b"\xc0",
    ],
)  # fmt: skip
def test_what_is_not_quite_a_request_is_refused(content: bytes) -> None:
    with pytest.raises(BadEnrolment):
        decode(content, Request)


def test_a_request_shows_no_secret() -> None:
    shown = repr(WITH_TOKEN)
    assert WITH_TOKEN.token is not None
    assert repr(WITH_TOKEN.token) not in shown
    assert "***" in shown


# -- Tokens ------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32))
def test_a_token_is_read_as_it_was_written(secret: bytes) -> None:
    token = parse_token(f" {Token(secret, MASTER.fingerprint).reveal()}\n")
    assert (token.secret(), token.master) == (secret, MASTER.fingerprint)


def test_a_token_that_was_not_copied_whole_is_noticed() -> None:
    """Each character counts; and the message does not show what it was."""
    text = Token.new(MASTER.fingerprint).reveal()
    wrong = [
        "",
        "syt1_",
        text[:-1],
        text + "A",
        text[:-8],
        text.upper(),
        "x" * 300,
        "syt1_" + "ä" * 91,
        "syt1_" + "*" * 91,
    ]
    wrong += [text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] for at in range(5, len(text) - 1)]
    for each in wrong:
        with pytest.raises(BadToken) as caught:
            parse_token(each)
        assert len(each) < 10 or each not in str(caught.value)


def test_a_token_does_not_show_itself() -> None:
    token = Token.new(MASTER.fingerprint)
    assert f"{token} {token!r} {[token]}" == "*** *** [***]"
    with pytest.raises(TypeError):
        pickle.dumps(token)
    with pytest.raises(BadToken):
        Token(b"short", MASTER.fingerprint)


def test_a_token_fits_one_id_for_its_time() -> None:
    token, other = Token.new(MASTER.fingerprint), Token.new(MASTER.fingerprint)
    until = token_until_ns(NOW_NS, 3600)

    def fits(it: Token, id_: str, now_ns: int) -> bool:
        return token_fits(it, id_, mac=token.mac("web1"), made_ns=NOW_NS, until_ns=until, now_ns=now_ns)

    assert [fits(token, "web1", NOW_NS + at * S_NS) for at in (0, 3599, 3600, 10**7)] == [True, True, False, False]
    assert not fits(token, "web2", NOW_NS)
    assert not fits(other, "web1", NOW_NS)
    # A clock that is set back a little, and ten years.
    assert fits(token, "web1", NOW_NS - 60 * S_NS)
    assert not fits(token, "web1", NOW_NS - 10 * 365 * 24 * HOUR_NS)


@pytest.mark.parametrize("valid_s", [0, -1, 0.5, 24 * 3600 + 1, float("inf"), float("nan")])
def test_a_token_counts_for_at_most_a_day(valid_s: float) -> None:
    with pytest.raises(InvalidInput, match="24 hours"):
        token_until_ns(NOW_NS, valid_s)
    assert token_until_ns(NOW_NS, 24 * 3600) == NOW_NS + 24 * HOUR_NS


# -- Another key of a minion -------------------------------------------------------------------------------------


def test_a_minion_shows_that_it_has_its_next_key() -> None:
    arguments = ("web1", MINION.public, MASTER.fingerprint, NONCE)
    signature = sign_successor(NEXT_MINION, *arguments)
    check_successor(NEXT_MINION.public, signature, *arguments)
    for wrong in (
        ("web2", MINION.public, MASTER.fingerprint, NONCE), ("web1", OTHER.public, MASTER.fingerprint, NONCE),
        ("web1", MINION.public, OTHER.fingerprint, NONCE), ("web1", MINION.public, MASTER.fingerprint, bytes(32)),
    ):  # fmt: skip
        with pytest.raises(BadEnrolment):
            check_successor(NEXT_MINION.public, signature, *wrong)
    with pytest.raises(BadEnrolment):
        check_successor(OTHER.public, signature, *arguments)


# -- The key of the master ---------------------------------------------------------------------------------------


def test_only_a_pinned_master_is_trusted() -> None:
    pins = read_pins([MASTER.fingerprint.upper(), OTHER.fingerprint.replace(":", "")])
    for pair in (MASTER, OTHER):
        assert judge_master(pair.fingerprint, pins, NOW_NS) is Trust.PINNED
    with pytest.raises(WrongMaster) as caught:
        judge_master(NEXT_MASTER.fingerprint, pins, NOW_NS)
    assert caught.value.found == NEXT_MASTER.fingerprint
    with pytest.raises(InvalidKey):
        read_pins(["aa:bb"])


def test_nobody_is_trusted_for_coming_first_unless_it_was_said() -> None:
    with pytest.raises(WrongMaster, match="sylvite keys finger"):
        judge_master(MASTER.fingerprint, read_pins([]), NOW_NS)
    pins = read_pins([], trust_first=True)
    assert judge_master(MASTER.fingerprint, pins, NOW_NS) is Trust.FIRST
    # And from then on it is the only one.
    pins = pins_after_session(pins, MASTER.fingerprint, Trust.FIRST, NOW_NS)
    assert judge_master(MASTER.fingerprint, pins, NOW_NS) is Trust.PINNED
    with pytest.raises(WrongMaster):
        judge_master(OTHER.fingerprint, pins, NOW_NS)
    assert pins_after_session(pins, MASTER.fingerprint, Trust.PINNED, NOW_NS) == pins


def test_a_master_names_its_successor() -> None:
    """Both are trusted until the new one was used, and the former one for the overlap from then on."""
    statement = announce_successor(MASTER, MASTER.fingerprint, NEXT_MASTER.public, NOW_NS, 3600)
    pins = read_pins([MASTER.fingerprint])
    both = pins_after_succession(pins, decode(encode(statement), Succession), NOW_NS)
    for at in (NOW_NS, NOW_NS + 10**6 * HOUR_NS):
        for pair in (MASTER, NEXT_MASTER):
            assert judge_master(pair.fingerprint, both, at) is Trust.PINNED
    assert pins_after_succession(both, statement, NOW_NS) == both
    assert pins_after_session(both, MASTER.fingerprint, Trust.PINNED, NOW_NS) == both
    used = pins_after_session(both, NEXT_MASTER.fingerprint, Trust.PINNED, NOW_NS)
    assert judge_master(MASTER.fingerprint, used, NOW_NS + 3599 * S_NS) is Trust.PINNED
    with pytest.raises(WrongMaster, match="has a successor"):
        judge_master(MASTER.fingerprint, used, NOW_NS + 3600 * S_NS)
    # It cannot name another one any more, and is forgotten at the next session.
    with pytest.raises(WrongMaster):
        pins_after_succession(
            used, announce_successor(MASTER, MASTER.fingerprint, OTHER.public, 0, 0), NOW_NS + HOUR_NS
        )
    last = pins_after_session(used, NEXT_MASTER.fingerprint, Trust.PINNED, NOW_NS + HOUR_NS)
    assert [pin.fingerprint for pin in last.pins] == [NEXT_MASTER.fingerprint]


def test_the_overlap_begins_once() -> None:
    """A second session does not prolong the life of the former key."""
    statement = announce_successor(MASTER, MASTER.fingerprint, NEXT_MASTER.public, NOW_NS, 3600)
    pins = pins_after_succession(read_pins([MASTER.fingerprint]), statement, NOW_NS)
    used = pins_after_session(pins, NEXT_MASTER.fingerprint, Trust.PINNED, NOW_NS)
    assert pins_after_session(used, NEXT_MASTER.fingerprint, Trust.PINNED, NOW_NS + 60 * S_NS) == used
    assert pins_after_succession(used, statement, NOW_NS + 60 * S_NS) == used


def test_nobody_else_names_a_successor() -> None:
    pins = read_pins([MASTER.fingerprint])
    for statement in (
        announce_successor(OTHER, MASTER.fingerprint, OTHER.public, NOW_NS, 3600),
        announce_successor(OTHER, OTHER.fingerprint, NEXT_MASTER.public, NOW_NS, 3600),
        announce_successor(RECOVERY, MASTER.fingerprint, NEXT_MASTER.public, NOW_NS, 3600),
    ):
        with pytest.raises(WrongMaster):
            pins_after_succession(pins, statement, NOW_NS)


@pytest.mark.parametrize(
    "change",
    [
        {"successor": OTHER.public.raw}, {"successor": b""}, {"former": OTHER.fingerprint}, {"former": "x"},
        {"not_before_ns": 1}, {"not_before_ns": -1}, {"overlap_s": 1e9}, {"overlap_s": -1.0}, {"overlap_s": float("nan")},
        {"overlap_s": float("inf")}, {"signature": bytes(64)}, {"signer": OTHER.public.raw}, {"signer": bytes(32)},
        {"not_before_ns": 2**63},
    ],
)  # fmt: skip
def test_a_statement_that_was_changed_is_refused(change: dict[str, object]) -> None:
    statement = announce_successor(MASTER, MASTER.fingerprint, NEXT_MASTER.public, NOW_NS, 3600)
    with pytest.raises(BadEnrolment):
        pins_after_succession(read_pins([MASTER.fingerprint]), msgspec.structs.replace(statement, **change), NOW_NS)


def test_a_recovery_key_replaces_a_stolen_master_at_once() -> None:
    pins = read_pins([MASTER.fingerprint], recovery=[RECOVERY.fingerprint])
    with pytest.raises(WrongMaster):
        judge_master(RECOVERY.fingerprint, pins, NOW_NS)
    # Whoever has stolen it has named a successor too; the recovery key wins also then.
    stolen = announce_successor(MASTER, MASTER.fingerprint, OTHER.public, NOW_NS, 3600)
    named = pins_after_succession(pins, stolen, NOW_NS)
    used = pins_after_session(named, OTHER.fingerprint, Trust.PINNED, NOW_NS)
    alone = pins_after_session(used, OTHER.fingerprint, Trust.PINNED, NOW_NS + HOUR_NS)
    assert [pin.fingerprint for pin in alone.pins] == [OTHER.fingerprint]
    for before in (pins, named, used, alone):
        statement = announce_successor(RECOVERY, MASTER.fingerprint, NEXT_MASTER.public, NOW_NS, 3600)
        after = pins_after_succession(before, statement, NOW_NS)
        assert judge_master(NEXT_MASTER.fingerprint, after, NOW_NS) is Trust.PINNED
        for gone in (MASTER, OTHER):
            with pytest.raises(WrongMaster):
                judge_master(gone.fingerprint, after, NOW_NS)
