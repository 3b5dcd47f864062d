"""Up: this master's log, on its way into the stream.  A durable cursor moves on once the stream has what is before it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

from sylvite.client.async_client import AsyncClient
from sylvite.client.batches import AsyncBatches
from sylvite.cluster.carried import NOWHERE, Place
from sylvite.cluster.ending import end_all
from sylvite.cluster.outgoing import Message, Outgoing, Waiting, is_own
from sylvite.cluster.stream import Confirmed, Stream, Writer
from sylvite.core.batch import Batch
from sylvite.core.event import Gap
from sylvite.errors import ClusterError, ClusterUnreachable, ConnectionLost, WaitTimeout
from sylvite.wire.messages import Progress

CURSOR = "cluster"
ANSWER_S = (5.0, 20.0)
"""Where the oldest message is not confirmed for so long, it is sent again, with all behind it; then after twice as long."""
PAUSE_S = (0.1, 2.0)
LOOK_S = 10.0
LOOK_BACK = 1024
"""So many events are looked at first for the last one of our own; then sixteen times as many."""
RESEED_S = 5.0
"""At least so long a time lies between two beginnings from further back."""
logger = logging.getLogger("sylvite.cluster")


def _new_run() -> int:
    return int.from_bytes(os.urandom(8), "little")


class Up:
    """`until`: everything in the log below this offset is in the stream, or not for it; `place`: of our last message there."""

    def __init__(self, bus: AsyncClient, stream: Stream, since: int | None = None) -> None:
        """`since`: where in the log to begin anew, instead of at the cursor."""
        self.until = 0
        self.place = NOWHERE
        self.confirmed_s = 0.0
        """When the stream has confirmed something last, by the monotonic clock; 0: nothing yet."""
        self._bus, self._stream = bus, stream
        self._out = Outgoing(stream.node, NOWHERE, 0, _new_run())
        self._waiting = Waiting(*ANSWER_S)
        self._lock = asyncio.Lock()
        self._room = asyncio.Event()
        self._since, self._is_anew = since, since is not None
        self._began_s = 0.0
        self._reseed = asyncio.Event()

    async def run(self) -> None:
        """Send until it is cancelled.

        Raises:
            ClusterError: the servers refuse; or this log is not the one that it was.
            SylviteError: the bus refuses.
        """
        while True:
            self._reseed.clear()
            since, self._since = self._since, None
            is_anew, self._is_anew = self._is_anew, False
            batches = await self._bus.read_batches(CURSOR, since=since)
            try:
                before = NOWHERE if is_anew else await self._last_before(batches.start)
                self._out = Outgoing(self._stream.node, before, batches.start, _new_run())
                self._waiting = Waiting(*ANSWER_S)
                if since is not None:
                    self._began_s = time.monotonic()
                self._note()
                async with Writer(self._stream) as writer:
                    await self._until_reseed(writer, batches)
            finally:
                batches.close()  # Else the cursor stays with us, and the next session does not get it.

    def reseed(self, offset: int, *, is_anew: bool = False) -> bool:
        """Send again what the log has from an offset on, in place of going on; return whether that is begun.

        It is not where it is on its way already, or has only just been.  `is_anew`: nothing of before is to be had.
        """
        is_coming = offset >= self._out.until
        if is_coming or self._reseed.is_set() or time.monotonic() - self._began_s < RESEED_S:
            return False
        self._since, self._is_anew = offset, is_anew
        self._reseed.set()
        return True

    def say(self) -> None:
        """Tell the broker how far the stream has its log."""
        try:
            self._bus.say_replicated(self._bus.welcome.epoch, self.until)
        except ConnectionLost:
            pass  # It is said again, and the broker that comes next knows nothing of this one's publishers.

    async def _last_before(self, offset: int) -> Place:
        """Return the place of the last batch of ours before an offset: what the stream has of us there."""
        oldest, many = int((await self._bus.ask("log"))["oldest"]), LOOK_BACK
        place, end = NOWHERE, offset
        while place == NOWHERE and end > oldest:
            begin = max(oldest, offset - many)
            batches = await self._bus.read_batches(since=begin)
            try:
                while not isinstance(item := await batches.next(LOOK_S), Progress):
                    if item is None:
                        raise WaitTimeout("the broker has not told in time what came before")
                    if isinstance(item, Batch) and item.base < end and is_own(item):
                        place = Place(item.epoch, item.next)
                    if (item.next if isinstance(item, Gap) else item.last + 1) >= end:
                        break
            finally:
                batches.close()
            end, many = begin, 16 * many
        return place

    async def _until_reseed(self, writer: Writer, batches: AsyncBatches) -> None:
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._pump(writer, batches), name="cluster: up"),
            asyncio.create_task(self._hear(writer, batches), name="cluster: answers"),
            asyncio.create_task(self._reseed.wait(), name="cluster: reseed"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end_all(tasks)

    async def _pump(self, writer: Writer, batches: AsyncBatches) -> None:
        out = self._out
        while True:
            while not out.has_room():
                self._room.clear()
                await self._room.wait()
            item = await batches.next()
            async with self._lock:
                match item:
                    case Batch():
                        if (message := out.take(item)) is not None:
                            self._waiting.sent(time.monotonic())
                            await self._try(writer, [message])
                    case Gap(reason="reset"):
                        raise ClusterError("this master's log is not the one that it was")
                    case Gap():
                        out.miss(item.next)
                    case None:
                        pass
                    case _:
                        out.skip(item.offset)
            self._moved(batches)

    async def _try(self, writer: Writer, messages: list[Message]) -> bool:
        """Send; what does not leave is found missing, and sent again."""
        try:
            for message in messages:
                await writer.send(message)
        except ClusterUnreachable:
            return False
        return True

    async def _hear(self, writer: Writer, batches: AsyncBatches) -> None:
        out, pause_s = self._out, PAUSE_S[0]
        while True:
            answer = await self._next_answer(writer)
            if answer is not None and not answer.error and out.confirm(answer.number):
                pause_s = PAUSE_S[0]
                self._waiting.moved(time.monotonic(), is_empty=out.is_empty)
                self.confirmed_s = time.monotonic()
                self._moved(batches)
            reason = answer.error if answer is not None and out.is_of_run(answer.number) else ""
            # What answers there are is heard first: who could not hear them has no reason to complain.
            if not reason and writer.answers.empty() and self._waiting.is_late(time.monotonic()):
                reason = "it is not confirmed in time"
            if reason:
                async with self._lock:
                    logger.warning("from @%d on this log is sent again: %s", out.until, reason)
                    await asyncio.sleep(pause_s)
                    self._waiting.again(time.monotonic())
                    await self._try(writer, out.again(_new_run()))
                pause_s = min(2 * pause_s, PAUSE_S[1])

    async def _next_answer(self, writer: Writer) -> Confirmed | None:
        """Return the next answer; None where none comes until the oldest message is late, or ANSWER_S."""
        left_s = self._waiting.left_s(time.monotonic())
        try:
            async with asyncio.timeout(ANSWER_S[0] if left_s is None else left_s):
                return await writer.answers.get()
        except TimeoutError:
            return None

    def _moved(self, batches: AsyncBatches) -> None:
        if self._out.has_room():
            self._room.set()
        if self._out.until > self.until:
            self._note()
            batches.advance(self.until)
            self.say()

    def _note(self) -> None:
        self.until, self.place = self._out.until, self._out.place
