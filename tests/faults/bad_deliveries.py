"""Deliveries of webhooks that must not pass, and how they would look to somebody who does not look closely."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sylvite.auth.webhooks import Secret, sign
from tests.api.hooking import OLDER, PLAIN, STANDARD, github, standard

BODY = b'{"type": "order.paid", "data": {"order": 4711, "amount": "12.50"}}'
WRONG = Secret("whsec_d3Jvbmcgc2VjcmV0IG9mIDI4IGJ5dGVzLi4uLg==")


class Bad(NamedTuple):
    about: str
    hook: str
    headers: Mapping[str, str]
    body: bytes = BODY


def forged() -> list[Bad]:
    """Return signatures that are none: 30 of each kind and more."""
    return [*_standard(), *_others()]


def altered() -> Iterator[Bad]:
    """Yield what was signed right, with each byte of the body changed in turn, and with one more and one less."""
    for hook, headers in (("std", standard("msg_altered", BODY)), ("github", github(BODY))):
        for at in range(len(BODY)):
            yield Bad(f"byte {at}", hook, headers, BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :])
        yield Bad("shorter", hook, headers, BODY[:-1])
        yield Bad("longer", hook, headers, BODY + b" ")


def untimely() -> Iterator[Bad]:
    """Yield what is signed right, but too long ago, or not yet.

    One that is hardly too early may be in time when it arrives: tests/auth/test_webhooks.py has that edge.
    """
    for away_s in (-301, 400, -86_400, 86_400, -(10**9)):
        yield Bad(f"{away_s} s", "std", standard(f"msg_{away_s}", BODY, away_s=away_s))


def _standard() -> Iterator[Bad]:
    right = standard("msg_forged", BODY)
    at, signature = right["webhook-timestamp"], right["webhook-signature"]
    text = signature.removeprefix("v1,")
    for name in right:
        yield Bad(f"without {name}", "std", {key: value for key, value in right.items() if key != name})
        yield Bad(f"empty {name}", "std", {**right, name: ""})
    signatures = {
        "nothing": "v1,", "no version": text, "v0": f"v0,{text}", "v1a": f"v1a,{text}", "V1": f"V1,{text}",
        "v1=": f"v1={text}", "cut": signature[:-2], "longer": signature[:-1] + "A=", "zeros": "v1," + base64.b64encode(bytes(32)).decode(),
        "in hex": "v1," + base64.b64decode(text).hex(), "of another secret": sign([WRONG], "msg_forged", int(at), BODY),
        "of no secret": "v1," + _mac(b"", f"msg_forged.{at}.".encode() + BODY),
        "of the secret as text": "v1," + _mac(STANDARD.reveal().encode(), f"msg_forged.{at}.".encode() + BODY),
        "of the body alone": "v1," + _mac(STANDARD.key, BODY),
        "of no body": sign([STANDARD], "msg_forged", int(at), b""),
        "in another order": "v1," + _mac(STANDARD.key, f"{at}.msg_forged.".encode() + BODY),
        "of the same JSON without blanks": sign([STANDARD], "msg_forged", int(at), BODY.replace(b" ", b"")),
        "many that are wrong": " ".join(["v1," + base64.b64encode(bytes(32)).decode()] * 40),
    }  # fmt: skip
    for about, value in signatures.items():
        yield Bad(f"signature: {about}", "std", {**right, "webhook-signature": value})
    for value in ("0", "-1", "1e9", f"{at}.0", f"+{at}", f"{at} ", f"{at}000", "9" * 12, "\u0661" * 3, at[:-1]):
        yield Bad(f"time {value!r}", "std", {**right, "webhook-timestamp": value.encode().decode("latin-1")})
    for value in ("msg_other", "msg_forged.1", "MSG_FORGED", "a b", "x" * 300):
        yield Bad(f"id {value[:20]!r}", "std", {**right, "webhook-id": value})


def _others() -> Iterator[Bad]:
    right = github(BODY)
    text = right["X-Hub-Signature-256"].removeprefix("sha256=")
    sha1 = hmac.new(PLAIN.key, BODY, hashlib.sha1).hexdigest()
    for about, value in {
        "nothing": "", "no hash": "sha256=", "without its name": text, "of another name": f"sha512={text}", "cut": f"sha256={text[:-2]}",
        "longer": f"sha256={text}00", "with blanks": f"sha256={text[:2]} {text[2:]}", "zeros": f"sha256={'0' * 64}", "of SHA-1": f"sha256={sha1}",
        "of another secret": f"sha256={hmac.new(WRONG.key, BODY, hashlib.sha256).hexdigest()}",
        "of no secret": f"sha256={hmac.new(b'', BODY, hashlib.sha256).hexdigest()}",
    }.items():  # fmt: skip
        yield Bad(f"GitHub: {about}", "github", {**right, "X-Hub-Signature-256": value})
    older = {"X-Hub-Signature": f"sha1={sha1}", "X-GitHub-Event": "push"}
    yield Bad("GitHub: only its older header", "github", older)
    secret = PLAIN.reveal()
    for value in (
        "",
        secret[:-1],
        secret + "x",
        secret.lower(),
        secret.upper(),
        STANDARD.reveal(),
        OLDER.reveal(),
        "*",
        "null",
    ):
        yield Bad(f"GitLab: {value[:3]!r}", "gitlab", {"X-Gitlab-Token": value, "X-Gitlab-Event": "Push Hook"})
        yield Bad(f"shared: {value[:3]!r}", "shared", {"Authorization": f"Bearer {value}"}, b"{}")
    yield Bad(
        "shared: Basic", "shared", {"Authorization": "Basic " + base64.b64encode(f":{secret}".encode()).decode()}, b"{}"
    )
    yield Bad("no such hook", "none", standard("msg_none", BODY))
    yield Bad("a hook by another's secret", "std", {**github(BODY), "webhook-timestamp": str(int(time.time()))})


def _mac(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, "sha256")).decode()
