"""SyncConnection: one socket under one ClientCore, with a deadline on every wait.  No thread, no event loop.

The socket never blocks; what waits is `poll`, for what there is to read and, as long as something is to be sent, for room
too. So a broker that has stopped, or that wants us to read first, cannot hold us beyond the deadline.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable

from sylvite.client.address import is_tcp, read_tcp
from sylvite.client.core import ClientCore
from sylvite.client.retry import Retry
from sylvite.errors import BrokerNotReachable, ConnectionLost, SylviteError

RECEIVE_BYTES = 256 * 1024
GREETING_S = 10.0
GREETING_S_LEAST = 0.1
GOODBYE_S = 1.0
POLL_S_MAX = 3600.0
PASSING = ("overloaded", "shutting_down")
"""Refusals of a connection that another attempt may not meet."""


class SyncConnection:
    """Bytes between a core and its broker.  It connects again by itself; `reconnect_s`: for how long, None for ever."""

    def __init__(self, path: str, core: ClientCore, reconnect_s: float | None) -> None:
        self.path = path
        self.core = core
        self._retry = Retry(reconnect_s)
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._unsent = memoryview(b"")
        self._closed = False

    def open(self, deadline: float) -> None:
        """Connect and greet.  Raises BrokerNotReachable, or what the broker refuses with."""
        self._drop()
        try:
            self._socket = self._connected(deadline)
            self._poll.register(self._socket, select.POLLIN)
            self.core.connect()
            while not self.core.is_ready:
                self._exchange(deadline)
            self._write()
            self._retry.connected(time.monotonic())
        except (ConnectionLost, OSError) as error:
            self._drop()
            if isinstance(error, BrokerNotReachable):
                raise
            reason = os_reason(error) if isinstance(error, OSError) else "it closed the connection"
            raise BrokerNotReachable(str(self.path), reason) from error
        except SylviteError:
            self._drop()
            raise

    def _connected(self, deadline: float) -> socket.socket:
        wait_s = max(deadline - time.monotonic(), 0.001)
        if is_tcp(self.path):
            address = read_tcp(self.path)
            self.core.token = address.token
            connected = socket.create_connection((address.host, address.port), wait_s)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connected.settimeout(wait_s)
                connected.connect(str(self.path))
            except OSError:
                connected.close()
                raise
        connected.setblocking(False)
        return connected

    def close(self) -> None:
        """Say goodbye, and wait a moment until the broker has heard it."""
        if self._closed:
            return
        self._closed = True
        if self._socket is not None:
            self.core.say_goodbye()
            try:
                self._hear_out(time.monotonic() + GOODBYE_S)
            except OSError:
                pass  # Gone already: then there is nobody to say goodbye to.
        self._drop()

    def abandon(self) -> None:
        """Close without a word: after a fork, the connection is the other process's, which goes on with it."""
        self._closed = True
        self._drop()

    def _hear_out(self, deadline: float) -> None:
        """Send the rest, and read, unheeded, until the broker has closed.

        A broker that writes to a socket which is closed already gets an error, and never reads what we said last: an
        acknowledgement, say.
        """
        assert self._socket is not None
        while True:
            self._write()
            wanted = select.POLLIN | (select.POLLOUT if self._unsent else 0)
            self._poll.modify(self._socket, wanted)
            ready = self._poll.poll(max(deadline - time.monotonic(), 0.0) * 1000)
            if not ready or (ready[0][1] & ~select.POLLOUT and not self._socket.recv_into(self._buffer)):
                return

    def ensure_open(self, deadline: float | None) -> None:
        """Raises ConnectionLost: closed, or the broker does not come back in time."""
        if self._closed:
            raise ConnectionLost("this client is closed")
        if self._socket is None:
            try:
                self._reconnect(deadline)
            except TimeoutError:
                raise ConnectionLost(f"the broker at {self.path} is away; nothing was sent") from None

    def send(self) -> None:
        """Send what the core has to say, as far as the socket takes it; the rest goes with the next `until`.

        If the connection is lost, `until` notices, and everything is said again.
        """
        try:
            self._write()
        except OSError:
            self._drop()

    def is_sent(self) -> bool:
        """Say whether the socket has taken all that was said."""
        return not self._unsent and not self.core.has_bytes

    def until(self, holds: Callable[[], bool], deadline: float | None) -> None:
        """Exchange bytes with the broker until a condition holds; look once at what is there, however late it is.

        Raises:
            TimeoutError: the deadline came first.
            ConnectionLost: closed, or the broker was away for longer than `reconnect_s`.
            SylviteError: the broker refuses us, or says what cannot be understood.
        """
        late = False
        while not holds():
            if self._closed:
                raise ConnectionLost("this client is closed")
            if late:
                raise TimeoutError
            late = deadline is not None and time.monotonic() >= deadline
            try:
                if self._socket is not None:
                    self._exchange(deadline)
                    continue
            except TimeoutError:
                raise
            except (ConnectionLost, OSError):
                self._drop()
            except SylviteError:
                self._drop()
                raise
            self._reconnect(deadline)

    # -- The socket --------------------------------------------------------------------------------------------------

    def _exchange(self, deadline: float | None) -> None:
        """Wait for bytes or for room, once.  Raises TimeoutError, OSError, ConnectionLost, and what the core raises."""
        assert self._socket is not None
        if not self.is_sent():
            self._write()
            if self.is_sent():
                return  # Who waits for just this must not wait for bytes that nobody owes us.
            self._poll.modify(self._socket, select.POLLIN | select.POLLOUT)
        left_s = POLL_S_MAX if deadline is None else deadline - time.monotonic()
        ready = self._poll.poll(min(max(left_s, 0.0), POLL_S_MAX) * 1000)
        if self._unsent:
            self._poll.modify(self._socket, select.POLLIN)
        if not ready:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
            return
        if ready[0][1] & ~select.POLLOUT:
            try:
                size = self._socket.recv_into(self._buffer)
            except BlockingIOError:
                return
            if not size:
                raise ConnectionLost("the broker has closed the connection")
            self.core.feed(self._buffer[:size])
        self._write()

    def _write(self) -> None:
        """Give the socket what it takes now."""
        if self._socket is None:
            return
        while True:
            if not self._unsent:
                parts = self.core.take_bytes()
                if not parts:
                    return
                self._unsent = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]

    def _drop(self) -> None:
        self.core.lost()
        self._unsent = memoryview(b"")
        if self._socket is not None:
            self._poll.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _reconnect(self, deadline: float | None) -> None:
        """Connect again, waiting longer each time.  Raises: as `until`."""
        self._drop()
        while True:
            now = time.monotonic()
            pause_s = self._retry.wait_s(now, random_chance())
            if pause_s is None:
                raise ConnectionLost(f"the broker at {self.path} has been away for {self._retry.limit_s:g} s")
            if deadline is not None and pause_s and now + pause_s >= deadline:
                time.sleep(max(deadline - now, 0))
                raise TimeoutError
            time.sleep(pause_s)
            self._retry.attempt()
            now = time.monotonic()
            # Somebody who looks with a timeout of zero, again and again, has to get a connection too.
            patience_s = GREETING_S if deadline is None else max(deadline - now, GREETING_S_LEAST)
            try:
                self.open(now + min(patience_s, GREETING_S))
            except ConnectionLost:
                continue
            except SylviteError as error:
                if error.code not in PASSING:
                    raise
            else:
                return


def random_chance() -> float:
    """Return a number from 0 to 1; the module `random` costs a part of the cold start."""
    return int.from_bytes(os.urandom(2), "little") / 65536


def os_reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return (error.strerror or str(error)).lower()
