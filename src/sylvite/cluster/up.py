"""Up: this master's log, on its way into the stream.  A durable cursor moves on once the stream has what is before it."""

from __future__ import annotations

import asyncio
import logging
import os
import time

from sylvite.client.async_client import AsyncClient
from sylvite.client.batches import AsyncBatches
from sylvite.cluster.carried import NOWHERE, Forged, Place, decode
from sylvite.cluster.ending import first_to_end
from sylvite.cluster.outgoing import Message, Outgoing, Waiting, is_own
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.stream import Confirmed, Stream, Writer
from sylvite.cluster.telling import Telling
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
CERTAIN_S = 2.0
"""What the stream seems to have lost is looked at again after that: who leads it since a moment ago may not know all yet."""
RESEED_S = 5.0
"""At least so long a time lies between two beginnings from further back."""
logger = logging.getLogger("sylvite.cluster")


def _new_run() -> int:
    return int.from_bytes(os.urandom(8), "little")


class Up:
    """`until`: everything in the log below this offset is in the stream, or not for it; `place`: of our last message there."""

    def __init__(self, bus: AsyncClient, stream: Stream, telling: Telling, since: int | None = None) -> None:
        """`since`: where in the log to begin anew, instead of at the cursor."""
        self.until = 0
        self.place = NOWHERE
        self.confirmed_s = 0.0
        """When the stream has confirmed something last, by the monotonic clock; 0: nothing yet."""
        self._bus, self._stream, self._telling = bus, stream, telling
        self._out = Outgoing(stream.node, NOWHERE, 0, _new_run())
        self._waiting = Waiting(*ANSWER_S)
        self._lock = asyncio.Lock()
        self._room = asyncio.Event()
        self._since, self._is_anew = since, since is not None
        self._is_compared = False
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
                before, stamp_ns = (NOWHERE, 0) if is_anew else await self._last_before(batches.start)
                if not self._is_compared and await self._find_lost(before, stamp_ns):
                    continue
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

    async def _find_lost(self, before: Place, stamp_ns: int) -> bool:
        """Say whether the stream has lost what it had of us, and begin there then.

        It is looked at before anything is sent: the last message there would be a new one, and hide what is missing.
        """
        self._is_compared = True
        if before == NOWHERE or await self._lost_from(before, stamp_ns) is None:
            return False
        await asyncio.sleep(CERTAIN_S)
        if (offset := await self._lost_from(before, stamp_ns)) is None:
            return False
        first = max(offset, await first_to_send(self._bus, self._stream.settings))
        self._since, self._is_anew = first, first > offset
        reason = "the stream ends before what it had"
        self._telling.tell("reseeded", node=self._stream.node, first=first, reason=reason)
        return True

    async def _lost_from(self, before: Place, stamp_ns: int) -> int | None:
        """Return from where on the stream lacks something of what is before `before`; None where it has it all."""
        if (last := await self._stream.last_of_ours()) is None:
            return 0 if await self._has_lost_all(stamp_ns) else None
        try:
            found = decode(self._stream.node, last).place
        except Forged:
            return None  # The audit tells of it.
        if found.until >= before.until:
            return None
        return found.until if found.epoch == before.epoch else 0

    async def _has_lost_all(self, stamp_ns: int) -> bool:
        """Say whether it is not for their age that no message of ours is in the stream; `stamp_ns`: of the last one."""
        state, kept_s = await self._stream.state(), self._stream.settings.keep_s
        if state is None or (state.first > 1 and state.last >= state.first):
            return False  # Of those that are there the first ones have gone: there was no more room.
        return state.first <= 1 or kept_s is None or time.time_ns() - stamp_ns < kept_s * 1e9 / 2

    async def _last_before(self, offset: int) -> tuple[Place, int]:
        """Return the place and the stamp of the last batch of ours before an offset: what the stream has of us there."""
        oldest, many = int((await self._bus.ask("log"))["oldest"]), LOOK_BACK
        place, stamp_ns, end = NOWHERE, 0, offset
        while place == NOWHERE and end > oldest:
            begin = max(oldest, offset - many)
            batches = await self._bus.read_batches(since=begin)
            try:
                while not isinstance(item := await batches.next(LOOK_S), Progress):
                    if item is None:
                        raise WaitTimeout("the broker has not told in time what came before")
                    if isinstance(item, Batch) and item.base < end and is_own(item):
                        place, stamp_ns = Place(item.epoch, item.next), item.stamp_ns
                    if (item.next if isinstance(item, Gap) else item.last + 1) >= end:
                        break
            finally:
                batches.close()
            end, many = begin, 16 * many
        return place, stamp_ns

    async def _until_reseed(self, writer: Writer, batches: AsyncBatches) -> None:
        await first_to_end(
            self._pump(writer, batches), self._hear(writer, batches), self._reseed.wait(), name="cluster: up"
        )

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


async def first_to_send(bus: AsyncClient, settings: ClusterSettings) -> int:
    """Return where in the log about as much begins as a stream keeps that has nothing."""
    log = await bus.ask("log")
    oldest, end, many = int(log["oldest"]), int(log["end"]), int(log["bytes"])
    if settings.keep_bytes is None or many <= settings.keep_bytes:
        return oldest
    return max(oldest, end - (end - oldest) * settings.keep_bytes // many)
