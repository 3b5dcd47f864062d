"""MinionWire: bytes ↔ TLS ↔ session, for the connection of one minion, at the master's end."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol, cast

from sylvite.auth.enrolment import Asking
from sylvite.auth.keyring_values import Identity
from sylvite.auth.keys import PublicKey
from sylvite.errors import ConnectionLost, RemoteProtocolError
from sylvite.link.minion_session import Arrived, Judgement, MinionSession
from sylvite.link.tls import PROTOCOL
from sylvite.link.tls_pipe import TlsPipe

if TYPE_CHECKING:
    from sylvite.link.doorway import Doorway

HANDSHAKE_S = 5.0
"""For TLS, and as much again for the proof; what we ourselves take does not count."""
LATE_S = 30.0
"""However busy we are, nobody is half inside for longer."""
READ_BYTES = 64 * 1024
"""At once: more than a thousand small loads, for whose sorting all others wait."""
FIRST_READ_BYTES = 16 * 1024
REST_TIMES = 9
"""What is refused costs us more than it costs who sends it: he is not listened to for so many times as long."""
WAITING_BYTES_MAX = 8 * 1024 * 1024
"""That a minion has not read; beyond it, it has to connect again."""
logger = logging.getLogger("sylvite.link")


class Host(Protocol):
    """What a wire asks of the end that it belongs to."""

    tls: ssl.SSLContext
    door: Doorway
    buffer: memoryview
    """One for all: what was read into it is gone through before the next one reads."""

    def enters(self, wire: MinionWire, now_s: float) -> bool:
        """Say whether there is room for one more connection."""
        ...

    def new_session(self, wire: MinionWire) -> MinionSession: ...

    def asks(self, wire: MinionWire, asking: Asking) -> None:
        """A minion asks to be let in: `MinionWire.decide` is due."""
        ...

    def tells(self, wire: MinionWire, identity: Identity, facts: bytes) -> None: ...

    def succeeds(self, wire: MinionWire, identity: Identity, successor: PublicKey) -> None: ...

    def store(self, who: Identity, loads: list[Arrived]) -> Awaitable[None]: ...

    def left(self, wire: MinionWire) -> None: ...


class MinionWire(asyncio.BufferedProtocol):
    """`minion`: its id, once it was let in.  `reason`: why the connection ends.  `heard_s`: of the loop's clock."""

    def __init__(self, host: Host) -> None:
        self.minion, self.address, self.reason = "", "", "the connection was lost"
        self.session: MinionSession | None = None
        self.heard_s = 0.0
        self._host = host
        self._tls: TlsPipe | None = None
        self._transport: asyncio.Transport | None = None
        self._storing: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._late_s = self._rest_s = 0.0
        self._first = bytearray()
        self._is_guest = False

    # -- asyncio calls these -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport, and are none.
        self._transport = cast(asyncio.Transport, transport)
        self.address = str((transport.get_extra_info("peername") or ("",))[0])
        loop = asyncio.get_running_loop()
        self.heard_s = loop.time()
        if not self._host.enters(self, self.heard_s):
            self._transport.abort()
            return
        self._is_guest = True
        self._late_s = self.heard_s + LATE_S
        self._deadline = loop.call_later(HANDSHAKE_S, self._is_late)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._host.buffer[:FIRST_READ_BYTES] if self._is_guest else self._host.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.heard_s = asyncio.get_running_loop().time()
        if self._is_guest:
            assert self._transport is not None
            self._first += self._host.buffer[:nbytes]
            self._transport.pause_reading()
            self._host.door.heard(self)
        else:
            self._take(self._host.buffer[:nbytes])

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._leave_door()
        if self._storing is not None:
            self._storing.cancel()
        self._tls = self._transport = None
        self._host.left(self)

    # -- The door calls these ----------------------------------------------------------------------------------------

    @property
    def is_storing(self) -> bool:
        """What it has sent is on its way onto the bus, and it is not listened to meanwhile."""
        return self._storing is not None

    def step(self) -> bool:
        if self._tls is None and self._transport is not None:
            self._tls = TlsPipe(self._host.tls, server_side=True)
        first, self._first = self._first, bytearray()
        self._take(memoryview(first))
        if not self._is_guest or self._transport is None or self._transport.is_closing():
            return False
        self._transport.resume_reading()
        return self.session is None or not self.session.has_asked

    def turn_away(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- The end calls these -----------------------------------------------------------------------------------------

    def judge(self, asking: Asking) -> Judgement | None:
        self._host.asks(self, asking)
        return None

    def decide(self, judgement: Judgement) -> None:
        """Tell the minion what has become of its key, if it is still there."""
        if self.session is None or self._transport is None:
            return
        self._leave_door()
        self.session.decide(judgement)
        self.write()
        if self.session.closed:
            self.end()

    def write(self) -> None:
        transport, tls = self._transport, self._tls
        if self.session is None or tls is None or transport is None or transport.is_closing():
            return
        if parts := self.session.take_bytes():
            transport.writelines(tls.wrap(parts))
            if transport.get_write_buffer_size() > WAITING_BYTES_MAX:
                self.reason = "it does not read what it is sent"
                transport.abort()

    def close(self, reason: str) -> None:
        self.reason = reason
        if self.session is not None:
            self.session.close(reason)
        self.write()
        self.end()

    def end(self) -> None:
        transport, tls = self._transport, self._tls
        if transport is not None and not transport.is_closing():
            if tls is not None and (rest := tls.end()):
                transport.write(rest)
            transport.close()

    def silent(self) -> None:
        """It has said nothing for too long, and is not waited for any more."""
        self.reason = "nothing was heard of it"
        if self._transport is not None:
            self._transport.abort()

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _take(self, data: memoryview) -> None:
        tls, transport = self._tls, self._transport
        if tls is None or transport is None or transport.is_closing():
            return
        stood = tls.stands
        try:
            plain, answer = tls.feed(data)
            if answer:
                transport.write(answer)
            if tls.stands and not stood:
                if tls.peer.selected_alpn_protocol() != PROTOCOL:
                    raise RemoteProtocolError(f"it does not speak {PROTOCOL}")
                self.session = self._host.new_session(self)
                self._again_late()
            if self.session is not None:
                self._hear(self.session, plain)
            if tls.ended:
                self.end()
        except ConnectionLost:
            if self.session is not None and self.session.goodbye is not None:
                self.reason = f"goodbye: {self.session.goodbye}"
            self.end()
        except ssl.SSLError as error:
            logger.info("a connection from %s is ended: %s", self.address, error.reason or error)
            self.end()
        except RemoteProtocolError as error:
            self.reason = f"it does not keep to the rules: {error}"
            logger.warning("a connection from %s is ended: %s", self.address, error)
            self.end()

    def _hear(self, session: MinionSession, plain: list[bytes]) -> None:
        now_s, began_s, refused = int(time.time()), time.thread_time(), session.refused
        for piece in plain:
            session.feed(piece, now_s)
        if session.refused > refused:
            self._rest_s += REST_TIMES * (time.thread_time() - began_s)
        self.write()
        if session.closed:
            self.end()
            return
        if session.identity is None:
            return
        if (facts := session.facts) is not None:
            session.facts = None
            self._host.tells(self, session.identity, facts)
        if (successor := session.successor) is not None:
            session.successor = None
            self._host.succeeds(self, session.identity, successor)
        if session.arrived and self._storing is None and self._transport is not None:
            # What comes meanwhile stays in the socket: so one minion holds no more of us than was read at once.
            self._transport.pause_reading()
            self._storing = asyncio.create_task(self._store(session), name="link: store")

    async def _store(self, session: MinionSession) -> None:
        identity = session.identity
        try:
            while session.arrived and identity is not None:
                loads = list(session.arrived)
                session.arrived.clear()
                await self._host.store(identity, loads)
                if session.identity is not identity:
                    return  # Revoked meanwhile: it is not told that anything was taken.
                session.taken(loads[-1])
                self.write()
            while (rest_s := self._rest_s) > 0.0:
                self._rest_s = 0.0
                await asyncio.sleep(rest_s)
        finally:
            self._storing = None
            self.heard_s = asyncio.get_running_loop().time()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _leave_door(self) -> None:
        if self._is_guest:
            self._is_guest = False
            self._host.door.leave(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _again_late(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._is_late)

    def _is_late(self) -> None:
        if self._transport is None:
            return
        has_to_wait = bool(self._first) or (self.session is not None and self.session.has_asked)
        if has_to_wait and asyncio.get_running_loop().time() < self._late_s:
            self._again_late()
        else:
            self._transport.abort()
