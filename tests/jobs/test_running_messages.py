"""What a worker says arrives as it was said; what is none of its messages is refused, whatever it is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.errors import InvalidData
from sylvite.jobs import worker_messages as say
from sylvite.jobs.nursery_end import BadWorker
from sylvite.wire.frame import FrameDecoder

VALUE = msgspec.Raw(msgspec.msgpack.encode({"a": [1, "x", None]}))
MESSAGES: list[say.FromWorker] = [
    say.Progress(0, VALUE),
    say.Note(30, "bad", "a line"),
    say.Returned(VALUE, 0, True, say.NOTHING, None, []),
    say.Returned(VALUE, {"a": 1}, {"a": False}, VALUE, "nested", ["oh no"]),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_what_a_worker_says_arrives(message: say.FromWorker) -> None:
    decoder = FrameDecoder(1000)
    decoder.feed(say.frame(message))
    ((_, body),) = decoder.frames()
    assert say.decode_from_worker(body) == message


@given(garbage=st.binary(max_size=200), place=st.integers(0, 200), message=st.sampled_from(MESSAGES))
def test_whatever_a_function_writes_between_is_read_or_refused(
    garbage: bytes, place: int, message: say.FromWorker
) -> None:
    """A function may write to whatever descriptor it finds: that ends its job, and nothing else."""
    whole = say.frame(message)
    decoder = FrameDecoder(1000)
    decoder.feed(whole[:place] + garbage + whole[place:])
    try:
        for _, body in decoder.frames():
            say.decode_from_worker(body)
    except BadWorker:
        pass


@given(message=st.sampled_from(MESSAGES), place=st.integers(0, 60), byte=st.integers(0, 255))
def test_one_byte_changed_is_read_or_refused(message: say.FromWorker, place: int, byte: int) -> None:
    body = bytearray(say.frame(message)[5:])
    body[place % len(body)] = byte
    try:
        say.decode_from_worker(bytes(body))
    except InvalidData:
        pass


def test_control_messages_fit_into_a_datagram() -> None:
    longest = say.Refused(2**40, "x" * 200)
    assert say.decode_from_nursery(say.encode(longest)) == longest
    assert len(say.encode(longest)) < say.CONTROL_BYTES_MAX
    assert say.decode_to_nursery(say.encode(say.Signal(7, 9))) == say.Signal(7, 9)
