"""Webhooks: who has sent an HTTP request, shown by a secret that both sides know; and how ours are signed.  Pure.

Each scheme is a way in which senders show it.  A secret is taken over the body as it came, before anything reads it, and
every comparison takes the same time whatever differs.
Source: the Standard Webhooks specification; what GitHub, GitLab and Stripe document of theirs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sylvite.errors import InvalidInput, SylviteError

WINDOW_S = 300.0
"""How far the time in a signature may be from ours, either way."""
PREFIX = "whsec_"
"""Of a secret that stands in base64."""
KEY_BYTES = (16, 128)
"""Of a secret: fewer can be guessed; Standard Webhooks makes them of 24 to 64."""
SIGNATURES_MAX = 16
ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}")
"""Of a delivery.  Without a full stop, which parts what is signed: else a part of a body could pass for the time."""
_told_id = re.compile(r"[\x21-\x7e]{1,256}")
_digits = re.compile(r"[0-9]{1,12}")


class Secret:
    """A secret as text.  It shows itself as `***`; `reveal` gives it, `key` the bytes that it stands for.

    `is_standard`: it is written as Standard Webhooks does, base64 behind `whsec_`.
    """

    __slots__ = ("_text", "is_standard", "key")

    def __init__(self, text: str) -> None:
        """Raises InvalidInput: too short or too long; the message does not repeat it."""
        decoded = _from_base64(text[len(PREFIX) :]) if text.startswith(PREFIX) else b""
        self._text, self.is_standard, self.key = text, bool(decoded), decoded or text.encode()
        least, most = KEY_BYTES
        if not least <= len(self.key) <= most:
            raise InvalidInput(f"a secret of a webhook has {least} to {most} bytes, not {len(self.key)}")

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        return self._text


class Delivery(NamedTuple):
    """A request that says it is from a sender.  `headers`: by their names in small letters."""

    headers: Mapping[str, str]
    body: bytes


class Shown(NamedTuple):
    """A delivery whose sender knows the secret.

    `id`: what the sender calls it.  `key`: what tells it from others, and cannot be changed by whoever has only seen it,
    as far as the scheme signs anything; empty where nothing tells it from others.
    """

    id: str
    key: bytes


class NotShown(SylviteError):
    """The sender has not shown that he knows the secret.  Why is for our own log, not for strangers."""

    code = "not_shown"


class Checking(NamedTuple):
    """What a scheme goes by.  `secret_header`, `id_header`: in small letters, for schemes that have none of their own."""

    secrets: Sequence[Secret]
    window_s: float = WINDOW_S
    secret_header: str = "authorization"
    id_header: str = "idempotency-key"


Scheme = Callable[[Delivery, Checking, float], Shown]


def sign(secrets: Iterable[Secret], id_: str, at_s: int, body: bytes) -> str:
    """Return the header `webhook-signature` for a delivery of ours: a signature for each secret, the newest first."""
    return " ".join(f"v1,{base64.b64encode(_signed(secret, id_, str(at_s), body)).decode()}" for secret in secrets)


def _signed(secret: Secret, id_: str, at: str, body: bytes) -> bytes:
    return _mac(secret, f"{id_}.{at}.".encode() + body)


def _mac(secret: Secret, content: bytes) -> bytes:
    return hmac.digest(secret.key, content, hashlib.sha256)


def _standard(delivery: Delivery, checking: Checking, now_s: float) -> Shown:
    """Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,…`."""
    id_, at = delivery.headers.get("webhook-id", ""), delivery.headers.get("webhook-timestamp", "")
    if not ID.fullmatch(id_):
        raise NotShown("no webhook-id that can be one")
    _check_time(at, now_s, checking.window_s)
    listed = delivery.headers.get("webhook-signature", "").split(" ")
    given = [_from_base64(each[3:]) for each in listed[:SIGNATURES_MAX] if each.startswith("v1,")]
    secrets = [secret for secret in checking.secrets if secret.is_standard]
    _check_any(given, [_signed(secret, id_, at, delivery.body) for secret in secrets], "webhook-signature")
    return Shown(id_, id_.encode())


def _github(delivery: Delivery, checking: Checking, _now_s: float) -> Shown:
    """GitHub: `X-Hub-Signature-256` over the body alone, so that only the body tells one delivery from another."""
    kind, _, text = delivery.headers.get("x-hub-signature-256", "").partition("=")
    given = [_from_hex(text)] if kind == "sha256" else []
    _check_any(given, [_mac(secret, delivery.body) for secret in checking.secrets], "X-Hub-Signature-256")
    return Shown(_told(delivery, "x-github-delivery"), _of_body(delivery))


def _gitlab(delivery: Delivery, checking: Checking, now_s: float) -> Shown:
    """GitLab: its signing token is signed with as Standard Webhooks; its older secret token is sent along as it is.

    What is signed has to be signed right: it does not fall back to the other.
    """
    if "webhook-signature" in delivery.headers and any(secret.is_standard for secret in checking.secrets):
        return _standard(delivery, checking, now_s)
    plain = [secret.key for secret in checking.secrets if not secret.is_standard]
    _check_any([delivery.headers.get("x-gitlab-token", "").encode()], plain, "X-Gitlab-Token")
    id_ = _told(delivery, "x-gitlab-event-uuid") or _told(delivery, "idempotency-key")
    return Shown(id_, id_.encode())


def _stripe(delivery: Delivery, checking: Checking, now_s: float) -> Shown:
    """Stripe: `Stripe-Signature: t=…,v1=…` over the time and the body; when it tries again, the body is the same."""
    parts = [
        each.partition("=")[::2] for each in delivery.headers.get("stripe-signature", "").split(",")[:SIGNATURES_MAX]
    ]
    at = next((value for name, value in parts if name.strip() == "t"), "")
    _check_time(at, now_s, checking.window_s)
    given = [_from_hex(value) for name, value in parts if name.strip() == "v1"]
    # Its secrets begin with whsec_ too, and are used as the text that they are.
    expected = [
        hmac.digest(secret.reveal().encode(), f"{at}.".encode() + delivery.body, hashlib.sha256)
        for secret in checking.secrets
    ]
    _check_any(given, expected, "Stripe-Signature")
    return Shown("", _of_body(delivery))


def _shared(delivery: Delivery, checking: Checking, _now_s: float) -> Shown:
    """The secret itself in a header, alone or behind `Bearer`: nothing is signed."""
    text = delivery.headers.get(checking.secret_header, "")
    kind, _, rest = text.partition(" ")
    given = rest.strip() if kind.lower() == "bearer" else text
    _check_any([given.encode()], [secret.reveal().encode() for secret in checking.secrets], checking.secret_header)
    id_ = _told(delivery, checking.id_header)
    return Shown(id_, id_.encode())


SCHEMES: Mapping[str, Scheme] = {
    "standard": _standard,
    "github": _github,
    "gitlab": _gitlab,
    "stripe": _stripe,
    "shared-secret": _shared,
}


def read_secret(scheme: str, text: str) -> Secret:
    """Return a secret that a scheme can use.  Raises InvalidInput: it cannot; the message does not repeat it."""
    secret = Secret(text)
    if not secret.is_standard and (scheme == "standard" or (scheme == "gitlab" and text.startswith(PREFIX))):
        raise InvalidInput(f"a secret of Standard Webhooks is base64 behind {PREFIX}")
    return secret


def check(scheme: str, delivery: Delivery, checking: Checking, now_s: float) -> Shown:
    """Return what is known of a delivery whose sender knows a secret.

    Raises:
        NotShown: he does not, or the time in it is too far from ours.
    """
    return SCHEMES[scheme](delivery, checking, now_s)


def _check_any(given: Sequence[bytes], expected: Sequence[bytes], what: str) -> None:
    # All are compared, so that the time tells neither which secret it is nor how many are left to try.
    found = [hmac.compare_digest(one, other) for one in given for other in expected]
    if not any(found):
        raise NotShown(f"{what} is wrong" if given and any(given) else f"no {what}")


def _check_time(text: str, now_s: float, window_s: float) -> None:
    if not _digits.fullmatch(text):
        raise NotShown("no time in it")
    if abs(now_s - int(text)) > window_s:
        raise NotShown(f"its time is {now_s - int(text):+.0f} s away from ours")


def _told(delivery: Delivery, header: str) -> str:
    found = delivery.headers.get(header, "")
    return found if _told_id.fullmatch(found) else ""


def _of_body(delivery: Delivery) -> bytes:
    return hashlib.sha256(delivery.body).digest()


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text) if text.isascii() and text.isalnum() else b""
    except ValueError:
        return b""
