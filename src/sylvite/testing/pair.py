"""A client and a broker session, joined in memory: no socket, no thread, and no time but what the clock is told.

pair = Pair()
ticket = pair.core.publish(...)
pair.exchange()
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sylvite.auth.peer import Peer
from sylvite.broker.broker import Broker
from sylvite.broker.connection import Connection
from sylvite.broker.settings import BrokerSettings
from sylvite.client.core import ClientCore
from sylvite.errors import ConnectionLost
from sylvite.eventlog.eventlog import EventLog
from sylvite.testing.clock import ManualClock
from sylvite.testing.storage import MemoryStorage

FULL_BYTES = 256 * 1024
TURNS_MAX = 10_000


class MemoryOutlet:
    """The Outlet of a connection that exists only in memory; `taken` is what the client's side can read.

    `full_bytes`: with more than so much of it the outlet is full.
    """

    def __init__(self, full_bytes: int = FULL_BYTES) -> None:
        self.full_bytes = full_bytes
        self.taken = bytearray()
        self.closed = False
        self.paused = False

    def write(self, parts: Sequence[bytes]) -> None:
        for part in parts:
            self.taken += part

    def waiting_bytes(self) -> int:
        return len(self.taken)

    @property
    def is_full(self) -> bool:
        return len(self.taken) > self.full_bytes

    def close(self) -> None:
        self.closed = True

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


class Pair:
    """A ClientCore and a real Broker over a MemoryStorage.

    `piece_bytes`: how many bytes arrive at a time, as a kernel might cut them; None for all that there are.
    """

    def __init__(
        self,
        *,
        settings: BrokerSettings | None = None,
        storage: MemoryStorage | None = None,
        clock: ManualClock | None = None,
        piece_bytes: int | None = None,
    ) -> None:
        self.settings = settings or BrokerSettings()
        self.storage = storage or MemoryStorage()
        self.clock = clock or ManualClock()
        self.piece_bytes = piece_bytes
        self.core = ClientCore(source_epoch=1, name="pair")
        self.broker = self._started()
        self.outlet = MemoryOutlet()
        self.connection: Connection | None = None
        self.connect()

    def _started(self) -> Broker:
        log = EventLog(self.storage, self.settings.log, now_ns=self.clock.now_ns())
        return Broker(log, self.settings, self.clock, name="broker")

    # -- The connection ----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Make a connection and exchange greetings, and what has to be said again."""
        self.outlet = MemoryOutlet()
        owner = Peer(f"uid:{os.geteuid()}", os.geteuid(), frozenset())
        self.connection = Connection(self.broker, owner, self.outlet)
        self.core.connect()
        self.exchange()

    def cut(self) -> None:
        """Lose the connection, with all bytes that are under way."""
        assert self.connection is not None
        self.connection.lost()
        self.connection = None
        self.core.lost()

    def say(self) -> None:
        """Bring the broker what the client has to say; it does nothing about it yet."""
        said = b"".join(self.core.take_bytes())
        if self.connection is not None and said:
            step = self.piece_bytes or len(said)
            for start in range(0, len(said), step):
                self.connection.receive(said[start : start + step])

    def work(self) -> None:
        """Let the broker do what it has to do: append, sync, deliver, answer."""
        self.broker.flush()
        for job in self.broker.take_jobs():
            error: OSError | None = None
            try:
                job.run()
            except OSError as failure:
                error = failure
            job.done(error)
        self.broker.flush()

    def hear(self) -> bool:
        """Bring the client what the broker has said; return whether there was anything.

        Raises:
            ConnectionLost: the broker has closed the connection, and all it said before has been heard.
            SylviteError: as `ClientCore.feed`.
        """
        said = bytes(self.outlet.taken)
        self.outlet.taken.clear()
        step = self.piece_bytes or max(len(said), 1)
        for start in range(0, len(said), step):
            self.core.feed(said[start : start + step])
        if said and self.connection is not None:
            self.connection.drained()
        if self.outlet.closed and self.connection is not None:
            self.cut()
            raise ConnectionLost("the broker has closed the connection")
        return bool(said)

    def exchange(self) -> None:
        """Go on until neither side has anything to say or to do.  Raises: as `hear`."""
        for _ in range(TURNS_MAX):
            self.say()
            self.work()
            heard = self.hear()
            if not heard and not self.core.has_bytes:
                return
        raise AssertionError(f"client and broker still talk after {TURNS_MAX} turns")

    # -- The broker --------------------------------------------------------------------------------------------------

    def kill_broker(self, *, wipe: bool = False) -> None:
        """End the broker as SIGKILL would, and start another over what it has written, or over nothing."""
        if self.connection is not None:
            self.cut()
        self.storage = MemoryStorage() if wipe else self.storage.after_kill()
        self.broker = self._started()
