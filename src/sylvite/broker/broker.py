"""Broker: log + intake + readers; no sockets, no threads, no clock of its own.

Whoever drives it calls `flush` soon after `wanted` was called, `tick` now and then, and runs the jobs of `take_jobs`.
In a flush everything that arrived since the last one is appended with one write and brought to the subscriptions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from sylvite.auth.policy import Policy, PolicySettings
from sylvite.broker.clock import Clock
from sylvite.broker.connection import Connection
from sylvite.broker.intake import Counters, Intake
from sylvite.broker.readers import Readers
from sylvite.broker.replication import Replication
from sylvite.broker.settings import BrokerSettings
from sylvite.broker.thought import Thought
from sylvite.broker.verbs import VERBS
from sylvite.errors import EventLogError, InvalidInput, LogFailed, NotAllowed, Overloaded, ShuttingDown, SylviteError
from sylvite.eventlog.eventlog import EventLog, SyncJob
from sylvite.eventlog.scrub import Scrub
from sylvite.wire.messages import Publish, Relay, Replicated

PROGRESS_EVERY_S = 5.0
RETAIN_EVERY_S = 60.0
CURSORS_EVERY_S = 1.0
CURSOR_CHANGES_MAX = 1000
REPORT_REFUSALS_EVERY_S = 10.0
IDLE_SYNC_S = 0.05
BULK_BYTES = 32 * 1024
SYNC_BYTES = 512 * 1024
"""Where a flush writes this much at once, more is coming: then a sync waits for a flush that writes less, or for so much."""
WAIT_FLUSHES = 8
SYNC_WITHIN_S = 1.0
"""What nobody waits for is synced when the log falls idle, or this long after it was written."""


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
        self.replication = Replication(clock.now_s, is_there=settings.has_cluster)
        self.intake = Intake(log, settings.limits, self.counters, wanted, failed, self.replication)
        self.readers = Readers(log, settings.limits, clock, wanted)
        self.connections: dict[Connection, int] = {}
        """Each with its number: the first one was 1, and none is given again."""
        self.started_ns = clock.now_ns()
        self._per_user: Counter[int] = Counter()
        self._output: dict[Connection, None] = {}
        self._listening: dict[Connection, None] = {}
        self._unsynced_since_s: float | None = None
        self._saving_cursors = False
        self._syncing = False
        self._is_bulk = False
        self._waited = 0
        self._last_write_s = self._last_progress_s = self._last_retain_s = clock.now_s()
        self._last_cursors_s = self._last_refusals_s = clock.now_s()
        self._reported_damages = 0
        self.scrub = Scrub(log, settings.log.scrub_every_s, settings.log.scrub_rate_bytes, clock.now_s())
        self._scrubbing: Callable[[], None] | None = None
        self._is_thinking = False
        self._draining = False
        # As if there were new ones: a broker that restarts often may never fill a segment, and retention still applies.
        self._segments_seen = 0
        self._publish_notes()
        if log.cursors.restored_from_previous:
            self.publish_own(
                "cursors/restored", {"detail": "the file of cursors was damaged; the one before it is used"}
            )

    def _publish_notes(self) -> None:
        for note in self.log.notes:
            self.publish_own(f"log/{note.kind}", dict(note.facts))
        self.log.notes.clear()

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
        self._per_user[user] += 1
        self.counters.connections += 1
        self.connections[connection] = self.counters.connections

    def leave(self, connection: Connection) -> None:
        self._output.pop(connection, None)
        self._listening.pop(connection, None)
        self.intake.forget(connection)
        if connection in self.connections:
            del self.connections[connection]
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

    def take(self, connection: Connection, message: Publish | Relay) -> None:
        """Keep a block for the next flush.  Raises SylviteError: refused; nothing of it will be in the log."""
        if self._draining:
            raise ShuttingDown("the broker is stopping; publish again in a moment")
        self.intake.take(connection, message, self.policy)

    def replicated(self, message: Replicated) -> None:
        """The bridge says how far the cluster has this log."""
        # Said of an earlier life of the log, it would be of offsets that may be others by now.
        if message.epoch == self.log.epoch:
            self.replication.confirm(min(message.offset, self.log.synced))

    def publish_own(self, tag: str, data: dict[str, Any]) -> None:
        """Publish an event of the broker's own, below `sylvite/`."""
        self.intake.publish_own(tag, data)

    # -- Flush -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Append what has arrived, bring it to the subscriptions, let those behind read on, write what is to say."""
        now_ns = self.clock.now_ns()
        if self._listening:
            listening, self._listening = self._listening, {}
            for connection in listening:
                connection.listen()
        self._is_bulk = False
        self.readers.steps.begin()
        if self.intake.has_work:
            self._append(now_ns)
        if self.readers.are_behind:
            self.readers.catch_up(now_ns)
            self._report_damages()
        for connection in self._whose_turn():
            self._output.pop(connection, None)
            connection.flush()

    def _whose_turn(self) -> list[Connection]:
        """Return the connections to write to now.

        While much comes in, those with little to hear may wait for a few flushes: a write to a socket takes as long as
        cutting and routing several batches.
        """
        if not self._is_bulk or self._waited >= WAIT_FLUSHES:
            self._waited = 0
            return list(self._output)
        self._waited += 1
        self.wanted()
        return [connection for connection in self._output if not connection.may_wait]

    def _append(self, now_ns: int) -> None:
        log = self.log
        size = 0
        for batch in self.intake.append(now_ns):
            size += len(batch.raw)
            if batch.count:
                self.readers.offer(batch, now_ns)
        self._is_bulk = size >= BULK_BYTES
        if len(log.segments) != self._segments_seen:
            self.retain()
            self._segments_seen = len(log.segments)
            self._publish_notes()
        self._last_write_s = self.clock.now_s()
        if self._unsynced_since_s is None and log.synced < log.end:
            self._unsynced_since_s = self._last_write_s

    def _report_damages(self) -> None:
        damages = list(self.log.damages.items())
        for (segment, _), gap in damages[self._reported_damages :]:
            facts = {"segment": segment, "first": gap.first, "next": gap.next, "detail": gap.detail}
            self.publish_own("log/corrupt", facts)
        self._reported_damages = len(damages)

    # -- Jobs ------------------------------------------------------------------------------------------------------

    def take_jobs(self) -> list[Job]:
        """Return what has to be run in other threads now."""
        jobs: list[Job] = []
        if not self._syncing and self._sync_is_wanted():
            job = self.log.sync_job()
            if job is not None:
                self._syncing = True
                began_s = self.clock.now_s()
                jobs.append(Job(job.run, lambda error: self._synced(job, error, began_s)))
        cursors = self.log.cursors
        if not self._saving_cursors and cursors.changed and self._cursors_are_due():
            content = cursors.content()
            self._saving_cursors = True
            self._last_cursors_s = self.clock.now_s()
            jobs.append(Job(lambda: cursors.save(content), self._cursors_saved))
        if self.readers.thoughts and not self._is_thinking and not self._draining:
            # One at a time, and each subscription in its turn: whoever asks for much waits for himself.
            thought = self.readers.thoughts.popleft()
            self._is_thinking = True
            jobs.append(Job(thought.run, lambda _: self._thought(thought)))
        if self._scrubbing is not None:
            jobs.append(Job(self._scrubbing, self._scrubbed))
            self._scrubbing = None
        return jobs

    def _sync_is_wanted(self) -> bool:
        log = self.log
        if self.intake.is_awaited or self._draining:
            if not self._is_bulk or log.unsynced_bytes >= SYNC_BYTES:
                return True
            self.wanted()  # Another flush, at once: if it writes little, that is when.
            return False
        if log.synced >= log.end:
            return False
        if log.unsynced_bytes > self.settings.limits.unsynced_bytes // 4 or self.readers.want_sync:
            return True
        now_s = self.clock.now_s()
        late = self._unsynced_since_s is not None and now_s - self._unsynced_since_s >= SYNC_WITHIN_S
        return late or now_s - self._last_write_s >= IDLE_SYNC_S

    def _cursors_are_due(self) -> bool:
        due = self.clock.now_s() - self._last_cursors_s >= CURSORS_EVERY_S
        return due or self._draining or self.log.cursors.changed >= CURSOR_CHANGES_MAX

    def _synced(self, job: SyncJob, error: OSError | None, began_s: float) -> None:
        self._syncing = False
        log = self.log
        try:
            log.sync_done(error, self.clock.now_ns(), self.clock.now_s())
        except LogFailed as failure:
            self.intake.answer_unknown(failure)
            self.failed(failure)
            return
        if error is not None:
            self.counters.sync_failures += 1
            self.intake.answer_unknown(error, job.end)
            self.publish_own("log/sync_failed", {"detail": str(error), "first": log.synced, "next": job.end})
            return
        self.counters.syncs += 1
        self.counters.sync_us += round(1e6 * (self.clock.now_s() - began_s))
        self._unsynced_since_s = None if log.synced >= log.end else self.clock.now_s()
        self.intake.answer_synced()
        self.readers.log_synced()
        self.wanted()

    def _cursors_saved(self, error: OSError | None) -> None:
        self._saving_cursors = False
        if error is not None:
            self.log.cursors.changed += 1  # They are not on disk: try again at the next turn.
            self.publish_own("cursors/not_saved", {"detail": str(error)})

    def _thought(self, thought: Thought) -> None:
        self._is_thinking = False
        self.readers.thought(thought)
        self.wanted()

    def _scrubbed(self, error: OSError | None) -> None:
        for name, gap in self.scrub.done(error, self.clock.now_ns(), self.clock.now_s()):
            self.log.damages.setdefault((name, gap.first), gap)
        self._report_damages()

    # -- Time ------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """What happens by time alone; call it about every IDLE_SYNC_S."""
        now_s = self.clock.now_s()
        if now_s - self._last_write_s >= IDLE_SYNC_S:
            self._mark()
        self.readers.try_again()
        self.replication.give_up()
        if now_s - self._last_progress_s >= PROGRESS_EVERY_S:
            self._last_progress_s = now_s
            for connection in self.connections:
                for subscription in connection.subscriptions.values():
                    self.readers.tell(subscription)
        if now_s - self._last_refusals_s >= REPORT_REFUSALS_EVERY_S:
            self._last_refusals_s = now_s
            self.intake.report_refusals()
        if now_s - self._last_retain_s >= RETAIN_EVERY_S:
            self._last_retain_s = now_s
            self.retain()
        if self.intake.is_full and self.intake.has_work:
            self.wanted()
        if self._scrubbing is None and not self._draining:
            self._scrubbing = self.scrub.job(now_s)

    def _mark(self) -> None:
        if self.log.synced < self.log.end or self.intake.is_full:
            return
        try:
            self.log.mark(self.clock.now_ns())
        except EventLogError:
            pass  # Publishers are told when they publish; a mark can wait.

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

    def drain(self) -> None:
        """Take nothing more; what was taken is still written, synced and answered."""
        self._draining = True
        self.flush()

    def finish(self) -> None:
        """Leave the log as a broker does that has ended in order, and let go of it."""
        try:
            self.log.finish(self.clock.now_ns())
        except (OSError, EventLogError):
            pass  # It only helps to tell, later, what has been lost by other means.
        self.scrub.close()
        self.log.close()

    @property
    def is_drained(self) -> bool:
        log, intake = self.log, self.intake
        # What the broker has to say itself does not hold it up where the disk takes nothing.
        to_write = intake.has_work and not intake.is_full
        at_work = to_write or intake.is_awaited or self._syncing or self._saving_cursors
        return not at_work and log.synced >= log.end and not log.cursors.changed
