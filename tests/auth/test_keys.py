"""Keys: pairs, fingerprints, certificates, signatures."""

from __future__ import annotations

import base64
import hashlib
import pickle
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509 import load_der_x509_certificate
from hypothesis import given
from hypothesis import strategies as st

from sylvite.auth import keys
from sylvite.auth.keys import (
    BadSignature,
    InvalidKey,
    KeyPair,
    PublicKey,
    make_pair,
    parse_fingerprint,
    read_certificate,
    read_pair,
    read_pem,
    read_spki,
)

SEED = bytes(range(32))
PAIR = KeyPair(Ed25519PrivateKey.from_private_bytes(SEED))
FIELD = 2**255 - 19


def test_a_key_is_written_as_everybody_writes_it() -> None:
    """PEM, SubjectPublicKeyInfo and fingerprint are those that the library, and so openssl, would give."""
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert PAIR.public.spki == der
    assert PAIR.public.pem == public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().rstrip("\n")
    assert PAIR.fingerprint.replace(":", "") == hashlib.sha256(der).hexdigest()
    assert len(PAIR.fingerprint.split(":")) == 32
    for text in (PAIR.public.pem, f"{PAIR.public.pem}\n", f"\n{PAIR.public.pem}\r\n".replace("\n", "\r\n")):
        assert read_pem(text) == PAIR.public


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", PAIR.public.pem[:-1], PAIR.public.pem[1:],
        PAIR.public.pem.replace("MCow", "MCox"), PAIR.public.pem.replace("MCow", "MC*w"), "x" * 2000,
        PAIR.public.pem + PAIR.public.pem, PAIR.public.pem.replace("PUBLIC", "PRIVATE"), PAIR.public.pem.replace("MCow", "ä"),
        f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(PAIR.public.spki + b'x').decode()}\n-----END PUBLIC KEY-----",
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidKey):
        read_pem(text)


@given(st.binary(max_size=100))
def test_bytes_are_a_key_or_refused(content: bytes) -> None:
    """And nothing else happens."""
    for read in (read_spki, PublicKey, read_certificate, read_pair):
        with pytest.raises(InvalidKey):
            read(content if read is not PublicKey else content + b"x" * 33)


def test_keys_of_other_algorithms_are_named() -> None:
    for other in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())):
        pem = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        with pytest.raises(InvalidKey, match="not a public key of Ed25519"):
            read_pem(pem)
        with pytest.raises(InvalidKey, match="not of Ed25519"):
            read_pair(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _double(x: int, y: int) -> tuple[int, int]:
    d = -121665 * pow(121666, -1, FIELD)
    k = d * x * x * y * y
    return 2 * x * y * pow(1 + k, -1, FIELD) % FIELD, (y * y + x * x) * pow(1 - k, -1, FIELD) % FIELD


def _x_of(y: int) -> int:
    d = -121665 * pow(121666, -1, FIELD)
    square = (y * y - 1) * pow(d * y * y + 1, -1, FIELD) % FIELD
    root = pow(square, (FIELD + 3) // 8, FIELD)
    return root if (root * root - square) % FIELD == 0 else root * pow(2, (FIELD - 1) // 4, FIELD) % FIELD


@pytest.mark.parametrize("y", sorted(vars(keys)["_SMALL_ORDER"]))
@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_points_of_small_order_are_no_keys(y: int, sign: int) -> None:
    """Doubled three times, each is the neutral point; and written above the field, each is refused as well."""
    point = (_x_of(y), y)
    for _ in range(3):
        point = _double(*point)
    assert point == (0, 1)
    for written in (y, y + FIELD):
        if written < 1 << 255:
            with pytest.raises(InvalidKey, match="proves nothing"):
                PublicKey((written | sign).to_bytes(32, "little"))


def test_signatures() -> None:
    signature = PAIR.sign(b"message")
    assert len(signature) == keys.SIGNATURE_BYTES
    PAIR.public.verify(signature, b"message")
    for wrong, message in (
        (signature, b"massage"), (signature[:-1], b"message"), (b"", b"message"), (bytes(64), b"message"),
        (signature[:10] + bytes([signature[10] ^ 1]) + signature[11:], b"message"), (make_pair().sign(b"message"), b"message"),
    ):  # fmt: skip
        with pytest.raises(BadSignature):
            PAIR.public.verify(wrong, message)


def test_the_certificate_names_its_key_and_is_valid_for_ever() -> None:
    first, again = PAIR.certificate(), PAIR.certificate()
    assert first == again
    certificate = load_der_x509_certificate(first)
    assert certificate.subject.rfc4514_string() == f"CN={PAIR.fingerprint.replace(':', '')}"
    assert certificate.issuer == certificate.subject
    assert certificate.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert certificate.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    certificate.verify_directly_issued_by(certificate)
    assert read_certificate(first) == PAIR.public


def test_a_certificate_counts_for_its_key_alone() -> None:
    with pytest.raises(InvalidKey, match="at most"):
        read_certificate(PAIR.certificate() + bytes(5000))
    with pytest.raises(InvalidKey, match="cannot be read"):
        read_certificate(PAIR.certificate()[:-1])


def test_a_pair_comes_back_as_it_was_written() -> None:
    content = PAIR.pem()
    pair = read_pair(content)
    assert pair.public == PAIR.public
    assert pair.pem() == content
    for damaged in (
        content[:-1],
        content.replace(b"BEGIN CERT", b"BEGIN CXRT"),
        make_pair().pem()[:119] + content[119:],
    ):
        with pytest.raises(InvalidKey):
            read_pair(damaged)


def test_a_private_key_does_not_show_itself() -> None:
    """Not in messages, nor in what is handed to other programs."""
    shown = f"{PAIR} {PAIR!r} {PAIR.public!r}"
    assert repr(PAIR) == f"KeyPair({PAIR.fingerprint})"
    assert base64.b64encode(SEED).decode() not in shown
    with pytest.raises(TypeError):
        pickle.dumps(PAIR)


def test_fingerprints_are_taken_in_the_ways_they_are_written() -> None:
    digits = PAIR.fingerprint.replace(":", "")
    for text in (PAIR.fingerprint, PAIR.fingerprint.upper(), digits, digits.upper(), f" {PAIR.fingerprint}\n"):
        assert parse_fingerprint(text) == PAIR.fingerprint


@pytest.mark.parametrize(
    "text", ["", "2f", "x" * 64, "0" * 63, "0" * 65, ":".join(["00"] * 31), ":".join(["00"] * 33), "0" * 100_000,
             ":".join(["00"] * 31) + "00", "٠" * 64, "0:" * 32]
)  # fmt: skip
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(InvalidKey, match="not a fingerprint"):
        parse_fingerprint(text)


def _context(purpose: ssl.Purpose, ours: Path, theirs: bytes) -> ssl.SSLContext:
    server = purpose is ssl.Purpose.CLIENT_AUTH
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_cert_chain(ours)
    context.load_verify_locations(cadata=theirs)
    return context


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (server.wrap_bio(up, down, server_side=True), client.wrap_bio(down, up))
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
    assert len(done) == 2
    return ends


def test_pairs_speak_tls_1_3_and_each_side_sees_the_key_of_the_other(tmp_path: Path) -> None:
    """With the standard library alone, from the one file that a pair is kept in."""
    master, minion, other = make_pair(), make_pair(), make_pair()
    for name, pair in (("master", master), ("minion", minion), ("other", other)):
        (tmp_path / name).write_bytes(pair.pem())
    server = _context(ssl.Purpose.CLIENT_AUTH, tmp_path / "master", minion.certificate())
    client = _context(ssl.Purpose.SERVER_AUTH, tmp_path / "minion", master.certificate())
    at_server, at_client = _shake_hands(server, client)
    assert at_server.version() == "TLSv1.3"
    assert read_certificate(at_server.getpeercert(binary_form=True) or b"") == minion.public
    assert read_certificate(at_client.getpeercert(binary_form=True) or b"") == master.public
    with pytest.raises(ssl.SSLError):
        _shake_hands(server, _context(ssl.Purpose.SERVER_AUTH, tmp_path / "other", master.certificate()))
    with pytest.raises(ssl.SSLError):
        _shake_hands(server, _context(ssl.Purpose.SERVER_AUTH, tmp_path / "minion", other.certificate()))
