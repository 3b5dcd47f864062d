"""Enrolment: what a minion shows to be let in, what it makes sure of itself, and how either side gets another key.

Values and decisions; no I/O, and the time is an argument.  Whatever is signed begins with what it is for, and each part
has its length before it: so no signature fits anything else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeVar

import msgspec

from sylvite.auth.keyring_values import MinionId, check_id
from sylvite.auth.keys import BadSignature, Fingerprint, InvalidKey, KeyPair, PublicKey, parse_fingerprint
from sylvite.errors import InvalidInput, SylviteError

NONCE_BYTES = 32
SECRET_BYTES = 32
REQUEST_BYTES_MAX = 4096
TOKEN_S_MAX = 24 * 3600
TOKEN_CHARACTERS_MAX = 256
LINEAGE_MAX = 32
CLOCK_SLACK_NS = 300 * 1_000_000_000
"""How far the clock of a master may go back without making a token that it has made look like one of the future."""

_ENROL = b"sylvite enrolment 1"
_SUCCEED = b"sylvite successor of a minion 1"
_ANNOUNCE = b"sylvite successor of a master 1"
_TOKEN = b"sylvite token 1"
_TOKEN_PREFIX = "syt1_"


class BadEnrolment(SylviteError):
    """A request that shows nothing: unreadable, or signed for another master, nonce, id or key."""

    code = "bad_enrolment"


class BadToken(SylviteError):
    """A token that lets nobody in."""

    code = "bad_token"


class WrongMaster(SylviteError):
    """The master has a key that is not pinned.  Nothing was told to it."""

    code = "wrong_master"

    def __init__(self, found: Fingerprint, reason: str) -> None:
        super().__init__(f"the master has the key {found}, {reason}")
        self.found, self.reason = found, reason


def _message(context: bytes, *parts: bytes) -> bytes:
    return context + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


# -- Tokens ----------------------------------------------------------------------------------------------------------


class Token:
    """A secret that lets one minion in, once, and the fingerprint of the master that it is for.

    It shows itself as `***`; `reveal` gives the text for the minion.
    """

    __slots__ = ("_secret", "master")

    def __init__(self, secret: bytes, master: Fingerprint) -> None:
        """Raises BadToken: the secret has another length."""
        if len(secret) != SECRET_BYTES:
            raise BadToken(f"the secret of a token has {SECRET_BYTES} bytes, not {len(secret)}")
        self._secret, self.master = secret, master

    @classmethod
    def new(cls, master: Fingerprint) -> Token:
        return cls(secrets.token_bytes(SECRET_BYTES), master)

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a token is not copied into other programs")

    def mac(self, id_: str) -> bytes:
        """Return what the master keeps: it fits this secret and this id, and gives neither away."""
        return hmac.digest(self._secret, _message(_TOKEN, id_.encode()), "sha256")

    def secret(self) -> bytes:
        """Return what a minion sends, to the master that `master` names and to no other."""
        return self._secret

    def reveal(self) -> str:
        """Return the text that a minion is given."""
        content = self._secret + bytes.fromhex(self.master.replace(":", ""))
        check = hashlib.sha256(content).digest()[:4]
        return _TOKEN_PREFIX + base64.urlsafe_b64encode(content + check).decode().rstrip("=")


def parse_token(text: str) -> Token:
    """Return the token in a text.

    Raises:
        BadToken: it is none, or was not copied whole.  The message does not repeat it.
    """
    text = text.strip()
    if not text.startswith(_TOKEN_PREFIX) or len(text) > TOKEN_CHARACTERS_MAX:
        raise BadToken(f"this is not a token; it begins with {_TOKEN_PREFIX}, and `sylvite keys token` makes one")
    body = text.removeprefix(_TOKEN_PREFIX)
    try:
        content = base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if len(content) != SECRET_BYTES + 36 or hashlib.sha256(content[:-4]).digest()[:4] != content[-4:]:
        raise BadToken("this token was not copied whole: a part of it is missing, or another one")
    return Token(content[:SECRET_BYTES], Fingerprint(content[SECRET_BYTES:-4].hex(":")))


def token_until_ns(now_ns: int, valid_s: float) -> int:
    """Return until when a token that is made now counts.

    Raises:
        InvalidInput: for longer than a token may be valid, or not at all.
    """
    if not 1 <= valid_s <= TOKEN_S_MAX:
        raise InvalidInput(f"a token is valid for at most {TOKEN_S_MAX // 3600} hours, and at least a second")
    return now_ns + int(valid_s * 1_000_000_000)


def token_fits(token: Token, id_: str, *, mac: bytes, made_ns: int, until_ns: int, now_ns: int) -> bool:
    """Say whether this is the token that was made for this id, and still counts.

    A clock that went back behind its making does not bring it to life again: what it says of its age is not known.
    """
    return hmac.compare_digest(token.mac(id_), mac) and made_ns - CLOCK_SLACK_NS <= now_ns < until_ns


# -- Asking ----------------------------------------------------------------------------------------------------------


class Request(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a minion sends to be let in; `token` is the secret of one.  It shows neither secret nor signature."""

    id: str
    public: bytes
    signature: bytes
    token: bytes | None = None

    def __repr__(self) -> str:
        return f"Request(id={self.id[:80]!r}, token={'***' if self.token else None})"


class Asking(msgspec.Struct, frozen=True):
    """A request that was checked: the minion has the private key, and meant this master, now."""

    id: MinionId
    public: PublicKey
    token: Token | None


S = TypeVar("S", "Request", "Succession")


def make_request(pair: KeyPair, id_: str, master: Fingerprint, nonce: bytes, token: Token | None = None) -> Request:
    """Return the request of a minion.  `master`: of the key that was seen in TLS; `nonce`: what the master sent.

    Raises:
        InvalidMinionId
        WrongMaster: the token is for another master.
    """
    id_ = check_id(id_)
    if token is not None and token.master != master:
        raise WrongMaster(master, f"and the token is for the one with {token.master}")
    secret = None if token is None else token.secret()
    signature = pair.sign(_request_message(master, nonce, id_, pair.public.raw, secret))
    return Request(id_, pair.public.raw, signature, secret)


def check_request(request: Request, master: Fingerprint, nonce: bytes) -> Asking:
    """Return what a request shows.  `master`, `nonce`: our own key, and what we have sent on this connection.

    Raises:
        InvalidMinionId
        BadEnrolment: it is signed for another master, nonce, id, key or token.
    """
    id_ = check_id(request.id)
    try:
        public = PublicKey(request.public)
        public.verify(request.signature, _request_message(master, nonce, id_, request.public, request.token))
        token = None if request.token is None else Token(request.token, master)
    except (InvalidKey, BadSignature, BadToken) as error:
        raise BadEnrolment(f"the request of {id_} is not valid: {error}") from error
    return Asking(id_, public, token)


def _request_message(master: Fingerprint, nonce: bytes, id_: str, public: bytes, secret: bytes | None) -> bytes:
    _check_nonce(nonce)
    # A hash, so that nobody who sees the message sees the secret.
    shown = b"" if secret is None else hashlib.sha256(secret).digest()
    return _message(_ENROL, master.encode(), nonce, id_.encode(), public, shown)


def _check_nonce(nonce: bytes) -> None:
    if len(nonce) != NONCE_BYTES:
        raise BadEnrolment(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")


def encode(value: Request | Succession) -> bytes:
    return msgspec.msgpack.encode(value)


def decode(content: bytes, kind: type[S]) -> S:
    """Return the Request or Succession in bytes.  Raises BadEnrolment: they are not exactly one."""
    if len(content) > REQUEST_BYTES_MAX:
        raise BadEnrolment(f"it has {len(content)} bytes; the limit is {REQUEST_BYTES_MAX}")
    try:
        return msgspec.msgpack.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadEnrolment("it cannot be read") from error


# -- Another key of a minion -----------------------------------------------------------------------------------------


def sign_successor(successor: KeyPair, id_: str, current: PublicKey, master: Fingerprint, nonce: bytes) -> bytes:
    """Return what shows that a minion has the key that it wants to use next; it is sent in a session of the current one."""
    return successor.sign(_successor_message(successor.public, id_, current, master, nonce))


def check_successor(
    successor: PublicKey, signature: bytes, id_: str, current: PublicKey, master: Fingerprint, nonce: bytes
) -> None:
    """Raises BadEnrolment: it does not show that."""
    try:
        successor.verify(signature, _successor_message(successor, id_, current, master, nonce))
    except BadSignature as error:
        raise BadEnrolment(f"the next key of {id_} was not shown: {error}") from error


def _successor_message(successor: PublicKey, id_: str, current: PublicKey, master: Fingerprint, nonce: bytes) -> bytes:
    _check_nonce(nonce)
    return _message(_SUCCEED, master.encode(), nonce, id_.encode(), current.raw, successor.raw)


# -- The key of the master -------------------------------------------------------------------------------------------


class Trust(Enum):
    PINNED = "pinned"
    FIRST = "first"
    """Nothing was pinned, and the first master was to be trusted: pin it now, and say so in an event."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A master's key that is trusted.

    `follows`: the one that it will replace once it was used; `until_ns`: None for ever; `lineage`: the keys that have led
    to it, the latest first.
    """

    fingerprint: Fingerprint
    follows: Fingerprint | None = None
    overlap_s: float = 0.0
    until_ns: int | None = None
    lineage: tuple[Fingerprint, ...] = ()


@dataclass(frozen=True, slots=True)
class Pins:
    """Which masters a minion trusts.

    `recovery`: keys that may name a master's successor and are no master's own.  `trust_first`: where nothing is pinned
    yet, trust who comes first.
    """

    pins: tuple[Pin, ...] = ()
    recovery: frozenset[Fingerprint] = field(default_factory=frozenset[Fingerprint])
    trust_first: bool = False


def read_pins(texts: Iterable[str], *, recovery: Iterable[str] = (), trust_first: bool = False) -> Pins:
    """Return pins from a configuration: `master_finger`, one or several.  Raises InvalidKey."""
    pins = tuple(Pin(parse_fingerprint(text)) for text in texts)
    return Pins(pins, frozenset(parse_fingerprint(text) for text in recovery), trust_first)


def judge_master(found: Fingerprint, pins: Pins, now_ns: int) -> Trust:
    """Say why a master is trusted, from the key that it has shown in TLS.

    Raises:
        WrongMaster: it is not.
    """
    if not pins.pins:
        if pins.trust_first:
            return Trust.FIRST
        raise WrongMaster(
            found, "and none is pinned; compare it with what `sylvite keys finger` says on the master, and set master_finger"
        )  # fmt: skip
    for pin in pins.pins:
        if pin.fingerprint == found:
            if pin.until_ns is None or now_ns < pin.until_ns:
                return Trust.PINNED
            raise WrongMaster(found, "which has a successor, and is not trusted any more")
    raise WrongMaster(found, f"and not {' or '.join(pin.fingerprint for pin in pins.pins)}, which is pinned")


def pins_after_session(pins: Pins, found: Fingerprint, trust: Trust, now_ns: int) -> Pins:
    """Return what to keep once a session stands: the first master is pinned; who was followed has its last hours.

    The overlap begins with the successor's first use and not at a date, so that a wrong clock locks nobody out.
    """
    if trust is Trust.FIRST:
        return replace(pins, pins=(Pin(found),))
    kept = [pin for pin in pins.pins if pin.until_ns is None or now_ns < pin.until_ns]
    used = next(pin for pin in kept if pin.fingerprint == found)
    changed = {found: replace(used, follows=None)}
    for pin in kept:
        if pin.fingerprint == used.follows:
            changed[pin.fingerprint] = replace(pin, until_ns=now_ns + int(used.overlap_s * 1_000_000_000))
    return replace(pins, pins=tuple(changed.get(pin.fingerprint, pin) for pin in kept))


class Succession(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A master's word that another key follows its own.  `not_before_ns`: when the master means to use it."""

    former: str
    successor: bytes
    not_before_ns: int
    overlap_s: float
    signer: bytes
    signature: bytes


def announce_successor(
    signer: KeyPair, former: Fingerprint, successor: PublicKey, not_before_ns: int, overlap_s: float
) -> Succession:
    """Return the statement.  `signer`: the former key itself, or a recovery key."""
    message = _succession_message(former, successor.raw, not_before_ns, overlap_s)
    return Succession(former, successor.raw, not_before_ns, overlap_s, signer.public.raw, signer.sign(message))


def pins_after_succession(pins: Pins, statement: Succession, now_ns: int) -> Pins:
    """Return the pins with the successor among them; the same ones where they have it already.

    Signed by the former key, both are trusted until the successor was used.  Signed by a recovery key, the former one is
    not trusted any more, nor what has followed it: it was stolen.

    Raises:
        WrongMaster: the former key is not pinned, or the signer is neither that nor a recovery key.
        BadEnrolment: it was changed, or holds something that is no key.
    """
    try:
        former = parse_fingerprint(statement.former)
        signer, successor = PublicKey(statement.signer), PublicKey(statement.successor)
        message = _succession_message(former, successor.raw, statement.not_before_ns, statement.overlap_s)
        signer.verify(statement.signature, message)
    except (InvalidKey, BadSignature, OverflowError, ValueError) as error:
        raise BadEnrolment(f"the statement on the master's next key is not valid: {error}") from error
    if signer.fingerprint in pins.recovery:
        return _recover(pins, former, successor)
    if signer.fingerprint != former:
        raise WrongMaster(signer.fingerprint, f"and may not speak for {former}")
    followed = next((pin for pin in pins.pins if pin.fingerprint == former), None)
    if followed is None or (followed.until_ns is not None and now_ns >= followed.until_ns):
        raise WrongMaster(former, "which is not pinned, so that its successor is not trusted either")
    if any(pin.fingerprint == successor.fingerprint for pin in pins.pins):
        return pins
    lineage = (former, *followed.lineage)[:LINEAGE_MAX]
    new = Pin(successor.fingerprint, former, max(0.0, statement.overlap_s), lineage=lineage)
    return replace(pins, pins=(*pins.pins, new))


def _recover(pins: Pins, former: Fingerprint, successor: PublicKey) -> Pins:
    """Put the successor in the place of the former key, and of whatever that has led to: a thief may have named some."""
    lost = [pin for pin in pins.pins if former in (pin.fingerprint, *pin.lineage)]
    if not lost:
        raise WrongMaster(former, "which was never pinned, so that nothing takes its place")
    others = (pin for pin in pins.pins if pin not in lost and pin.fingerprint != successor.fingerprint)
    return replace(pins, pins=(*others, Pin(successor.fingerprint)))


def _succession_message(former: Fingerprint, successor: bytes, not_before_ns: int, overlap_s: float) -> bytes:
    overlap_ms = int(overlap_s * 1000)
    return _message(
        _ANNOUNCE, former.encode(), successor, not_before_ns.to_bytes(8, "big"), overlap_ms.to_bytes(8, "big")
    )
