"""TLS without a socket."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.auth.keys import make_pair
from sylvite.link.tls import master_context, minion_context, shown_by
from sylvite.link.tls_pipe import TlsPipe

PAIR = make_pair()
MASTER, MINION = master_context(PAIR), minion_context()


def joined() -> tuple[TlsPipe, TlsPipe]:
    master, minion = TlsPipe(MASTER, server_side=True), TlsPipe(MINION, server_side=False)
    up = minion.start()
    while up:
        down = master.feed(up)[1]
        up = minion.feed(down)[1] if down else b""
    assert master.stands
    assert minion.stands
    return master, minion


def test_a_minion_sees_the_masters_key() -> None:
    _, minion = joined()
    assert shown_by(minion.peer) == PAIR.fingerprint


@given(sizes=st.lists(st.integers(1, 70_000), max_size=4), cut=st.integers(1, 40_000))
def test_bytes_pass_whole_however_they_are_cut(sizes: list[int], cut: int) -> None:
    master, minion = joined()
    parts = [bytes([number]) * size for number, size in enumerate(sizes)]
    wire = b"".join(minion.wrap(parts))
    found: list[bytes] = []
    for start in range(0, len(wire), cut):
        found += master.feed(wire[start : start + cut])[0]
    assert b"".join(found) == b"".join(parts)


def test_an_end_in_order_is_seen() -> None:
    master, minion = joined()
    rest = b"".join(minion.wrap([b"last"])) + minion.end()
    assert master.feed(rest)[0] == [b"last"]
    assert master.ended


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(70_000), bytes(100)])
def test_what_is_no_tls_is_an_error_and_no_more(garbage: bytes) -> None:
    pipe = TlsPipe(MASTER, server_side=True)
    with pytest.raises(ssl.SSLError):
        pipe.feed(garbage)
    assert not pipe.stands
    pipe.end()


def test_nothing_older_than_tls_1_3_is_spoken() -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    client, master = TlsPipe(old, server_side=False), TlsPipe(MASTER, server_side=True)
    with pytest.raises(ssl.SSLError):
        master.feed(client.start())
