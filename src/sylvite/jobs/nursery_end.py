"""The minion's end of a nursery: starts the process, hands jobs over, and hears of workers and from them.  asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

from sylvite.errors import InvalidData, RemoteProtocolError
from sylvite.jobs import worker_messages as say
from sylvite.wire.frame import FrameDecoder

MODULE = "sylvite.functions.nursery"
STOP_S = 5.0
PIECE_BYTES = 64 * 1024

Take = Callable[[say.FromWorker], Awaitable[bool]]
"""Takes what a worker says; False: nothing more is wanted."""


class Worker:
    """One job in a process of its own.  `ended`: set when that process is gone; `refused`: why there never was one."""

    def __init__(self, nursery: Nursery, number: int, stream: socket.socket, frame_bytes_max: int) -> None:
        self.number = number
        self.ended: say.Ended | None = None
        self.refused: str | None = None
        self._nursery, self._stream = nursery, stream
        self._frame_bytes_max = frame_bytes_max
        self._wake, self._over = asyncio.Event(), asyncio.Event()

    async def follow(self, packed: bytes, take: Take) -> None:
        """Give the worker its job, and hand on what it says, until that is enough, or all.

        Raises:
            RemoteProtocolError, InvalidData: it has written what is none of its messages, or too much.
        """
        loop = asyncio.get_running_loop()
        # Where the worker dies before it has read all of it, what becomes of it tells how.
        with contextlib.suppress(OSError):
            await loop.sock_sendall(self._stream, say.job_frame(packed))
        decoder = FrameDecoder(self._frame_bytes_max)
        while True:
            data = await self._read()
            if not data:
                return
            decoder.feed(data)
            for _, body in decoder.frames():
                if not await take(say.decode_from_worker(body)):
                    return

    async def _read(self) -> bytes:
        """Return what has come; nothing at its end, which may be that of the process: others may hold the stream open."""
        while True:
            is_over = self.ended is not None
            try:
                return self._stream.recv(PIECE_BYTES)
            except BlockingIOError:
                if is_over:
                    return b""
            except OSError:
                return b""
            await self._readable()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._wake.clear()
        if self.ended is not None:
            return
        loop.add_reader(self._stream, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            loop.remove_reader(self._stream)

    def end(self, ended: say.Ended, refused: str | None = None) -> None:
        self.ended, self.refused = ended, refused
        self._over.set()
        self._wake.set()

    async def gone(self, within_s: float) -> bool:
        """Wait for the end of the process; return whether it came in time."""
        try:
            async with asyncio.timeout(within_s):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    async def signal(self, number: int) -> None:
        """Send a signal to the process and all that it has started."""
        if self.ended is None:
            with contextlib.suppress(OSError):  # The nursery is gone, and all of its workers.
                await self._nursery.send(say.Signal(self.number, number))

    async def kill(self) -> None:
        """End the process, whatever it does."""
        await self.signal(signal.SIGKILL)

    def close(self) -> None:
        self._stream.close()


class Nursery:
    """One process.  `ready`: done when its library is there, or the process is gone; `gone`: set when it has ended."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket, frame_bytes_max: int) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[bool] = loop.create_future()
        self.gone = asyncio.Event()
        self.workers: dict[int, Worker] = {}
        self._process, self._control, self._frame_bytes_max = process, control, frame_bytes_max
        self._numbers = itertools.count(1)
        self._sending = asyncio.Lock()
        loop.add_reader(control, self._hear)

    @classmethod
    async def start(cls, begin: bytes, event_bytes_max: int) -> Nursery:
        """Start the process; it may be given jobs at once, which it begins when it is ready.  Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    # Not from where the minion was started: others may have put a module there.
                    sys.executable, "-P", "-m", MODULE, str(theirs.fileno()), pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        nursery = cls(process, ours, 2 * event_bytes_max)
        try:
            await nursery._tell(begin)
        except BaseException:
            await nursery.close()
            raise
        return nursery

    async def _tell(self, begin: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        # Where it is gone already, its end says so.
        with contextlib.suppress(OSError):
            stdin.write(begin)
            await stdin.drain()
        stdin.close()
        with contextlib.suppress(OSError):
            await stdin.wait_closed()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def run(self) -> Worker:
        """Have a worker forked.  Raises OSError: there is no descriptor left, or no nursery any more."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        worker = Worker(self, next(self._numbers), ours, self._frame_bytes_max)
        self.workers[worker.number] = worker
        with theirs:
            try:
                await self.send(say.Run(worker.number), theirs.fileno())
            except BaseException:
                self.workers.pop(worker.number, None)
                ours.close()
                raise
        return worker

    async def send(self, message: say.ToNursery, *descriptors: int) -> None:
        """Raises OSError: it is gone."""
        data = say.encode(message)
        async with self._sending:
            while not self.gone.is_set():
                try:
                    socket.send_fds(self._control, [data], descriptors)
                    return
                except BlockingIOError:
                    await self._writable()
                except (BrokenPipeError, ConnectionResetError):
                    # It has died, and that is not heard of yet.  Who tries again at once must not find it here again:
                    # without a pause in between nobody would ever hear of it.
                    self._lose()
        raise BrokenPipeError("the nursery is gone")

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable = asyncio.Event()
        loop.add_writer(self._control, writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(self._control)

    def _hear(self) -> None:
        try:
            data = self._control.recv(say.CONTROL_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        match say.decode_from_nursery(data):
            case say.Ready():
                self._be_ready(is_there=True)
            case say.Refused(number, reason):
                self._end(say.Ended(number, None), reason)
            case say.Ended() as ended:
                self._end(ended)

    def _be_ready(self, *, is_there: bool) -> None:
        if not self.ready.done():
            self.ready.set_result(is_there)

    def _end(self, ended: say.Ended, refused: str | None = None) -> None:
        worker = self.workers.pop(ended.number, None)
        if worker is not None:
            worker.end(ended, refused)

    def _lose(self) -> None:
        """The process is gone, and its workers with it: the kernel sees to that."""
        asyncio.get_running_loop().remove_reader(self._control)
        self.gone.set()
        self._be_ready(is_there=False)
        for number in list(self.workers):
            self._end(say.Ended(number, None))

    async def close(self) -> None:
        """End the process and all of its workers; also where this is cancelled meanwhile."""
        ending = asyncio.ensure_future(self._finish())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise

    async def _finish(self) -> None:
        if not self.gone.is_set():
            self._lose()
        # It ends when it reads that nobody is here any more.
        self._control.close()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


BadWorker = (RemoteProtocolError, InvalidData)
"""What `Worker.follow` raises."""
