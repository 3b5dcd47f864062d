"""Holding: one part of a group's work, as one member has it: the lease, where to go on, what is handed out, what is done.

One batch at a time is with whoever handles it, and the next is fetched meanwhile.  Before anything is handed out it is written how
far that may go, so that a member that takes over can say what may have been handed out before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from sylvite.cluster import words
from sylvite.cluster.carried import Forged, Place, decode
from sylvite.cluster.ending import end_all, first_to_end
from sylvite.cluster.incoming import Lost
from sylvite.cluster.leases import Lease, Leases, now_s
from sylvite.cluster.part import NUMBER_MAX, Handed, Part, Position, Received
from sylvite.cluster.positions import Begin, Entry, Positions, part_name
from sylvite.cluster.stream import Fetched, Reader, Stream, say_subject
from sylvite.core.event import Event, Gap
from sylvite.errors import ClusterError, ClusterUnreachable, LeaseLost

AGAIN_S = 0.5
LATE_S = 8.0
"""Something of before that is missing for so long is asked for: what is on its way arrives."""
ASKS = 3
"""So often, and then it is told as lost where the stream keeps it no longer: that master may have gone for ever."""
PASSED_MESSAGES = 4096
"""After so many messages with nothing for us the position is written, though nobody has acknowledged anything."""
logger = logging.getLogger("sylvite.cluster.groups")


class Work(NamedTuple):
    """What all parts of a member share.  `newest`, `places`: where a new group begins.  `known`: the last positions that it has seen.
    `put`: takes what is handed out."""

    group: str
    leases: Leases
    positions: Positions
    stream: Stream
    newest: bool
    places: Mapping[str, Place]
    known: dict[str, Position]
    wants: Callable[[Event], bool]
    put: Callable[[Batch], None]

    async def begin(self) -> Begin:
        """Begin the group, if it has not begun.  Raises ClusterError."""
        return await self.positions.begin(self.group, newest=self.newest, known=self.known, places=self.places)

    async def begin_of(self, node: str) -> tuple[Position, int]:
        """Return where a part begins that has no entry, and what may have been handed out of it.  Raises ClusterError."""
        found = await self.begin()
        if node in self.known:
            return self.known[node], NUMBER_MAX
        return found.positions.get(node) or found.usual, found.offered


class Writing:
    """The entry of a part during one tenure."""

    def __init__(self, work: Work, node: str, lease: Lease, entry: Entry, revision: int) -> None:
        self.entry = entry
        self._work, self._node, self._lease, self._revision = work, node, lease, revision
        self._lock = asyncio.Lock()

    def check(self) -> None:
        """Raises LeaseLost: the tenure is over."""
        if self._lease.fence() != self.entry.fence:
            raise LeaseLost(self._lease.name, "it was lost in between")

    async def write(self, position: Position, offered: int) -> None:
        """Write how far the part is; where the servers do not answer, again, as long as the tenure lasts.

        Raises:
            LeaseLost: it is over.
            ClusterError: the servers refuse.
        """
        async with self._lock:
            entry = msgspec.structs.replace(self.entry, position=position, offered=max(offered, position.number))
            while True:
                self.check()
                try:
                    self._revision = await self._work.positions.write(
                        self._work.group, self._node, entry, self._revision
                    )
                    break
                except ClusterUnreachable:
                    self._work.positions.forget()
                    await asyncio.sleep(AGAIN_S)
            self.entry = entry
            self._work.known[self._node] = position


class Batch:
    """Events of one master, in the order of its log.

    `node`: that master.  `redelivered`: somebody may have been handed them out before, and has not acknowledged them.  `lost`:
    what the stream did not keep for us, before these events.  `gaps`: events whose data cannot be decoded.
    """

    def __init__(self, node: str, handed: Handed, feed: _Feed, writing: Writing) -> None:
        self.node = node
        self.events: Sequence[Received] = handed.events
        self.redelivered = handed.redelivered
        self.lost: Sequence[Lost] = handed.lost
        self.gaps: Sequence[Gap] = handed.gaps
        self.is_taken = self.is_acknowledged = False
        self.settled = asyncio.Event()
        self._handed, self._feed, self._writing = handed, feed, writing

    def take(self) -> bool:
        """Say whether it may be handled: it is with whoever asks, from now on."""
        try:
            self._writing.check()
        except LeaseLost:
            self.settled.set()
            return False
        self.is_taken = True
        return True

    def check(self) -> None:
        """Raises LeaseLost: another member has the part by now, and is handed this again."""
        self._writing.check()

    async def acknowledge(self, event: Received | None = None) -> None:
        """All of it is done, or all up to one of its events: no member gets that any more.

        Raises:
            LeaseLost: another member has the part by now, and is handed this again.
            ClusterError: the servers refuse.
        """
        if self.is_acknowledged:
            return
        is_all = event is None or event is self.events[-1]
        position = self._handed.position if event is None or is_all else self._handed.behind(event)
        self._feed.gather()
        try:
            await self._writing.write(position, self._feed.part.number)
        except BaseException:
            self.settled.set()
            raise
        if is_all:
            self.is_acknowledged = True
            self.settled.set()


class _Feed:
    """Brings messages from the stream into a part; the next ones while those before are handled."""

    def __init__(self, stream: Stream, node: str, part: Part) -> None:
        self.part = part
        self._node = node
        self._reader = Reader(stream, node)
        self._fetching: asyncio.Task[Sequence[Fetched]] | None = None

    async def open(self) -> None:
        """Raises ClusterError."""
        await self._reader.open(self.part.number + 1)

    def start(self) -> None:
        """Begin to fetch.  It is not broken off but at the end: what was on its way would be lost."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._reader.fetch(), name=f"group: {self._node}")

    def gather(self) -> None:
        """Take what has come by now; what was wrong is said by `more`."""
        fetching = self._fetching
        if fetching is not None and fetching.done() and not fetching.cancelled() and fetching.exception() is None:
            self._take(fetching.result())

    async def more(self) -> None:
        """Wait until more has come, for a second or so.  Raises ClusterError: the stream has to be opened again."""
        self.start()
        assert self._fetching is not None
        self._take(await asyncio.shield(self._fetching))

    def _take(self, fetched: Sequence[Fetched]) -> None:
        self._fetching = None
        for each in fetched:
            try:
                carried = decode(each.node, each.data)
            except Forged as error:
                logger.error("message %d of the stream is passed over: %s", each.number, error)
            else:
                self.part.take(each.number, carried, now_s())

    async def close(self) -> None:
        if self._fetching is not None:
            await end_all([self._fetching])
        await self._reader.close()


class Holding:
    """A part that we want.  `leaving`: it is to be given back, when what is handed out is done; `closing`: at once."""

    def __init__(self, work: Work, node: str) -> None:
        self.leaving, self.closing = asyncio.Event(), asyncio.Event()
        self._work, self._node = work, node
        self._name = f"group {work.group}: {node}"
        self._asked = 0
        """How often we have asked for what is missing since something came."""

    async def run(self) -> None:
        """Hand out events while we have the lease, until we leave."""
        told = ""
        async with self._work.leases.hold(part_name(self._work.group, self._node)) as lease:
            while not self.leaving.is_set():
                try:
                    await first_to_end(lease.held(), self.leaving.wait(), name=self._name)
                    if not self.leaving.is_set():
                        await self._serve(lease)
                    told = ""
                except ClusterError as error:
                    if str(error) != told:
                        logger.warning("group %s: %s", self._work.group, error)
                    told = str(error)
                    self._work.positions.forget()
                    await first_to_end(asyncio.sleep(AGAIN_S), self.leaving.wait(), name=self._name)

    async def _serve(self, lease: Lease) -> None:
        """Raises ClusterError: everything has to be looked at anew."""
        work, node = self._work, self._node
        begin, offered = await work.begin_of(node)
        entry, revision = await work.positions.claim(work.group, node, lease.fence(), begin, offered)
        work.known[node] = entry.position
        state, gives_up = await work.stream.open(), self._asked >= ASKS
        part = Part(node, entry.position, entry.offered, state, work.wants, gives_up=gives_up)
        feed = _Feed(work.stream, node, part)
        try:
            await feed.open()
            await self._hand_out(lease, feed, Writing(work, node, lease, entry, revision))
        finally:
            await feed.close()

    async def _hand_out(self, lease: Lease, feed: _Feed, writing: Writing) -> None:
        done = writing.entry.position
        while not self.leaving.is_set():
            writing.check()
            handed = feed.part.hand_out()
            if handed is None:
                await first_to_end(feed.more(), self.leaving.wait(), name=self._name)
                if feed.part.hole is not None and now_s() - feed.part.hole.since_s > LATE_S:
                    await self._ask_again(feed.part.hole.offset)
                continue
            self._asked = 0
            if not handed.is_empty:
                if handed.position.number > writing.entry.offered:
                    await writing.write(done, feed.part.number)
                batch = Batch(self._node, handed, feed, writing)
                self._work.put(batch)
                feed.start()
                await first_to_end(batch.settled.wait(), lease.lost(), self.closing.wait(), name=self._name)
                if not batch.is_acknowledged:
                    if self.closing.is_set() and not batch.is_taken:
                        break
                    return
            done = handed.position
            if done.number - writing.entry.position.number > PASSED_MESSAGES:
                await writing.write(done, feed.part.number)
        await writing.write(done, done.number)

    async def _ask_again(self, offset: int) -> None:
        """Have a master send its log again from an offset on, as one that lacks something of it does.

        Raises:
            ClusterError: the stream is to be looked at anew, too: what is missing may be too old for it by now.
        """
        connection, settings = self._work.stream.connection, self._work.stream.settings
        with connection.asking("speaking to other masters"):
            word = words.encode(words.Again(self._node, offset))
            await connection.nats.publish(say_subject(settings, settings.node), word)
        self._asked += 1
        raise ClusterError(f"of {self._node} something is missing from @{offset} on; it is asked for")
