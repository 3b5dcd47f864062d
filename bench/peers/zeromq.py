"""ZeroMQ: a proxy between XSUB and XPUB, publishers and subscribers connected to it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from bench.installed import distribution_bytes
from bench.peers.peer import Connection, Data, Event, Guarantee, Pattern, Peer, ServerProcess, Tally
from bench.versions import distribution_versions

PROXY = """
import sys, zmq
context = zmq.Context()
incoming, outgoing = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
for socket in (incoming, outgoing):
    socket.set_hwm(0)
incoming.bind(f"ipc://{sys.argv[1]}/in.sock")
outgoing.bind(f"ipc://{sys.argv[1]}/out.sock")
zmq.proxy(incoming, outgoing)
"""


class ZeroMQConnection(Connection):
    def __init__(self, folder: Path) -> None:
        self._zmq: Any = import_module("zmq")
        msgpack: Any = import_module("msgspec.msgpack")
        self._encode, self._decode = msgpack.Encoder().encode, msgpack.Decoder(dict).decode
        self._folder = folder
        self._context: Any = self._zmq.Context()
        self._outgoing: Any = None

    def _socket(self, kind: int, name: str) -> Any:
        socket = self._context.socket(kind)
        socket.set_hwm(0)
        socket.connect(f"ipc://{self._folder}/{name}")
        return socket

    def _publisher(self) -> Any:
        if self._outgoing is None:
            self._outgoing = self._socket(self._zmq.PUB, "in.sock")
        return self._outgoing

    def publish_many(self, events: Iterable[Event]) -> None:
        send, encode = self._publisher().send_multipart, self._encode
        for tag, data in events:
            send((tag.encode(), encode(data)))

    def publish_one(self, tag: str, data: Data) -> None:
        self.publish_many([(tag, data)])

    def receive(self, pattern: Pattern, tally: Tally) -> None:
        socket = self._socket(self._zmq.SUB, "out.sock")
        socket.subscribe(pattern.prefix.encode())
        take, decode, read = tally.take, self._decode, socket.recv_multipart
        matches = pattern.matches if pattern.is_glob else None
        with tally.watched():
            while True:
                tag, body = read()
                name = tag.decode()
                if (matches is None or matches(name)) and take(name, decode(body)):
                    break
        socket.close(linger=0)

    def close(self) -> None:
        if self._outgoing is not None:
            self._outgoing.close(linger=60_000)
        self._context.term()


class ZeroMQ(Peer):
    title = "ZeroMQ XPUB/XSUB"
    guarantee = Guarantee.MEMORY
    promise = "at most once"
    advice = (
        "pyzmq, tag and body as two parts, UNIX sockets; high-water marks off (the guide, chapter 2: with them, what is "
        "too much is dropped); the proxy is `zmq.proxy` in a process of its own, as the guide's forwarder"
    )
    cannot: ClassVar[Mapping[str, str]] = {
        "publish": "nothing is acknowledged",
        "replay": "it keeps nothing",
        "command": "it has no command line",
        "script": "a publisher cannot know when its event has left: it has to wait for subscriptions to arrive first",
    }
    notes: ClassVar[Mapping[str, str]] = {
        "globs": "it knows prefixes only: readers get all of them and filter themselves"
    }
    _process: ServerProcess | None = None

    def start(self) -> None:
        self._process = ServerProcess([sys.executable, "-c", PROXY, self.folder], self.folder)
        self._process.wait_until(lambda: (self.folder / "out.sock").exists())

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def pids(self) -> dict[str, int]:
        assert self._process is not None
        return {"proxy": self._process.pid}

    def load(self) -> None:
        for name in ("zmq", "msgspec.msgpack"):
            import_module(name)

    def connect(self) -> ZeroMQConnection:
        return ZeroMQConnection(self.folder)

    def versions(self) -> dict[str, str]:
        zmq: Any = import_module("zmq")
        return {"libzmq": str(zmq.zmq_version()), **distribution_versions("pyzmq")}

    def installed_bytes(self) -> int:
        return distribution_bytes("pyzmq")
