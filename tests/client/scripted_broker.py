"""A broker that says what it is told to: for what a real one never says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from sylvite.wire.messages import VERSION, Message, Welcome, encode

WAIT_S = 30.0
WELCOME = Welcome(VERSION, "scripted", "log", 1, 0, "uid:0", 1 << 20)

Script = Callable[[socket.socket], None]


class ScriptedBroker:
    """A UNIX listener; each connection runs the script, and is closed when it returns."""

    def __init__(self, path: Path, script: Script) -> None:
        self.path = path
        self.connections = 0
        self._script = script
        self._connected: socket.socket | None = None
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> ScriptedBroker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A thread in accept() does not notice that its socket is closed; shut down, it does.
        self._listening.shutdown(socket.SHUT_RDWR)
        if self._connected is not None:
            try:
                self._connected.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # It is closed already.
        self._thread.join(WAIT_S)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._connected = connected
            with connected:
                connected.settimeout(WAIT_S)
                try:
                    self._script(connected)
                except OSError:
                    pass  # The client has gone: the script is over.


def says(*said: bytes | Message, greets: bool = True) -> Script:
    """A script: greet, say this once the client has said something more than its hello, and wait for its end."""

    def script(connected: socket.socket) -> None:
        connected.recv(1 << 16)
        if greets:
            connected.sendall(encode(WELCOME))
            connected.recv(1 << 16)
        for part in said:
            connected.sendall(part if isinstance(part, bytes) else encode(part))
        while connected.recv(1 << 16):
            pass

    return script
