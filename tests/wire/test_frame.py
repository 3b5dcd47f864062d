"""Messages cut out of a stream."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.core.batch import CUT_BYTES_MAX
from sylvite.errors import FrameTooBig, RemoteProtocolError
from sylvite.wire.frame import FRAME_BYTES_MAX, HEADER, FrameDecoder, encode_frame

FRAMES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8)


@given(frames=FRAMES, cut=st.integers(1, 50))
@settings(deadline=None, max_examples=150)
def test_frames_survive_any_cut(frames: list[tuple[int, bytes]], cut: int) -> None:
    """However the kernel slices the stream, the same frames come out, each as soon as it is whole."""
    stream = b"".join(encode_frame(kind, body) for kind, body in frames)
    ends: list[int] = []
    for _, body in frames:
        ends.append((ends[-1] if ends else 0) + HEADER.size + len(body))
    decoder = FrameDecoder()
    found: list[tuple[int, bytes]] = []
    for start in range(0, len(stream), cut):
        decoder.feed(stream[start : start + cut])
        found.extend(decoder.frames())
        assert len(found) == sum(end <= start + cut for end in ends)
    assert found == frames


@given(frames=FRAMES, taken=st.integers(0, 8))
@settings(deadline=None, max_examples=100)
def test_what_was_not_taken_is_still_there(frames: list[tuple[int, bytes]], taken: int) -> None:
    """Whoever stops in the middle finds the next frame at the next call."""
    decoder = FrameDecoder()
    decoder.feed(b"".join(encode_frame(kind, body) for kind, body in frames))
    first = list(itertools.islice(decoder.frames(), taken))
    assert first == frames[:taken]
    assert first + list(decoder.frames()) == frames


def test_a_frame_is_laid_out_as_the_specification_says() -> None:
    assert encode_frame(7, b"ab") == b"\x03\0\0\0\x07ab"
    assert encode_frame(255, b"") == b"\x01\0\0\0\xff"


@pytest.mark.parametrize("limit", [1, 4096, FRAME_BYTES_MAX])
def test_the_size_has_a_limit(limit: int) -> None:
    """Type and body together: at the limit it passes, a byte above it is refused on the header alone."""
    decoder = FrameDecoder(limit)
    decoder.feed(encode_frame(1, b"x" * (limit - 1)))
    ((kind, body),) = decoder.frames()
    assert (kind, len(body)) == (1, limit - 1)
    decoder.feed(struct.pack("<I", limit + 1))
    with pytest.raises(FrameTooBig) as caught:
        next(decoder.frames())
    assert (caught.value.size, caught.value.limit) == (limit + 1, limit)


def test_a_stream_that_lost_its_place_stays_lost() -> None:
    """What came whole before is not lost with it."""
    decoder = FrameDecoder()
    decoder.feed(encode_frame(1, b"a") + b"\xff\xff\xff\xff" + encode_frame(2, b"b"))
    reading = decoder.frames()
    assert next(reading) == (1, b"a")
    with pytest.raises(FrameTooBig):
        next(reading)
    decoder.feed(encode_frame(3, b"c"))
    with pytest.raises(FrameTooBig):
        next(decoder.frames())


def test_a_frame_has_a_type() -> None:
    decoder = FrameDecoder()
    decoder.feed(b"\0\0\0\0")
    with pytest.raises(RemoteProtocolError, match="no bytes"):
        next(decoder.frames())


def test_the_largest_delivery_fits() -> None:
    """A batch cut for one reader, with the number of its subscription before it."""
    assert 1 + 4 + CUT_BYTES_MAX <= FRAME_BYTES_MAX


@given(st.lists(st.binary(max_size=30), max_size=6))
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_frames_or_are_refused(pieces: list[bytes]) -> None:
    decoder = FrameDecoder(64)
    try:
        for piece in pieces:
            decoder.feed(piece)
            assert all(len(body) < 64 for _, body in decoder.frames())
    except RemoteProtocolError:
        pass  # The one error that is promised.
