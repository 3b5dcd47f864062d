"""A peer of the broker without a client: it says what it likes, and leaves as it likes."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from types import TracebackType

from sylvite.client.address import is_tcp, read_tcp
from sylvite.core.block import BlockBuilder
from sylvite.core.event import pack_data
from sylvite.core.level import Level
from sylvite.core.pattern import Filter
from sylvite.wire.frame import FrameDecoder
from sylvite.wire.messages import VERSION, Hello, Message, Publish, Start, Subscribe, decode, encode

WITHIN_S = 60.0
CREDIT_BYTES = 16 * 1024 * 1024


def hello(place: Path, source_epoch: int = 1) -> Hello:
    return Hello(VERSION, "raw", source_epoch, read_tcp(place).token if is_tcp(place) else "")


def subscribe(*, where: str | None = None, at: str = "newest", prefix: str = "load/") -> Subscribe:
    return Subscribe(1, Filter(startswith=(prefix,), where=where), Start(at), CREDIT_BYTES, "", False)


def publish(tag: str, data: dict[str, object], level: Level, seq: int = 0) -> Publish:
    builder = BlockBuilder()
    builder.add(tag, pack_data(data))
    block, _ = builder.take()
    return Publish(level, seq, block)


class RawPeer:
    """One connection, by the path of a socket or of the file with the address of a TCP port."""

    def __init__(self, place: Path) -> None:
        self.place = place
        if is_tcp(place):
            address = read_tcp(place)
            self.socket = socket.create_connection((address.host, address.port), WITHIN_S)
        else:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(WITHIN_S)
            try:
                self.socket.connect(str(place))
            except OSError:
                self.socket.close()
                raise
        self._decoder = FrameDecoder()

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def say(self, *messages: Message, cut: int | None = None) -> None:
        """Say messages; with `cut`, only so many bytes of them."""
        self.socket.sendall(b"".join(map(encode, messages))[:cut])

    def hear(self, kind: type[Message]) -> None:
        """Read up to a message of that kind.  Raises AssertionError: the connection ends before."""
        while data := self.socket.recv(65_536):
            self._decoder.feed(data)
            for number, body in self._decoder.frames():
                if isinstance(decode(number, body), kind):
                    return
        raise AssertionError(f"no {kind.__name__}, and the connection is at its end")

    def hear_out(self) -> None:
        """Read until the broker has closed."""
        while self.socket.recv(65_536):
            pass

    def reset(self) -> None:
        """Leave without a goodbye, with whatever was sent to us unread; on TCP, with a reset."""
        if self.socket.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
