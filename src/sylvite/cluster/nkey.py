"""Nkeys: the Ed25519 keys of NATS, as text.  Spec: nats-io/nkeys.

    seed     base32(bytes  seed | kind >> 5,  (kind & 31) << 3,  32 bytes,  CRC-16 little-endian)
    public   base32(bytes  kind,  32 bytes,  CRC-16 little-endian)

Ours are those of users: seeds begin with `SU`, public keys with `U`.
"""

from __future__ import annotations

import base64
import binascii
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SEED, _USER = 18 << 3, 20 << 3
_SEED_BYTES = 36


class Nkey:
    """The key of a user.  Nothing shows its seed but `seed`."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._key = Ed25519PrivateKey.from_private_bytes(raw)

    @classmethod
    def make(cls) -> Nkey:
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_seed(cls, seed: str) -> Nkey:
        """Raises ValueError: it is no seed of a user; the message holds nothing of it."""
        try:
            raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
        except binascii.Error:
            raise ValueError("it is no seed of an nkey") from None
        if len(raw) != _SEED_BYTES or struct.unpack("<H", raw[-2:])[0] != binascii.crc_hqx(raw[:-2], 0):
            raise ValueError("it is no seed of an nkey, or not all of it")
        if raw[:2] != _head_of_seed():
            raise ValueError("it is an nkey, but not the seed of a user (SU...)")
        return cls(raw[2:-2])

    @property
    def seed(self) -> str:
        return _text(_head_of_seed() + self._raw)

    @property
    def public(self) -> str:
        return _text(bytes([_USER]) + self._key.public_key().public_bytes_raw())

    def sign(self, nonce: str) -> bytes:
        """Return the signature of what a server asks with, as it is sent."""
        return base64.b64encode(self._key.sign(nonce.encode()))


def _head_of_seed() -> bytes:
    return bytes([_SEED | _USER >> 5, (_USER & 31) << 3])


def _text(body: bytes) -> str:
    return base64.b32encode(body + struct.pack("<H", binascii.crc_hqx(body, 0))).decode().rstrip("=")
