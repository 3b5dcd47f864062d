"""Broker: log + router + subscriptions; no sockets, no threads, no clock of its own.

Whoever drives it calls `flush` soon after `wanted` was called, `tick` now and then, and runs the jobs of `take_jobs`.
In a flush everything that arrived since the last one is appended with one write and brought to the subscriptions.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import msgspec

from sylvite.auth.peer import Peer
from sylvite.auth.policy import OWN_PREFIX, Policy, PolicySettings
from sylvite.broker.clock import Clock
from sylvite.broker.connection import Connection
from sylvite.broker.selection import Selection
from sylvite.broker.settings import BrokerSettings
from sylvite.broker.subscription import Subscription
from sylvite.broker.verbs import VERBS
from sylvite.core.batch import Batch, BlockBuilder, check_published
from sylvite.core.event import Gap, pack_data
from sylvite.core.level import BY_POLICY, Level
from sylvite.core.router import Router
from sylvite.core.tag import check_tag
from sylvite.errors import (
    CursorInUse,
    DiskFull,
    DurabilityUnknown,
    EventLogError,
    InvalidInput,
    InvalidSetting,
    LogFailed,
    NoSuchOffset,
    NotAllowed,
    Overloaded,
    ShuttingDown,
    StaleSequence,
    SylviteError,
)
from sylvite.eventlog.cursors import Cursor
from sylvite.eventlog.eventlog import EventLog, NewBatch, SyncJob
from sylvite.wire.messages import Ack, Publish, Start, Subscribe, Subscribed

PROGRESS_EVERY_S = 5.0
RETAIN_EVERY_S = 60.0
CURSORS_EVERY_S = 1.0
CURSOR_CHANGES_MAX = 1000
REPORT_REFUSALS_EVERY_S = 10.0
IDLE_SYNC_S = 0.05
SYNC_WITHIN_S = 1.0
"""What nobody waits for is synced when the log falls idle, or this long after it was written."""
CATCH_UP_STEPS = 16
OWN_EVENTS_MAX = 1000
KNOWN_TAGS_MAX = 65_536


class Counters(msgspec.Struct):
    """What has happened since the start."""

    published: int = 0
    duplicates: int = 0
    refused: int = 0
    batches: int = 0
    syncs: int = 0
    sync_failures: int = 0
    protocol_errors: int = 0
    connections: int = 0
    own_dropped: int = 0


class Incoming(msgspec.Struct, frozen=True):
    """A block that waits for the next flush.  `connection` is None for the broker's own events."""

    connection: Connection | None
    batch: NewBatch
    level: Level


class Job:
    """Work that blocks: call `run` in another thread, then `done` with what it raised, in the broker's."""

    def __init__(self, run: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        self.run, self.done = run, done


class Broker:
    """`wanted` is called when there is something to flush; `failed` when the disk has failed for good."""

    def __init__(
        self,
        log: EventLog,
        settings: BrokerSettings,
        clock: Clock,
        *,
        name: str,
        log_folder: str = "",
        wanted: Callable[[], None] = lambda: None,
        failed: Callable[[SylviteError], None] = lambda _: None,
    ) -> None:
        self.log, self.settings, self.clock, self.name = log, settings, clock, name
        self.log_folder = log_folder
        self.policy = Policy(settings.policy)
        self.wanted, self.failed = wanted, failed
        self.counters = Counters()
        self.connections: set[Connection] = set()
        self.started_ns = clock.now_ns()
        self._per_user: Counter[int] = Counter()
        self._router: Router[Subscription] = Router()
        self._incoming: list[Incoming] = []
        self._own = BlockBuilder()
        self._own_seq = 0
        self._waiting: deque[tuple[int, Connection, Ack]] = deque()
        self._behind: dict[Subscription, None] = {}
        self._held_back: dict[Subscription, None] = {}
        self._cursor_holders: dict[str, Subscription] = {}
        self._output: dict[Connection, None] = {}
        self._held: set[Connection] = set()
        self._listening: dict[Connection, None] = {}
        self._unsynced_since_s: float | None = None
        self._known_tags: set[str] = set()
        self._refusals: dict[tuple[str, str], list[Any]] = {}
        self._full: dict[str, int] | None = None
        self._saving_cursors = False
        self._syncing = False
        self._last_write_s = self._last_progress_s = self._last_retain_s = clock.now_s()
        self._last_cursors_s = self._last_refusals_s = clock.now_s()
        self._reported_damages = 0
        self._draining = False
        # As if there were new ones: a broker that restarts often may never fill a segment, and retention still applies.
        self._segments_seen = 0
        for note in log.notes:
            self.publish_own(f"log/{note.kind}", dict(note.facts))
        log.notes.clear()
        if log.cursors.restored_from_previous:
            self.publish_own(
                "cursors/restored", {"detail": "the file of cursors was damaged; the one before it is used"}
            )

    # -- Connections -----------------------------------------------------------------------------------------------

    def admit(self, connection: Connection) -> None:
        """Raises Overloaded, ShuttingDown: not one more."""
        limits, user = self.settings.limits, connection.peer.uid
        if self._draining:
            raise ShuttingDown("the broker is stopping; try again in a moment")
        if len(self.connections) >= limits.connections:
            raise Overloaded(f"the broker has {limits.connections} connections, its limit")
        if self._per_user[user] >= limits.connections_per_user:
            raise Overloaded(f"{connection.peer.name} has {limits.connections_per_user} connections, its limit")
        self.connections.add(connection)
        self._per_user[user] += 1
        self.counters.connections += 1

    def leave(self, connection: Connection) -> None:
        self._output.pop(connection, None)
        self._listening.pop(connection, None)
        self._held.discard(connection)
        if connection in self.connections:
            self.connections.discard(connection)
            self._per_user[connection.peer.uid] -= 1
            if not self._per_user[connection.peer.uid]:
                del self._per_user[connection.peer.uid]

    def change_policy(self, settings: PolicySettings) -> None:
        """Use another policy from now on; who may not do anything any more is disconnected.

        Raises:
            InvalidInput: the settings are wrong; the former policy stays.
        """
        self.policy = Policy(settings)
        for connection in list(self.connections):
            access = self.policy.access(connection.peer)
            if access is None or not connection.peer.is_owner:
                # Subscriptions are bound to the rights they were made with: such a peer starts anew.
                connection.close("the policy has changed")

    def listen_soon(self, connection: Connection) -> None:
        """Let a connection that was held go on, in the next flush."""
        self._listening[connection] = None
        self.wanted()

    def has_output(self, connection: Connection) -> None:
        self._output[connection] = None
        self.wanted()

    # -- Publish ---------------------------------------------------------------------------------------------------

    def take(self, connection: Connection, message: Publish) -> None:
        """Check a block and keep it for the next flush.

        Raises:
            SylviteError: refused; nothing of it will be in the log.
        """
        if self._draining:
            raise ShuttingDown("the broker is stopping; publish again in a moment")
        tags = check_published(message.block, 0, self.settings.limits.event_bytes)
        access = connection.access
        assert access is not None
        level = least = Level.NONE
        for tag in tags:
            if tag not in self._known_tags:
                check_tag(tag)
                if len(self._known_tags) >= KNOWN_TAGS_MAX:
                    self._known_tags.clear()
                self._known_tags.add(tag)
            if not access.may_publish(tag):
                self._note_refusal(connection.peer, tag)
                raise NotAllowed(f"{connection.peer.name} may not publish {tag!r}")
            of_tag, least_of_tag = self.policy.levels(tag)
            level, least = max(level, of_tag), max(least, least_of_tag)
        if message.level != BY_POLICY:
            try:
                level = Level(message.level)
            except ValueError:
                raise InvalidSetting("level", message.level, "is not a level") from None
            if level is Level.REPLICATED:
                raise InvalidSetting("level", "replicated", "needs a cluster; this broker is alone. Use synced")
            if level < least:
                raise NotAllowed(f"the policy wants at least level {least.name.lower()} for these tags")
        count = int.from_bytes(message.block[:4], "little")
        batch = NewBatch(message.block, count, connection.peer.name, connection.source_epoch, message.seq)
        self._incoming.append(Incoming(connection, batch, level))
        self.wanted()

    def publish_own(self, tag: str, data: dict[str, Any]) -> None:
        """Publish an event of the broker's own, below `sylvite/`; while the disk is full, only so many wait."""
        if len(self._own) >= OWN_EVENTS_MAX:
            self.counters.own_dropped += 1
            return
        self._own.add(OWN_PREFIX + tag, pack_data(data))
        self.wanted()

    def _note_refusal(self, peer: Peer, tag: str) -> None:
        self.counters.refused += 1
        known = self._refusals.setdefault((peer.name, "publish"), [0, tag])
        known[0] += 1

    # -- Flush -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Append what has arrived, bring it to the subscriptions, let those behind read on, write what is to say."""
        now_ns = self.clock.now_ns()
        if self._listening:
            listening, self._listening = self._listening, {}
            for connection in listening:
                connection.listen()
        if self._incoming or len(self._own):
            self._append(now_ns)
        if self._behind:
            self._catch_up(now_ns)
        while self._output:
            output, self._output = self._output, {}
            for connection in output:
                connection.flush()

    def _append(self, now_ns: int) -> None:
        incoming, self._incoming = self._incoming, []
        new: list[Incoming] = []
        taken: set[tuple[str, int, int]] = set()
        for entry in incoming:
            batch = entry.batch
            key = (batch.sender, batch.source_epoch, batch.source_seq)
            if key in taken or not self.log.sources.is_new(*key, batch.count):
                # Taken already, maybe by an entry of this very flush: look again once that one is written.
                self._incoming.append(entry)
                continue
            taken.add(key)
            new.append(entry)
        repeated, self._incoming = self._incoming, []
        batches = [entry.batch for entry in new]
        if own := self._own_batch():
            batches.append(own)
        try:
            written = self.log.append(batches, now_ns) if batches else []
        except EventLogError as error:
            self._not_written(new, own, error, now_ns)
        else:
            if own is not None:
                self._own, self._own_seq = BlockBuilder(), self._own_seq + own.count
            self._written(new, written, now_ns)
        for entry in repeated:
            self._answer_repeated(entry)
        self._last_write_s = self.clock.now_s()
        if self._unsynced_since_s is None and self.log.synced < self.log.end:
            self._unsynced_since_s = self._last_write_s

    def _own_batch(self) -> NewBatch | None:
        if not len(self._own):
            return None
        block, count = self._own.peek()
        return NewBatch(block, count, "broker", self.log.epoch, self._own_seq)

    def _not_written(self, new: list[Incoming], own: NewBatch | None, error: EventLogError, now_ns: int) -> None:
        refused = sum(entry.batch.count for entry in new)
        if isinstance(error, DiskFull):
            if self._full is None:
                self._full = {"since_ns": now_ns, "refused": 0}
            self._full["refused"] += refused
        elif isinstance(error, LogFailed):
            self.failed(error)
        for entry in new:
            if entry.connection is not None:
                entry.connection.refuse("publish", entry.batch.source_seq, error)
        self.counters.refused += refused
        del own  # It stays in its builder, and goes with the next flush that can write.

    def _written(self, new: list[Incoming], written: list[Batch], now_ns: int) -> None:
        if self._full is not None and new:
            full, self._full = self._full, None
            self.publish_own("log/full", {**full, "until_ns": now_ns})
        counters, log = self.counters, self.log
        counters.batches += len(written)
        for entry, batch in zip(new, written, strict=False):
            counters.published += batch.count
            if entry.level is Level.NONE or entry.connection is None:
                continue
            ack = Ack(batch.source_seq, batch.count, batch.base, batch.epoch, entry.level)
            if entry.level is Level.WRITTEN:
                entry.connection.send(ack)
            else:
                self._waiting.append((log.end, entry.connection, ack))
        for batch in written:
            self._route(batch, now_ns)
        if len(log.segments) != self._segments_seen:
            self.retain()
            self._segments_seen = len(log.segments)
        if self.log.unsynced_bytes > self.settings.limits.unsynced_bytes:
            for entry in new:
                if entry.connection is not None and entry.connection not in self._held:
                    self._held.add(entry.connection)
                    entry.connection.hold("disk")

    def _answer_repeated(self, entry: Incoming) -> None:
        """Answer a block that is in the log already as it was answered first."""
        batch, connection = entry.batch, entry.connection
        assert connection is not None
        block = (batch.sender, batch.source_epoch, batch.source_seq, batch.count)
        taken = self.log.sources.find(*block)
        if taken is None:
            if self.log.sources.is_new(*block):
                # The first of two equal blocks of one flush was refused: the second is tried on its own.
                self._incoming.append(entry)
                self.wanted()
                return
            error = StaleSequence(
                f"seq {batch.source_seq} of this publisher is too old to tell whether it is in the log; read the log to find out"
            )
            connection.refuse("publish", batch.source_seq, error)
            return
        self.counters.duplicates += 1
        if entry.level is Level.NONE:
            return
        ack = Ack(batch.source_seq, batch.count, taken.base, taken.epoch, entry.level)
        if entry.level is Level.WRITTEN or taken.next <= self.log.synced:
            connection.send(ack)
        else:
            self._waiting.append((self.log.end, connection, ack))

    def _route(self, batch: Batch, now_ns: int) -> None:
        tags = batch.tags
        wanted: dict[Subscription, list[int]] = {}
        for number, tag in enumerate(tags):
            for subscription in self._router.route(tag):
                numbers = wanted.get(subscription)
                if numbers is None:
                    wanted[subscription] = [number]
                else:
                    numbers.append(number)
        if wanted:
            selection = Selection(batch)
            for subscription, numbers in wanted.items():
                if subscription.live:
                    subscription.offer(selection, numbers, now_ns)

    # -- Subscriptions ---------------------------------------------------------------------------------------------

    def subscribe(self, connection: Connection, request: Subscribe) -> None:
        """Raises SylviteError: no subscription was made."""
        access, log = connection.access, self.log
        assert access is not None
        matches = request.filter.matcher()
        prefixes = request.filter.prefixes()

        def permitted(tag: str) -> bool:
            return matches(tag) and access.may_subscribe(tag)

        wants = matches if access.reads_all else permitted
        if not access.reads_all:
            prefixes = None
        if request.cursor:
            self._check_cursor(connection, request.cursor)
        start, gap = self._start(connection, request)
        reader = log.reader(start)
        subscription = Subscription(connection, request, wants, reader, reads_all=access.reads_all)
        connection.subscriptions[request.subscription] = subscription
        connection.send(Subscribed(request.subscription, start, log.end, log.epoch_before(start)))
        if gap is not None:
            subscription.miss(gap)
        if request.cursor:
            self._cursor_holders[request.cursor] = subscription
            log.cursors.put(subscription.cursor_at(log, connection.peer.name, self.clock.now_ns()))
        if subscription.held_back:
            self._held_back[subscription] = None
        else:
            self._router.add(subscription, wants, prefixes)
        self.maybe_behind(subscription)

    def _start(self, connection: Connection, request: Subscribe) -> tuple[int, Gap | None]:
        """Return the offset that a subscription starts at, and the gap before it, if there is one."""
        del connection
        log, start = self.log, request.start
        known = log.cursors.find(request.cursor) if request.cursor else None
        if start.at == "cursor" and known is not None:
            return log.resume(known.epoch, known.offset)
        return self.place(start)

    def place(self, start: Start) -> tuple[int, Gap | None]:
        """Return the offset that a Start means.  Raises InvalidInput, NoSuchOffset."""
        log = self.log
        match start.at:
            case "newest":
                return log.end, None
            case "oldest":
                return log.oldest, None
            case "cursor":
                return (log.oldest if start.value else log.end), None
            case "time":
                return log.offset_at(start.value), None
            case "resume":
                return log.resume(start.epoch, start.value)
            case "offset":
                if not 0 <= start.value <= log.end:
                    raise NoSuchOffset(start.value, log.end)
                return start.value, None
            case _:
                raise InvalidInput(
                    f"a subscription cannot start at {start.at!r}; there are newest, oldest, offset, time, resume, cursor"
                )

    def _check_cursor(self, connection: Connection, name: str) -> None:
        known = self.log.cursors.find(name)
        if len(name) > 128:
            raise InvalidInput("the name of a cursor has at most 128 characters")
        if name in self._cursor_holders:
            raise CursorInUse(name)
        owner = connection.peer.name
        if known is not None and known.owner != owner and not connection.peer.is_owner:
            raise NotAllowed(f"cursor {name!r} belongs to {known.owner}")
        if known is None:
            limit = self.settings.limits.cursors_per_user
            if sum(1 for cursor in self.log.cursors if cursor.owner == owner) >= limit:
                raise Overloaded(f"{owner} has {limit} cursors, its limit; delete some with `sylvite cursors delete`")

    def unsubscribe(self, subscription: Subscription) -> None:
        subscription.closed = True
        subscription.live = False
        self._behind.pop(subscription, None)
        if subscription.held_back:
            self._held_back.pop(subscription, None)
        else:
            self._router.remove(subscription)
        if subscription.cursor_name:
            self._cursor_holders.pop(subscription.cursor_name, None)

    def maybe_behind(self, subscription: Subscription) -> None:
        """Something has changed for a subscription: if it is behind and could go on, let it."""
        if not subscription.live and subscription.can_take():
            self._behind[subscription] = None
            self.wanted()

    def advance(self, subscription: Subscription, offset: int) -> None:
        if not subscription.cursor_name or offset <= subscription.advanced:
            return
        subscription.advanced = min(offset, subscription.delivered)
        self._move_cursor(subscription)

    def _move_cursor(self, subscription: Subscription) -> None:
        known = self.log.cursors.find(subscription.cursor_name)
        owner = known.owner if known else subscription.connection.peer.name
        moved = subscription.cursor_at(self.log, owner, self.clock.now_ns())
        if known is None or moved.offset != known.offset:
            self.log.cursors.put(moved)

    def is_cursor_held(self, name: str) -> bool:
        return name in self._cursor_holders

    def _catch_up(self, now_ns: int) -> None:
        """Give each subscription that is behind a turn, and so on until none can go on or the turns are used up."""
        for _ in range(CATCH_UP_STEPS):
            behind, self._behind = self._behind, {}
            for subscription in behind:
                if subscription.closed or not subscription.can_take():
                    continue
                end = self.log.synced if subscription.held_back else self.log.end
                if subscription.catch_up(self.log, end, now_ns):
                    self._behind[subscription] = None
                if subscription.cursor_name:
                    self._move_cursor(subscription)
            if not self._behind:
                break
        else:
            self.wanted()
        self._report_damages()

    def _report_damages(self) -> None:
        damages = list(self.log.damages.items())
        for (segment, _), gap in damages[self._reported_damages :]:
            facts = {"segment": segment, "first": gap.first, "next": gap.next, "detail": gap.detail}
            self.publish_own("log/corrupt", facts)
        self._reported_damages = len(damages)

    # -- Jobs and time ---------------------------------------------------------------------------------------------

    def take_jobs(self) -> list[Job]:
        """Return what has to be run in other threads now."""
        jobs: list[Job] = []
        if not self._syncing and self._sync_is_wanted():
            job = self.log.sync_job()
            if job is not None:
                self._syncing = True
                jobs.append(Job(job.run, lambda error: self._synced(job, error)))
        cursors = self.log.cursors
        if not self._saving_cursors and cursors.changed and self._cursors_are_due():
            content = cursors.content()
            self._saving_cursors = True
            self._last_cursors_s = self.clock.now_s()
            jobs.append(Job(lambda: cursors.save(content), self._cursors_saved))
        return jobs

    def _sync_is_wanted(self) -> bool:
        if self._waiting or self._draining:
            return True
        if self.log.synced >= self.log.end:
            return False
        if self.log.unsynced_bytes > self.settings.limits.unsynced_bytes // 4:
            return True
        now_s = self.clock.now_s()
        idle = now_s - self._last_write_s >= IDLE_SYNC_S
        late = self._unsynced_since_s is not None and now_s - self._unsynced_since_s >= SYNC_WITHIN_S
        return idle or late or bool(self._held_back)

    def _cursors_are_due(self) -> bool:
        due = self.clock.now_s() - self._last_cursors_s >= CURSORS_EVERY_S
        return due or self._draining or self.log.cursors.changed >= CURSOR_CHANGES_MAX

    def _synced(self, job: SyncJob, error: OSError | None) -> None:
        self._syncing = False
        log = self.log
        try:
            log.sync_done(error, self.clock.now_ns(), self.clock.now_s())
        except LogFailed as failure:
            self._durability_unknown(failure)
            self.failed(failure)
            return
        if error is not None:
            self.counters.sync_failures += 1
            self._durability_unknown(error, job.end)
            facts = {"detail": str(error), "first": log.synced, "next": job.end}
            self.publish_own("log/sync_failed", facts)
            return
        self.counters.syncs += 1
        self._unsynced_since_s = None if log.synced >= log.end else self.clock.now_s()
        waiting = self._waiting
        while waiting and waiting[0][0] <= log.synced:
            _, connection, ack = waiting.popleft()
            connection.send(ack)
        for subscription in self._held_back:
            if subscription.reader.next < log.synced:
                self.maybe_behind(subscription)
        if self._held and log.unsynced_bytes < self.settings.limits.unsynced_bytes // 2:
            held, self._held = self._held, set()
            for connection in held:
                connection.release("disk")
        self.wanted()

    def _durability_unknown(self, error: Exception, end: int | None = None) -> None:
        """Answer everybody who waits for the disk (up to `end`) that nothing is known."""
        waiting, self._waiting = self._waiting, deque()
        for at, connection, ack in waiting:
            if end is not None and at > end:
                self._waiting.append((at, connection, ack))
                continue
            reason = DurabilityUnknown(
                f"the disk did not confirm that the events survive a power cut ({error}); they are written, and publishing "
                "them again is safe"
            )
            connection.refuse("publish", ack.seq, reason)

    def _cursors_saved(self, error: OSError | None) -> None:
        self._saving_cursors = False
        if error is not None:
            self.log.cursors.changed += 1  # They are not on disk: try again at the next turn.
            self.publish_own("cursors/not_saved", {"detail": str(error)})

    def tick(self) -> None:
        """What happens by time alone; call it about every IDLE_SYNC_S."""
        now_s, now_ns = self.clock.now_s(), self.clock.now_ns()
        log = self.log
        if log.synced == log.end and now_s - self._last_write_s >= IDLE_SYNC_S and not self._full:
            try:
                log.mark(now_ns)
            except DiskFull:
                pass  # Publishers are told when they publish; a mark can wait.
        if now_s - self._last_progress_s >= PROGRESS_EVERY_S:
            self._last_progress_s = now_s
            for connection in self.connections:
                for subscription in connection.subscriptions.values():
                    if subscription.live:
                        subscription.reader.seek(log.end)
                    subscription.tell(log)
                    if subscription.cursor_name:
                        self._move_cursor(subscription)
        if now_s - self._last_refusals_s >= REPORT_REFUSALS_EVERY_S:
            self._last_refusals_s = now_s
            refusals, self._refusals = self._refusals, {}
            for (sender, what), (count, tag) in refusals.items():
                self.publish_own("refused", {"sender": sender, "what": what, "count": count, "first_tag": tag})
        if now_s - self._last_retain_s >= RETAIN_EVERY_S:
            self._last_retain_s = now_s
            self.retain()
        if self._full is not None and len(self._own):
            self.wanted()

    def retain(self) -> None:
        try:
            gaps = self.log.retain(self.clock.now_ns())
        except OSError as error:
            self.publish_own("log/not_pruned", {"detail": str(error)})
            return
        if gaps:
            self.publish_own("log/pruned", {"first": gaps[0].first, "next": gaps[-1].next})

    # -- Verbs and the end -----------------------------------------------------------------------------------------

    def answer(self, connection: Connection, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Answer a question.  Raises SylviteError."""
        row = VERBS.get(verb)
        if row is None:
            raise InvalidInput(f"there is no verb {verb!r}; there are {', '.join(sorted(VERBS))}")
        if row.owner_only and not connection.peer.is_owner:
            raise NotAllowed(f"{verb} is for the user that runs the broker")
        try:
            return row.answer(self, connection, msgspec.convert(arguments, row.arguments))
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{verb}: {error}") from error

    def save_cursor(self, cursor: Cursor) -> None:
        self.log.cursors.put(cursor)

    def drain(self) -> None:
        """Take nothing more; what was taken is still written, synced and answered."""
        self._draining = True
        self.flush()

    @property
    def is_drained(self) -> bool:
        log = self.log
        nothing_open = not (self._waiting or self._syncing or self._saving_cursors or self._incoming)
        return nothing_open and log.synced >= log.end and not log.cursors.changed
