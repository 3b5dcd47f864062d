"""Intake: blocks on their way into the log, from the check when they arrive to the answer that their publisher gets."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from sylvite.auth.peer import Peer
from sylvite.auth.policy import OWN_PREFIX, Policy
from sylvite.broker.replication import Replication
from sylvite.broker.settings import Limits
from sylvite.core.batch import Batch, Passage
from sylvite.core.block import EMPTY_BLOCK, BlockBuilder, check_published
from sylvite.core.event import pack_data
from sylvite.core.level import BY_POLICY, Level
from sylvite.core.tag import check_tag
from sylvite.errors import (
    AckUnknown,
    DiskFull,
    DurabilityUnknown,
    EventLogError,
    InvalidInput,
    InvalidSetting,
    LogFailed,
    NotAllowed,
    StaleSequence,
    SylviteError,
)
from sylvite.eventlog.eventlog import EventLog, NewBatch
from sylvite.eventlog.origins import split_sender
from sylvite.eventlog.sources import comes_in_order
from sylvite.wire.messages import Ack, Publish, Relay

if TYPE_CHECKING:
    from sylvite.broker.connection import Connection

OWN_EVENTS_MAX = 1000
RELAYED_SENDER = re.compile(r"(api|hook|minion|salt):[\x21-\x7e]{1,240}")
"""Nobody whom the broker names itself: `uid:…` and `broker` come from the socket."""
SENDER_OF_MASTER = re.compile(r"[\x21-\x7e]{1,255}@[A-Za-z0-9._-]{1,128}")
"""Somebody, as another master has named him."""
KNOWN_TAGS_MAX = 65_536
_LEVELS = {int(level): level for level in Level}


class Counters(msgspec.Struct):
    """What has happened since the start.  `sync_us`: microseconds that the syncs have taken, all together."""

    published: int = 0
    duplicates: int = 0
    refused: int = 0
    batches: int = 0
    syncs: int = 0
    sync_us: int = 0
    sync_failures: int = 0
    protocol_errors: int = 0
    connections: int = 0
    own_dropped: int = 0


class Incoming(msgspec.Struct, frozen=True):
    """A block that waits for the next flush.  `ref`: what its publisher hears the answer by."""

    connection: Connection
    batch: NewBatch
    level: Level
    ref: int


class Intake:
    """`wanted` is called when there is something to append; `failed` when the disk has failed for good."""

    def __init__(
        self,
        log: EventLog,
        limits: Limits,
        counters: Counters,
        wanted: Callable[[], None],
        failed: Callable[[SylviteError], None],
        replication: Replication,
    ) -> None:
        self._log, self._limits, self._counters = log, limits, counters
        self._replication = replication
        self._wanted, self._failed = wanted, failed
        self._incoming: list[Incoming] = []
        self._own = BlockBuilder()
        self._own_seq = 0
        self._waiting: deque[tuple[int, Connection, Ack]] = deque()
        self._held: dict[Connection, None] = {}
        self._known_tags: set[str] = set()
        self._refusals: dict[tuple[str, str], list[Any]] = {}
        self._full: dict[str, int] | None = None
        self._held_back: dict[tuple[str, int], tuple[int, SylviteError]] = {}
        """Of what comes in its order (see `_order_of`): the place of the first block that was not written, and why."""

    @property
    def has_work(self) -> bool:
        return bool(self._incoming or len(self._own))

    @property
    def is_awaited(self) -> bool:
        """Say whether a publisher waits for the disk."""
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        """Say whether the disk took nothing at the last attempt."""
        return self._full is not None

    # -- What arrives ----------------------------------------------------------------------------------------------

    def take(self, connection: Connection, message: Publish | Relay, policy: Policy) -> None:
        """Check a block and keep it for the next flush.

        Raises:
            SylviteError: refused; nothing of it will be in the log.
        """
        passage: Passage | None = None
        if isinstance(message, Relay):
            origin, passage = _relayed_origin(connection.peer, message), message.passage
        else:
            origin = connection.peer.name, connection.source_epoch, message.seq
        is_from_master = passage is not None and passage.is_from_master
        columns = check_published(message.block, 0, self._limits.event_bytes)
        access, known = connection.access, self._known_tags
        assert access is not None
        level = least = Level.NONE
        for tag in columns.tags:
            if tag not in known:
                check_tag(tag)
                if len(known) >= KNOWN_TAGS_MAX:
                    known.clear()
                known.add(tag)
            # What another master's broker says of itself is its to say.
            if not is_from_master and not access.may_publish(tag):
                self._note_refusal(connection.peer, tag)
                raise NotAllowed(f"{connection.peer.name} may not publish {tag!r}")
            of_tag, least_of_tag = policy.levels(tag)
            if of_tag > level:
                level = of_tag
            if least_of_tag > least:
                least = least_of_tag
        if message.level != BY_POLICY:
            level = _asked_level(message.level, least)
        elif level is Level.NONE:
            level = Level.WRITTEN  # Who names no level waits for an answer.
        if level is Level.REPLICATED and not self._replication.is_there:
            raise InvalidSetting("level", "replicated", "needs a cluster; this broker is alone. Use synced")
        batch = NewBatch(message.block, len(columns.sizes), *origin, columns.tags, passage)
        self._incoming.append(Incoming(connection, batch, level, message.ref))
        self._wanted()

    def publish_own(self, tag: str, data: dict[str, Any]) -> None:
        """Publish an event of the broker's own, below `sylvite/`; while the disk is full, only so many wait."""
        if len(self._own) >= OWN_EVENTS_MAX:
            self._counters.own_dropped += 1
            return
        self._own.add(OWN_PREFIX + tag, pack_data(data))
        self._wanted()

    def _note_refusal(self, peer: Peer, tag: str) -> None:
        self._counters.refused += 1
        known = self._refusals.setdefault((peer.name, "publish"), [0, tag])
        known[0] += 1

    def report_refusals(self) -> None:
        """Publish what was refused since the last call: one event for each sender."""
        refusals, self._refusals = self._refusals, {}
        for (sender, what), (count, tag) in refusals.items():
            self.publish_own("refused", {"sender": sender, "what": what, "count": count, "first_tag": tag})

    # -- Into the log ----------------------------------------------------------------------------------------------

    def append(self, now_ns: int) -> list[Batch]:
        """Write what has arrived, answer who waits for no more than that, and return what was written."""
        incoming, self._incoming = self._incoming, []
        new: list[Incoming] = []
        repeated: list[Incoming] = []
        taken: set[_Name] = set()
        for entry in incoming:
            batch = entry.batch
            if self._held_back and self._waits_for_another(entry):
                continue
            names = _names_of(batch)
            if not taken.isdisjoint(names) or not self._is_new(batch):
                # Taken already, maybe by an entry of this very flush: looked at again once that one is written.
                repeated.append(entry)
                continue
            taken.update(names)
            new.append(entry)
        batches = [entry.batch for entry in new]
        own = self._own_batch()
        if own is not None:
            batches.append(own)
        written: list[Batch] = []
        try:
            if batches:
                written = self._log.append(batches, now_ns)
        except EventLogError as error:
            self._not_written(new, error, now_ns)
        else:
            if own is not None:
                self._own, self._own_seq = BlockBuilder(), self._own_seq + own.count
            self._answer_written(new, written, now_ns)
        for entry in repeated:
            self._answer_repeated(entry)
        return written

    def _is_new(self, batch: NewBatch) -> bool:
        return self._log.sources.is_new(
            batch.sender, batch.source_epoch, batch.source_seq, batch.count, batch.passage
        )  # fmt: skip

    def _own_batch(self) -> NewBatch | None:
        """Return the broker's own events.  They stay in their builder until they are written."""
        if not len(self._own):
            return None
        block, count = self._own.peek()
        return NewBatch(block, count, "broker", self._log.epoch, self._own_seq)

    def _not_written(self, new: list[Incoming], error: EventLogError, now_ns: int) -> None:
        answer: SylviteError = error
        refused = sum(entry.batch.count for entry in new)
        self._counters.refused += refused
        if isinstance(error, DiskFull):
            if self._full is None:
                self._full = {"since_ns": now_ns, "refused": 0}
            self._full["refused"] += refused
        elif isinstance(error, LogFailed):
            self._failed(error)
            # What a write has left half-way may be whole, and what is said again may have been in such a write.
            answer = AckUnknown(f"{error}; publishing them again is safe")
        for entry in new:
            if (order := _order_of(entry)) is not None:
                source, place = order
                self._held_back.setdefault(source, (place, answer))
            entry.connection.refuse("publish", entry.ref, answer)

    def _waits_for_another(self, entry: Incoming) -> bool:
        """Refuse a block where an earlier one of its source, which comes in its order, was not written."""
        if (order := _order_of(entry)) is None or (held := self._held_back.get(order[0])) is None:
            return False
        source, place = order
        first, error = held
        if place > first:
            self._counters.refused += entry.batch.count
            entry.connection.refuse("publish", entry.ref, error)
            return True
        del self._held_back[source]  # It is tried again; where that fails, it is held back again.
        return False

    def _answer_written(self, new: list[Incoming], written: list[Batch], now_ns: int) -> None:
        counters, end = self._counters, self._log.end
        if self._full is not None and new:
            full, self._full = self._full, None
            self.publish_own("log/full", {**full, "until_ns": now_ns})
        counters.batches += len(written)
        for entry, batch in zip(new, written, strict=False):  # Behind those of `new` stand the broker's own.
            counters.published += batch.count
            if entry.level is Level.NONE:
                continue
            ack = Ack(entry.ref, batch.count, batch.base, batch.epoch, entry.level)
            if entry.level is Level.WRITTEN:
                entry.connection.send(ack)
            else:
                self._waiting.append((end, entry.connection, ack))
        if self._log.unsynced_bytes > self._limits.unsynced_bytes:
            for connection in dict.fromkeys(entry.connection for entry in new):
                if connection not in self._held:
                    self._held[connection] = None
                    connection.hold("disk")

    def _answer_repeated(self, entry: Incoming) -> None:
        """Answer a block that is in the log already as it was answered first."""
        batch, connection, sources = entry.batch, entry.connection, self._log.sources
        taken = sources.find(batch.sender, batch.source_epoch, batch.source_seq, batch.count, batch.passage)
        if taken is None:
            if self._is_new(batch):
                # The first of two equal blocks of one flush was refused: the second is tried on its own.
                self._incoming.append(entry)
                self._wanted()
                return
            if (passed := self._passed(batch)) is not None:
                self._incoming.append(msgspec.structs.replace(entry, batch=passed))
                self._wanted()
                return
            error = StaleSequence(
                f"seq {batch.source_seq} of this publisher is too old to tell whether it is in the log; read the log to find out"
            )
            connection.refuse("publish", entry.ref, error)
            return
        self._counters.duplicates += 1
        if entry.level is Level.NONE:
            return
        ack = Ack(entry.ref, batch.count, taken.base, taken.epoch, entry.level)
        is_synced = taken.next <= self._log.synced
        if is_synced and entry.level is Level.REPLICATED:
            self._replication.wait(taken.next, connection, ack)
        elif is_synced or entry.level is Level.WRITTEN:
            connection.send(ack)
        else:
            self._waiting.append((self._log.end, connection, ack))

    def _passed(self, batch: NewBatch) -> NewBatch | None:
        """Return what is to be written of a block that a minion has brought here as well: that its place was passed."""
        passage = batch.passage
        if passage is None or not passage.is_from_master:
            return None
        _, node = split_sender(batch.sender)
        if passage.until <= self._log.sources.origins.until(node, passage.epoch):
            return None
        return NewBatch(EMPTY_BLOCK, 0, f"@{node}", 0, 0, [], passage)

    # -- When the disk has answered --------------------------------------------------------------------------------

    def answer_synced(self) -> None:
        """Answer who waits for what is synced by now, and listen again to publishers that were ahead of the disk."""
        waiting, synced = self._waiting, self._log.synced
        while waiting and waiting[0][0] <= synced:
            _, connection, ack = waiting.popleft()
            if ack.level == Level.REPLICATED:
                self._replication.wait(ack.base + ack.count, connection, ack)
            else:
                connection.send(ack)
        if self._held and self._log.unsynced_bytes < self._limits.unsynced_bytes // 2:
            held, self._held = self._held, {}
            for connection in held:
                connection.release("disk")

    def answer_unknown(self, error: Exception, end: int | None = None) -> None:
        """Answer everybody who waits for the disk (up to offset `end`) that nothing is known."""
        reason = DurabilityUnknown(
            f"the disk did not confirm that the events survive a power cut ({error}); they are written, and publishing "
            "them again is safe"
        )
        waiting, self._waiting = self._waiting, deque()
        for at, connection, ack in waiting:
            if end is not None and at > end:
                self._waiting.append((at, connection, ack))
            else:
                connection.refuse("publish", ack.seq, reason)

    def forget(self, connection: Connection) -> None:
        """A connection is gone.  What it published is still written."""
        self._held.pop(connection, None)


def _relayed_origin(peer: Peer, message: Relay) -> tuple[str, int, int]:
    """Raises NotAllowed, InvalidInput: the peer is not the broker's user; the sender is none that may be relayed."""
    if not peer.is_owner:
        raise NotAllowed("only the user that runs the broker brings events of others")
    if message.passage is not None and message.passage.is_from_master:
        if not SENDER_OF_MASTER.fullmatch(message.sender):
            raise InvalidInput(f"{message.sender!r} is no sender of another master: uid:0@mars, for one")
    elif not RELAYED_SENDER.fullmatch(message.sender):
        raise InvalidInput(f"{message.sender!r} is no sender that may be relayed: minion:ID, for one")
    return message.sender, message.source_epoch, message.seq


_Name = tuple[str, int, int]


def _names_of(batch: NewBatch) -> list[_Name]:
    """Return what a block may be known by: that of another master by its place there, and a minion's by its own seq."""
    if batch.passage is None or not batch.passage.is_from_master:
        return [(batch.sender, batch.source_epoch, batch.source_seq)]
    sender, node = split_sender(batch.sender)
    names = [("@" + node, batch.passage.epoch, batch.passage.until)]
    if comes_in_order(sender):
        names.append((sender, batch.source_epoch, batch.source_seq))
    return names


def _order_of(entry: Incoming) -> tuple[tuple[str, int], int] | None:
    """Return which order a block belongs to, and its place there; None for one that belongs to none."""
    batch = entry.batch
    if batch.passage is not None and batch.passage.is_from_master:
        return ("@", entry.connection.source_epoch), batch.passage.number
    if comes_in_order(batch.sender):
        return (batch.sender, batch.source_epoch), batch.source_seq
    return None


def _asked_level(number: int, least: Level) -> Level:
    """Raises InvalidSetting, NotAllowed: the level cannot be, or the policy wants more."""
    level = _LEVELS.get(number)
    if level is None:
        raise InvalidSetting("level", number, "is not a level")
    if level < least:
        raise NotAllowed(f"the policy wants at least level {least.name.lower()} for these tags")
    return level
