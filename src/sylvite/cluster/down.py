"""Down: what other masters have in the stream, on its way into this one's log: once, in the order of the stream."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

import msgspec

from sylvite.client.async_client import AsyncClient
from sylvite.client.batches import Brought
from sylvite.cluster.carried import Carried, Forged, decode
from sylvite.cluster.incoming import Incoming, Verdict
from sylvite.cluster.stream import Fetched, Reader, Stream, StreamState
from sylvite.cluster.telling import Telling
from sylvite.core.batch import Batch, Passage
from sylvite.errors import AckUnknown, ConnectionLost, StaleSequence, SylviteError
from sylvite.eventlog.origins import Mark, Reached
from sylvite.eventlog.sources import comes_in_order

AGAIN_S = 0.5
PASSING = ("no_space", "overloaded", "shutting_down", "log_error", "log_failed")
"""Codes of errors of the broker after which the same may be taken later."""
logger = logging.getLogger("sylvite.cluster")


class Down:
    """`incoming`: what is here of whom.  `state`: the stream as it was found; `number`: of the last message that was handled.

    `idle_since_s`: since when there is nothing more in the stream, by the monotonic clock; None: there is.
    """

    def __init__(self, bus: AsyncClient, stream: Stream, telling: Telling) -> None:
        self.incoming = Incoming(stream.node)
        self.state = StreamState(0, 0, 0)
        self.number = 0
        self.idle_since_s: float | None = None
        self.taken = self.again = self.refused = 0
        self._bus, self._stream, self._telling = bus, stream, telling

    async def run(self) -> None:
        """Bring until it is cancelled, or the stream has to be opened anew.

        Raises:
            ClusterError: the servers refuse, or do not answer any more.
            SylviteError: the bus refuses.
        """
        reached = msgspec.convert(await self._bus.ask("origins"), _Origins)
        self.incoming = Incoming(self._stream.node, (Mark(*mark) for mark in reached.marks))
        self.state = await self._stream.open()
        self.number = self._begin_behind(Reached([], reached.stream, reached.number))
        reader = Reader(self._stream)
        try:
            await reader.open(self.number + 1)
            while True:
                fetched = await reader.fetch()
                if fetched:
                    self.idle_since_s = None
                    await self._store(fetched)
                    self.number = fetched[-1].number
                elif self.idle_since_s is None:
                    self.idle_since_s = time.monotonic()
        finally:
            await reader.close()

    def _begin_behind(self, reached: Reached) -> int:
        """Return the number of the message behind which to begin."""
        if reached.stream != self.state.id:
            # Another stream: what is here already is known by its place.
            if self.state.first > 1:
                self.incoming.stream_has_lost()
            return 0
        if reached.number > self.state.last:
            self._telling.tell("rolled_back", had=reached.number, has=self.state.last)
            return 0
        if self.state.first > reached.number + 1:
            self.incoming.stream_has_lost()
        return reached.number

    async def _store(self, fetched: Sequence[Fetched]) -> None:
        brought: list[Brought] = []
        for each in fetched:
            try:
                carried = decode(each.node, each.data)
            except Forged as error:
                self.refused += 1
                self._telling.tell("refused", each.node, node=each.node, number=each.number, reason=str(error))
                continue
            if self._is_wanted(carried, is_old=each.number <= self.state.last):
                brought.append(brought_of(carried, self.state.id, each.number))
        for lost in self.incoming.lost:
            self._telling.tell("gap", lost.node, node=lost.node, first=lost.first, next=lost.next, count=lost.count)
        self.incoming.lost.clear()
        await self._bring(brought)
        self.taken += len(brought)

    def _is_wanted(self, carried: Carried, *, is_old: bool) -> bool:
        verdict = self.incoming.judge(carried, time.monotonic(), is_old=is_old)
        if verdict is Verdict.TAKE:
            self.incoming.took(carried)
            return True
        if verdict is Verdict.AGAIN:
            self.again += 1
        return False

    async def _bring(self, brought: list[Brought]) -> None:
        """Return once all of it is stored.  What was refused for now is brought again, with all behind it."""
        while brought:
            try:
                answers = await self._bus.relay_all(brought)
            except ConnectionLost as error:
                answers: list[SylviteError | None] = [AckUnknown(str(error))]
            again = next((number for number, error in enumerate(answers) if _may_pass(error)), None)
            for each, error in zip(brought[:again], answers, strict=False):
                if error is not None and not isinstance(error, StaleSequence):
                    self.refused += 1
                    node = each.sender.rpartition("@")[2]
                    self._telling.tell("refused", node, node=node, reason=str(error))
            if again is None:
                return
            brought = brought[again:]
            await asyncio.sleep(AGAIN_S)


class _Origins(msgspec.Struct):
    """What the broker answers."""

    stream: int
    number: int
    marks: list[tuple[str, int, int]]


def _may_pass(error: SylviteError | None) -> bool:
    return isinstance(error, AckUnknown) or (error is not None and error.code in PASSING)


def brought_of(carried: Carried, stream: int, number: int) -> Brought:
    batch = carried.batch
    first, next_ = _stretch(batch)
    passage = Passage(first, next_, batch.epoch, batch.next, batch.stamp_ns, stream, number)
    sender = f"{batch.sender}@{carried.node}"
    return Brought(sender, batch.source_epoch, batch.source_seq, batch.block, batch.count, passage)


def _stretch(batch: Batch) -> tuple[int, int]:
    if batch.passage is not None and batch.passage.next:
        return batch.passage.first, batch.passage.next
    if comes_in_order(batch.sender):
        return batch.source_seq, batch.source_seq + batch.count
    return 0, 0
