"""MasterWire: bytes ↔ TLS, for one connection to a master, at the minion's end."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Protocol, cast

from sylvite.link.tls_pipe import TlsPipe


class End(Protocol):
    """What a wire asks of the end that it belongs to."""

    refused: str

    def connected(self, wire: MasterWire) -> bool:
        """TLS stands: say whether the master is one that may be trusted."""
        ...

    def received(self, wire: MasterWire, data: bytes) -> None: ...


class MasterWire(asyncio.Protocol):
    """One connection to a master."""

    def __init__(self, end: End, tls: TlsPipe) -> None:
        loop = asyncio.get_running_loop()
        self.tls = tls
        self.stands: asyncio.Future[None] = loop.create_future()
        """TLS does, and the master is one that may be trusted."""
        self.gone: asyncio.Future[None] = loop.create_future()
        self.heard_s = time.monotonic()
        self._end = end
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self.tls.start())

    def data_received(self, data: bytes) -> None:
        self.heard_s = time.monotonic()
        try:
            plain, answer = self.tls.feed(data)
        except ssl.SSLError as error:
            self._end.refused = f"it does not speak TLS as we do: {error.reason or error}"
            self.end()
            return
        if answer and self._transport is not None:
            self._transport.write(answer)
        if self.tls.stands and not self.stands.done() and self._end.connected(self):
            self.stands.set_result(None)
        for piece in plain:
            self._end.received(self, piece)
        if self.tls.ended:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.stands.cancel()
        if not self.gone.done():
            self.gone.set_result(None)

    def write(self, parts: list[bytes]) -> None:
        if parts and self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(self.tls.wrap(parts))

    def end(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if rest := self.tls.end():
                transport.write(rest)
            transport.close()
