"""What the machine and Python allow, measured in the same run: the figures that ours stand beside."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from bench.events import TAG, job_return
from bench.pace import paced
from bench.processes import Worker, percentile

MESSAGE_BYTES = 300


def codec(count: int) -> tuple[float, float]:
    """Return events a second that one process encodes, and that it decodes, with nothing else around them."""
    data = job_return()
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(dict).decode
    packed = encode(data)
    started = time.perf_counter()
    for _ in range(count):
        encode(data)
    encoded = time.perf_counter()
    for _ in range(count):
        decode(packed)
    decoded = time.perf_counter()
    return count / (encoded - started), count / (decoded - encoded)


def event_bytes() -> int:
    return len(TAG) + len(msgspec.msgpack.encode(job_return()))


def round_trip_s(count: int) -> float:
    """Return the median time of a message to another Python process and back over a UNIX socket, both blocking."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    def answer(ready: Callable[[], None]) -> None:
        ours.close()
        ready()
        while message := theirs.recv(65536):
            theirs.sendall(message)

    with Worker(answer) as worker:
        theirs.close()
        worker.ready()
        message = b"x" * MESSAGE_BYTES
        times: list[float] = []
        for _ in range(count):
            started = time.perf_counter()
            ours.sendall(message)
            ours.recv(65536)
            times.append(time.perf_counter() - started)
        ours.close()
    return percentile(times, 0.5)


def sync_s(folder: Path, count: int) -> float:
    """Return the median time of one append of MESSAGE_BYTES and one fdatasync, space taken before."""
    descriptor, name = tempfile.mkstemp(dir=folder)
    times: list[float] = []
    try:
        os.posix_fallocate(descriptor, 0, 4 * 1024 * 1024)
        os.fsync(descriptor)
        for number in range(count):
            started = time.perf_counter()
            os.pwrite(descriptor, b"x" * MESSAGE_BYTES, number * MESSAGE_BYTES)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
        os.unlink(name)
    return percentile(times, 0.5)


class _Relay(asyncio.BufferedProtocol):
    def __init__(self, peers: list[asyncio.Transport]) -> None:
        self._peers, self._buffer = peers, bytearray(65536)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._own = cast("asyncio.Transport", transport)
        self._peers.append(self._own)

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        for peer in self._peers:
            if peer is not self._own:
                peer.write(bytes(self._buffer[:nbytes]))


def relay_latencies_s(folder: Path, count: int, rate: float) -> list[float]:
    """Return the times of messages from one Python process over a bare relay in Python to another, at `rate` a second."""
    path = str(folder / "relay.sock")

    def relay(ready: Callable[[], None]) -> None:
        async def serve() -> None:
            peers: list[asyncio.Transport] = []
            server = await asyncio.get_running_loop().create_unix_server(lambda: _Relay(peers), path)
            ready()
            async with server:
                await server.serve_forever()

        uvloop.run(serve())

    def receive(ready: Callable[[], None]) -> list[float]:
        incoming = socket.socket(socket.AF_UNIX)
        incoming.connect(path)
        ready()
        times: list[float] = []
        while len(times) < count:
            message = incoming.recv(MESSAGE_BYTES, socket.MSG_WAITALL)
            times.append(time.perf_counter() - float(message[:20]))
        return times

    with Worker(relay) as relaying:
        relaying.ready()
        with Worker(receive) as receiving, socket.socket(socket.AF_UNIX) as outgoing:
            receiving.ready()
            outgoing.connect(path)
            for _ in paced(count, rate):
                outgoing.sendall(f"{time.perf_counter():.9f}".encode().ljust(MESSAGE_BYTES))
            times: list[float] = receiving.result()
            return times
