"""TlsPipe: TLS without a socket: bytes of the network in, plain bytes out, and back.

asyncio's own keeps a read buffer of 256 KiB for each connection, and does each handshake as soon as bytes arrive. This
one holds nothing while nothing happens, and its handshakes are done when whoever owns it says so.
"""

from __future__ import annotations

import contextlib
import ssl

RECORD_BYTES = 16 * 1024
"""Of TLS, at most."""
PIECE_BYTES = 4 * 1024
"""What is given to OpenSSL at once: of more, its buffer would stay as large for as long as the connection."""


class TlsPipe:
    """`stands`: the handshake is over.  `ended`: the other side has said that nothing follows."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.stands = self.ended = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)

    @property
    def peer(self) -> ssl.SSLObject:
        return self._tls

    def start(self) -> bytes:
        """Return what a client has to send first; nothing for a server."""
        return self.feed(b"")[1]

    def feed(self, data: bytes | memoryview) -> tuple[list[bytes], bytes]:
        """Take bytes of the network; return plain ones, and what the network has to be sent in answer.

        Raises:
            ssl.SSLError: they are no TLS, or not of a kind that we speak.
        """
        plain: list[bytes] = []
        rest = memoryview(data)
        while True:
            piece, rest = rest[:PIECE_BYTES], rest[PIECE_BYTES:]
            self._incoming.write(piece)
            if not self.ended and (self.stands or self._shake_hands()):
                self._read_into(plain)
            if not rest:
                return plain, self._outgoing.read()

    def wrap(self, parts: list[bytes]) -> list[bytes]:
        """Return what the network has to be sent to bring the other side these plain bytes; once it `stands`."""
        wrapped: list[bytes] = []
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[self._tls.write(rest[:RECORD_BYTES]) :]
                wrapped.append(self._outgoing.read())
        return wrapped

    def end(self) -> bytes:
        """Return what tells the other side that nothing follows; or, after an error, what was wrong with its bytes."""
        if self.stands:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
        return self._outgoing.read()

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.stands = True
        return True

    def _read_into(self, plain: list[bytes]) -> None:
        try:
            while piece := self._tls.read(RECORD_BYTES):
                plain.append(piece)
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            pass
        self.ended = True
