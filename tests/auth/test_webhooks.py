"""Signatures of webhooks: the published examples, and what must not pass for one."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.auth.webhooks import (
    SCHEMES,
    Checking,
    Delivery,
    NotShown,
    Secret,
    check,
    read_secret,
    sign,
)
from sylvite.errors import InvalidInput

STANDARD = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
PLAIN = Secret("It's a Secret to Everybody")
OTHER = Secret("whsec_" + base64.b64encode(b"another secret of 28 bytes..").decode())
AT = 1614265330
BODY = b'{"test": 2432232314}'
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(AT),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
GITHUB = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}


def test_the_example_of_standard_webhooks() -> None:
    assert sign([STANDARD], HEADERS["webhook-id"], AT, BODY) == HEADERS["webhook-signature"]
    shown = check("standard", Delivery(HEADERS, BODY), Checking([STANDARD]), AT)
    assert (shown.id, shown.key) == (HEADERS["webhook-id"], HEADERS["webhook-id"].encode())


def test_the_example_of_github() -> None:
    delivery = Delivery({**GITHUB, "x-github-delivery": "72d3162e"}, b"Hello, World!")
    assert check("github", delivery, Checking([PLAIN]), AT).id == "72d3162e"


def test_what_github_does_not_sign_does_not_make_another_delivery_of_it() -> None:
    one, two = (Delivery({**GITHUB, "x-github-delivery": id_}, b"Hello, World!") for id_ in ("1", "2"))
    checking = Checking([PLAIN])
    assert check("github", one, checking, AT).key == check("github", two, checking, AT).key


def test_gitlab_with_its_signing_token_and_with_its_older_secret_token() -> None:
    checking = Checking([STANDARD, PLAIN])
    assert check("gitlab", Delivery(HEADERS, BODY), checking, AT).id == HEADERS["webhook-id"]
    token = {"x-gitlab-token": PLAIN.reveal(), "x-gitlab-event-uuid": "13792a34"}
    assert check("gitlab", Delivery(token, BODY), checking, AT).id == "13792a34"
    with pytest.raises(NotShown):
        check("gitlab", Delivery({**HEADERS, **token, "webhook-signature": "v1,AAAA"}, BODY), checking, AT)
    with pytest.raises(NotShown):
        check("gitlab", Delivery({"x-gitlab-token": STANDARD.reveal()}, BODY), checking, AT)


def test_stripe() -> None:
    secret = Secret("whsec_it-is-text-not-base64")
    mac = hmac.new(secret.reveal().encode(), f"{AT}.".encode() + BODY, hashlib.sha256).hexdigest()
    delivery = Delivery({"stripe-signature": f"t={AT},v1={'0' * 64},v1={mac},v0=x"}, BODY)
    assert check("stripe", delivery, Checking([secret]), AT + 299).key
    with pytest.raises(NotShown):
        check("stripe", delivery, Checking([secret]), AT + 301)


@pytest.mark.parametrize("value", [PLAIN.reveal(), f"Bearer {PLAIN.reveal()}", f"bearer  {PLAIN.reveal()}"])
def test_a_shared_secret(value: str) -> None:
    delivery = Delivery({"authorization": value, "idempotency-key": "a.1"}, BODY)
    assert check("shared-secret", delivery, Checking([PLAIN]), AT).key == b"a.1"
    named = Checking([PLAIN], secret_header="x-secret", id_header="x-id")
    assert check("shared-secret", Delivery({"x-secret": value}, BODY), named, AT).key == b""


@pytest.mark.parametrize(("away_s", "passes"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_the_window(away_s: int, passes: bool) -> None:
    if passes:
        check("standard", Delivery(HEADERS, BODY), Checking([STANDARD]), AT + away_s)
    else:
        with pytest.raises(NotShown):
            check("standard", Delivery(HEADERS, BODY), Checking([STANDARD]), AT + away_s)


def test_either_of_two_secrets_while_they_are_exchanged() -> None:
    for secret in (STANDARD, OTHER):
        headers = {**HEADERS, "webhook-signature": sign([secret], HEADERS["webhook-id"], AT, BODY)}
        check("standard", Delivery(headers, BODY), Checking([OTHER, STANDARD]), AT)
    both = {**HEADERS, "webhook-signature": sign([OTHER, STANDARD], HEADERS["webhook-id"], AT, BODY)}
    check("standard", Delivery(both, BODY), Checking([STANDARD]), AT)


def test_part_of_a_body_does_not_pass_for_the_time() -> None:
    """What is signed is id.time.body: with a full stop in the id it could be cut elsewhere."""
    body = f"{AT}.rest".encode()
    signed = sign([STANDARD], "a", AT, body)
    moved = {"webhook-id": f"a.{AT}", "webhook-timestamp": str(AT), "webhook-signature": signed}
    assert sign([STANDARD], f"a.{AT}", AT, b"rest") == signed
    with pytest.raises(NotShown):
        check("standard", Delivery(moved, b"rest"), Checking([STANDARD]), AT)


@given(
    scheme=st.sampled_from(sorted(SCHEMES)),
    headers=st.dictionaries(
        st.sampled_from([*HEADERS, *GITHUB, "x-gitlab-token", "stripe-signature", "authorization"]),
        st.one_of(st.text(max_size=40), st.just("v1,"), st.just("sha256="), st.just(f"t={AT},v1=")),
    ),
    body=st.binary(max_size=40),
)
def test_no_request_without_the_secret_passes(scheme: str, headers: dict[str, str], body: bytes) -> None:
    """Whatever it holds, it is refused, and nothing else is raised."""
    with pytest.raises(NotShown):
        check(scheme, Delivery(headers, body), Checking([STANDARD, PLAIN]), AT)


def test_a_secret_does_not_show_itself() -> None:
    assert "Everybody" not in repr(PLAIN) + str(PLAIN) + f"{PLAIN}"


@pytest.mark.parametrize(
    ("scheme", "text"), [("standard", PLAIN.reveal()), ("gitlab", "whsec_no base64 at all"), ("github", "short")]
)
def test_what_cannot_be_a_secret(scheme: str, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_secret(scheme, text)
    assert text not in str(caught.value)
