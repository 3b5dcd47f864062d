"""Keys: the Ed25519 pair of a minion or a master, its fingerprint, its certificate, its signatures.

A public key travels as its SubjectPublicKeyInfo, which for Ed25519 is twelve bytes that are always the same, and the
key.  So it is read by comparing: there is no parser, and `cryptography` is loaded only where something is signed,
verified or made.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NewType

from sylvite.errors import InvalidInput, SylviteError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Fingerprint = NewType("Fingerprint", str)
"""SHA-256 of the SubjectPublicKeyInfo: 32 pairs of hexadecimal digits, in small letters, with colons between."""

KEY_BYTES = 32
SIGNATURE_BYTES = 64
TEXT_CHARACTERS_MAX = 1024
"""Of a public key as PEM, which has 113."""
CERTIFICATE_BYTES_MAX = 4096
"""Of one that is taken from a peer; ours have some 300."""

_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")
_PEM_HEAD, _PEM_END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
_FIELD = 2**255 - 19
_SMALL_ORDER = frozenset((
    0,
    1,
    _FIELD - 1,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
))  # fmt: skip
"""The y of each point whose order divides 8: under such a key a signature can be made that fits many messages."""
_FIRST_DAY, _LAST_DAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_pairs = re.compile("[0-9a-f]{2}(:?)(?:[0-9a-f]{2}\\1){30}[0-9a-f]{2}")


class InvalidKey(InvalidInput):
    """What was given is no public key of Ed25519, or no fingerprint."""

    code = "invalid_key"


class BadSignature(SylviteError):
    """Not signed with this key, or something else was signed."""

    code = "bad_signature"


def parse_fingerprint(text: str) -> Fingerprint:
    """Return a fingerprint as we write it; capital letters, and no colons, are taken too.

    Raises:
        InvalidKey: it is none.
    """
    found = text.strip().lower()
    if len(found) > 95 or _pairs.fullmatch(found) is None:
        raise InvalidKey(f"{text[:100]!r} is not a fingerprint; it has 32 pairs of hexadecimal digits, as 2f:0a:…")
    digits = found.replace(":", "")
    return Fingerprint(":".join(digits[at : at + 2] for at in range(0, 64, 2)))


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`raw`: the 32 bytes.

    Raises:
        InvalidKey: from the constructor: of another length, not written in the one way, or of a point that proves nothing.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise InvalidKey(f"a public key of Ed25519 has {KEY_BYTES} bytes, not {len(self.raw)}")
        y = int.from_bytes(self.raw, "little") & ((1 << 255) - 1)
        if y >= _FIELD or y in _SMALL_ORDER:
            raise InvalidKey("this key proves nothing: anybody could sign for it")

    @property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo, as DER."""
        return _SPKI_PREFIX + self.raw

    @property
    def fingerprint(self) -> Fingerprint:
        return _fingerprint(self.spki)

    @property
    def pem(self) -> str:
        """As PEM, without an end of line behind it, as Salt's events have it."""
        return f"{_PEM_HEAD}\n{base64.b64encode(self.spki).decode()}\n{_PEM_END}"

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return where the message was signed with this key.

        Raises:
            BadSignature
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise BadSignature(f"the signature is not of the key {_fingerprint(self.spki)}") from error


def _fingerprint(spki: bytes) -> Fingerprint:
    return Fingerprint(hashlib.sha256(spki).digest().hex(":"))


def read_spki(spki: bytes) -> PublicKey:
    """Return the key in a SubjectPublicKeyInfo.

    Raises:
        InvalidKey: it is of another algorithm, or damaged.
    """
    if not spki.startswith(_SPKI_PREFIX):
        raise InvalidKey("it is not a public key of Ed25519; `sylvite keys gen` makes a pair")
    return PublicKey(spki[len(_SPKI_PREFIX) :])


def read_pem(text: str) -> PublicKey:
    """Return the key in PEM text.

    Raises:
        InvalidKey: it is no PEM, of another algorithm, or something stands beside it.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidKey(f"a public key has at most {TEXT_CHARACTERS_MAX} characters, not {len(text)}")
    lines = text.strip().splitlines()
    if len(lines) < 3 or (lines[0].strip(), lines[-1].strip()) != (_PEM_HEAD, _PEM_END):
        raise InvalidKey(f"it is not a public key: it has to begin with {_PEM_HEAD!r} and to end with {_PEM_END!r}")
    try:
        return read_spki(base64.b64decode("".join(line.strip() for line in lines[1:-1]), validate=True))
    except (binascii.Error, ValueError) as error:
        if isinstance(error, InvalidKey):
            raise
        raise InvalidKey(f"it is not a public key: {error}") from error


def read_certificate(certificate: bytes) -> PublicKey:
    """Return the key in a certificate (DER), as TLS gives it.  Nothing else in it is looked at.

    Raises:
        InvalidKey: it cannot be read, or the key is of another algorithm.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_der_x509_certificate

    if len(certificate) > CERTIFICATE_BYTES_MAX:
        raise InvalidKey(f"a certificate has at most {CERTIFICATE_BYTES_MAX} bytes, not {len(certificate)}")
    try:
        key = load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidKey(f"the certificate cannot be read: {error}") from error
    return read_spki(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


class KeyPair:
    """A private key and its public one.  It shows itself by its fingerprint alone."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"KeyPair({self.public.fingerprint})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a private key is not copied into other programs")

    @property
    def fingerprint(self) -> Fingerprint:
        return self.public.fingerprint

    def sign(self, message: bytes) -> bytes:
        """Return a signature of 64 bytes.  `message` has to begin with what it is for: see auth/enrolment.py."""
        return self._private.sign(message)

    def certificate(self) -> bytes:
        """Return the self-signed certificate for TLS 1.3, as DER: for one key always the same bytes.

        Its subject is the fingerprint, without colons, which would not have room; it is valid from 1970 to 9999, so
        that no clock keeps anybody out.  Who is let in is decided by the key alone.
        """
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.x509 import CertificateBuilder, Name, NameAttribute
        from cryptography.x509.oid import NameOID

        digest = hashlib.sha256(self.public.spki)
        name = Name([NameAttribute(NameOID.COMMON_NAME, digest.hexdigest())])
        builder = (
            CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._private.public_key())
            .serial_number(int.from_bytes(b"\1" + digest.digest()[:15], "big"))
            .not_valid_before(_FIRST_DAY)
            .not_valid_after(_LAST_DAY)
        )
        return builder.sign(self._private, None).public_bytes(Encoding.DER)

    def pem(self) -> bytes:
        """Return private key and certificate, as `ssl.SSLContext.load_cert_chain` takes them from one file."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        private = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        encoded = base64.encodebytes(self.certificate()).replace(b"\n", b"")
        lines = b"\n".join(encoded[at : at + 64] for at in range(0, len(encoded), 64))
        return private + b"-----BEGIN CERTIFICATE-----\n" + lines + b"\n-----END CERTIFICATE-----\n"


def make_pair() -> KeyPair:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return KeyPair(Ed25519PrivateKey.generate())


def read_pair(pem: bytes) -> KeyPair:
    """Return the pair that `KeyPair.pem` wrote.

    Raises:
        InvalidKey: it is something else, or damaged.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKey("it holds no private key that can be read") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise InvalidKey("the private key in it is not of Ed25519")
    pair = KeyPair(private)
    if pair.pem() != pem:
        # Key and certificate would not belong together: TLS would then fail, and nobody would see why.
        raise InvalidKey("it is not as it was written: key and certificate do not belong together")
    return pair
