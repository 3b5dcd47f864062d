"""Certificates for servers of HTTP, signed by themselves: for sites that have no authority of their own.

Minions need none: they know the key of their master (auth/keys.py).  Browsers and programs that speak HTTP want names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sylvite.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

DAYS_MAX = 825
"""Browsers take none that is valid for longer."""
NAMES_MAX = 64
EARLIER = timedelta(hours=1)
"""From when on it is valid: clocks differ."""
_name = re.compile(
    r"(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


class Made(NamedTuple):
    """PEM both, and the SHA-256 of the certificate, as browsers show it."""

    key: bytes
    certificate: bytes
    fingerprint: str


def make_certificate(names: Sequence[str], days: int, now: datetime) -> Made:
    """Make a key and a certificate for names and addresses.

    Raises:
        InvalidInput: no names, too many, one that is none, or more days than browsers take.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if not 0 < len(names) <= NAMES_MAX:
        raise InvalidInput(f"a certificate is for 1 to {NAMES_MAX} names and addresses, not {len(names)}")
    if not 0 < days <= DAYS_MAX:
        raise InvalidInput(f"a certificate is valid for 1 to {DAYS_MAX} days, not {days}")
    key = ec.generate_private_key(ec.SECP256R1())  # Browsers take no Ed25519.
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in dict.fromkeys(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Made(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.PEM),
        certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def _general(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass  # A name, then.
    if len(name) > 253 or not _name.fullmatch(name):
        raise InvalidInput(f"{name[:80]!r} is no name of a machine, and no address")
    return x509.DNSName(name)
