"""Frames of Salt's sockets: cut anywhere, in every framing, against the bytes that were recorded."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.compat.frames import FRAME_BYTES_MAX, FrameDecoder, Framing, encode_frame, value_end
from sylvite.compat.packing import unpack_event
from sylvite.errors import FrameTooBig, RemoteProtocolError
from tests.compat.places import GOLDEN

PUB = (GOLDEN / "raw_master_event_pub.bin").read_bytes()
PULL = (GOLDEN / "raw_master_event_pull.bin").read_bytes()


def decode(raw: bytes, piece: int = 1 << 30) -> list[bytes]:
    decoder, found = FrameDecoder(), list[bytes]()
    for at in range(0, len(raw), piece):
        decoder.feed(raw[at : at + piece])
        found += decoder.events()
    return found


def test_recordings() -> None:
    """What real Salt has written is read, and written the same."""
    (published,) = decode(PUB)
    assert unpack_event(published)[1] == {"k": "v", "n": 1, "_stamp": "2026-11-23T22:48:28.107246+00:00"}
    assert encode_frame(published, "stream") == PUB
    pushed = decode(PULL)
    assert [unpack_event(packed)[1]["k"] for packed in pushed] == ["v", "w"]
    assert b"".join(encode_frame(packed, "length") for packed in pushed) == PULL


@given(
    bodies=st.lists(st.binary(max_size=70), max_size=5),
    framings=st.lists(st.sampled_from(("stream", "length")), min_size=5, max_size=5),
    piece=st.integers(1, 90),
)
def test_frames_survive_any_cut(bodies: list[bytes], framings: list[Framing], piece: int) -> None:
    raw = b"".join(encode_frame(body, framing) for body, framing in zip(bodies, framings, strict=False))
    assert decode(raw, piece) == bodies


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=30,
)


@given(head=VALUES, body=st.binary(max_size=300), piece=st.integers(1, 50), first=st.booleans())
def test_maps_of_any_order_and_content(head: object, body: bytes, piece: int, *, first: bool) -> None:
    """Other writers than Salt may order the map otherwise, and say more in it."""
    frame: dict[str, object] = (
        {"body": body, "head": head, "more": [1]} if first else {"head": head, "more": {}, "body": body}
    )
    raw = msgspec.msgpack.encode(frame)
    assert decode(raw + PUB, piece) == [body, decode(PUB)[0]]


@given(value=VALUES)
def test_where_a_value_ends(value: object) -> None:
    raw = msgspec.msgpack.encode(value)
    assert value_end(raw + b"\xc1", 0) == len(raw)
    assert all(value_end(raw[:size], 0) is None for size in range(len(raw)))


def test_bodies_that_are_text_and_large() -> None:
    """Older releases write no bytes, only text."""
    for size in (3, 40, 300, 70_000):
        assert decode(msgspec.msgpack.encode({"head": {}, "body": "x" * size}), 4096) == [b"x" * size]
        assert decode(encode_frame(b"y" * size, "length"), 4096) == [b"y" * size]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x00\x00\x00", b"\x00\x00\x00\x01\x80", b"\x00\x00\x00\x02\x80\x80", b"\x80", b"\x81\xa4head\x80", b"\xc1", b"\x93\x01\x02\x03",
        b"\x81\xa4body\x01", b"\xdf\x00\x00\x00\x01", b"\x00\x00\x00\x05\x82\xa4hea",
    ],
)  # fmt: skip
def test_what_is_no_frame(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(raw)


def test_a_frame_that_is_too_big_is_refused_on_its_size() -> None:
    with pytest.raises(FrameTooBig):
        decode((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    with pytest.raises(FrameTooBig):
        decode(b"\x82\xa4head\x80\xa4body\xc6\x7f\xff\xff\xff")
