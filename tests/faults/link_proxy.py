"""A network between two, a minion and its master, say, as bad as a test wants it: a TCP proxy in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress

READ_BYTES = 64 * 1024
TRICKLE_S = 0.02
WAYS: tuple[str, ...] = ("up", "down")


class Network:
    """Made by `network`.  What is set counts for all connections, from now on; `happened` counts what was done to them.

    `delay_s`: before bytes go on; `stalled`: ways on which nothing is read; `swallowing`: ways on which bytes vanish;
    `trickling`: a byte at a time; `refusing`: nobody gets a connection; `cut_after`: one is cut once so many bytes have gone
    that way.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.happened: Counter[str] = Counter()
        self.connections = 0
        self.delay_s = 0.0
        self.trickling = self.refusing = False
        self.swallowing: frozenset[str] = frozenset()
        self.cut_after: tuple[str, int] | None = None
        self._target = target
        self._open: dict[str, bool] = dict.fromkeys(WAYS, True)
        self._loop = asyncio.new_event_loop()
        self._moved = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._damaged: set[asyncio.StreamWriter] = set()
        self._half: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def stall(self, *ways: str) -> None:
        """Let nothing through that way; what is sent waits, as in a network that is cut for a while."""
        self._loop.call_soon_threadsafe(self._set_open, dict.fromkeys(ways, False))

    def heal(self) -> None:
        """Let everything through again; connections that have lost bytes are reset, as TCP would in the end."""
        self.delay_s, self.trickling, self.refusing, self.cut_after = 0.0, False, False, None
        self._loop.call_soon_threadsafe(self._heal)

    def reset(self) -> None:
        """Reset all connections (RST)."""
        self._loop.call_soon_threadsafe(self._reset, None)

    def cut(self) -> None:
        """Reset all connections, and let nobody have another one."""
        self.refusing = True
        self.reset()

    def half_close(self) -> None:
        """Let the master's side of all connections end, and the minion's never hear of it."""
        self._loop.call_soon_threadsafe(self._half_close)

    # -- In the thread -----------------------------------------------------------------------------------------------

    def run(self, ready: threading.Event) -> None:
        self._loop.run_until_complete(self._serve(ready))
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, backlog=512)
        self.port = int(server.sockets[0].getsockname()[1])
        ready.set()
        await self._stopping.wait()
        server.close()
        self._reset(None)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _set_open(self, ways: dict[str, bool]) -> None:
        self._open.update(ways)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _heal(self) -> None:
        self.swallowing = frozenset()
        self._reset(self._damaged)
        self._damaged.clear()
        self._set_open(dict.fromkeys(WAYS, True))

    def _reset(self, some: set[asyncio.StreamWriter] | None) -> None:
        for writer in list(self._writers if some is None else some):
            connected: socket.socket | None = writer.get_extra_info("socket")
            if connected is not None and connected.fileno() >= 0:
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            self.happened["reset"] += 1

    def _half_close(self) -> None:
        for writer in list(self._writers):
            if writer.get_extra_info("peername")[1] == self._target:
                self._half.add(writer)
                writer.transport.abort()
                self.happened["half closed"] += 1

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            self.happened["refused"] += 1
            writer.transport.abort()
            return
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        beyond: asyncio.StreamWriter | None = None
        try:
            there, beyond = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(beyond)
            up = asyncio.ensure_future(self._carry("up", reader, beyond, writer))
            down = asyncio.ensure_future(self._carry("down", there, writer, beyond))
            await asyncio.gather(up, down)
        except OSError:
            pass  # The master is away, or the connection was reset.
        finally:
            self._tasks.discard(task)
            for each in (writer, beyond):
                if each is not None:
                    self._writers.discard(each)
                    self._damaged.discard(each)
                    self._half.discard(each)
                    each.transport.abort()

    async def _carry(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        carried = 0
        while True:
            while not self._open[way]:
                self.happened[f"stalled {way}"] += 1
                await self._moved.wait()
            data = await reader.read(1 if self.trickling else READ_BYTES)
            if not data:
                if back not in self._half:
                    writer.close()
                return
            if self.trickling:
                self.happened["trickled"] += 1
                await asyncio.sleep(TRICKLE_S)
            if self.delay_s:
                self.happened["delayed"] += 1
                await asyncio.sleep(self.delay_s)
            if way in self.swallowing:
                self.happened[f"swallowed {way}"] += 1
                self._damaged |= {writer, back}
                continue
            while not self._open[way]:
                self.happened[f"stalled {way}"] += 1
                await self._moved.wait()
            if writer in self._half:
                self.happened["unheard"] += 1
                continue
            carried += len(data)
            if self.cut_after is not None and self.cut_after[0] == way and carried >= self.cut_after[1]:
                writer.write(data[: len(data) - (carried - self.cut_after[1])])
                self.happened["cut"] += 1
                self._cut(writer, back)
                return
            writer.write(data)
            await writer.drain()

    def _cut(self, *writers: asyncio.StreamWriter) -> None:
        self.cut_after = None
        for writer in writers:
            with suppress(OSError, RuntimeError):
                writer.close()


@contextmanager
def network(target: int) -> Generator[Network]:
    """A network to that port of this machine."""
    between, ready = Network(target), threading.Event()
    thread = threading.Thread(target=between.run, args=[ready], daemon=True)
    thread.start()
    ready.wait()
    try:
        yield between
    finally:
        between.stop()
        thread.join()
