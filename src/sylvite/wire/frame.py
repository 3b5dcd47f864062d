"""Frames: how messages are cut out of a byte stream.  Spec: docs/protocol.md, "Frame".

    byte  size  field
    0     4     size of type and body together, little-endian
    4     1     type of the message
    5     n     body

The size is checked before any of the body is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from sylvite.core.batch import CUT_BYTES_MAX
from sylvite.errors import FrameTooBig, RemoteProtocolError

FRAME_BYTES_MAX = CUT_BYTES_MAX + 64
GREETING_BYTES_MAX = 4096
"""What a peer may send in one frame before it has said who it is."""

HEADER = Struct("<IB")
_SIZE = Struct("<I")


def encode_frame(kind: int, body: bytes) -> bytes:
    return HEADER.pack(len(body) + 1, kind) + body


class FrameDecoder:
    """Cut frames out of bytes in whatever pieces they arrive.  Does no I/O."""

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> None:
        self._buffer += data

    def single(self, data: bytes | memoryview) -> tuple[int, bytes] | None:
        """Return type and body of `data` where it is one whole frame and nothing waits before it; else None: feed it.

        A publish and its answer usually arrive so, and this takes a third of the time.  Raises: as `frames`.
        """
        if self._buffer or len(data) < HEADER.size:
            return None
        size, kind = HEADER.unpack_from(data)
        if size > self.bytes_max:
            raise FrameTooBig(size, self.bytes_max)
        return (kind, bytes(data[HEADER.size :])) if size == len(data) - 4 else None

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield type and body of each whole frame, oldest first; stop where the bytes stop.

        Raises:
            FrameTooBig: on the header alone, before any of the body is kept.
                The stream has lost its place: close the connection.
            RemoteProtocolError: a frame without a type.
        """
        buffer, position = self._buffer, 0
        try:
            while len(buffer) - position >= 4:
                (size,) = _SIZE.unpack_from(buffer, position)
                if size > self.bytes_max:
                    raise FrameTooBig(size, self.bytes_max)
                if size == 0:
                    raise RemoteProtocolError("a frame of no bytes")
                end = position + 4 + size
                if end > len(buffer):
                    break
                kind = buffer[position + 4]
                with memoryview(buffer) as view:
                    body = bytes(view[position + 5 : end])
                position = end
                yield kind, body
        finally:
            if position:
                del buffer[:position]
