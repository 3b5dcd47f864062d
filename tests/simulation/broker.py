"""The machine that the broker runs on: its process, its disk, its sockets; and what befalls them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

from sylvite.auth.peer import Peer
from sylvite.broker.broker import IDLE_SYNC_S, Broker, Job
from sylvite.broker.connection import Connection
from sylvite.broker.server import DRAIN_S, GOODBYE_S
from sylvite.broker.settings import BrokerSettings
from sylvite.core.batch import Batch
from sylvite.core.event import Gap
from sylvite.errors import EventLogError, SylviteError
from sylvite.eventlog.eventlog import EventLog, NewBatch, SyncJob
from sylvite.eventlog.history import Segment
from sylvite.testing.storage import HeldSyncs, MemoryStorage, Moment, WatchedStorage
from tests.simulation.network import End, Link, joined
from tests.simulation.truth import Truth
from tests.simulation.world import Violation, World

OWNER = Peer("uid:0", 0, frozenset({0}))
FLUSH_S = 0.0001
SYNC_S = 0.004
RESTART_S = 0.5


class Crash(BaseException):
    """The process has died here.  No handler of the broker catches it."""


class KnownLog(EventLog):
    """The event log, and whoever has to know what is in it."""

    truth: Truth

    def append(self, entries: Sequence[NewBatch], now_ns: int) -> list[Batch]:
        try:
            written = super().append(entries, now_ns)
        except EventLogError:
            for entry in entries:
                self.truth.not_appended(entry.source_epoch, entry.source_seq, entry.count)
            raise
        self.truth.appended(written)
        return written

    def drop(self, segments: Sequence[Segment]) -> list[Gap]:
        try:
            return super().drop(segments)
        finally:
            self.truth.dropped_below(self.oldest)


class Socket(End):
    """The broker's end of one connection, and the Outlet of it."""

    def __init__(self, machine: Machine, name: str) -> None:
        assert machine.broker is not None
        self.link: Link
        self.connection = Connection(machine.broker, OWNER, self)
        self._machine, self._name = machine, name
        self._closing = False

    # -- The network calls these -------------------------------------------------------------------------------------

    def received(self, content: bytes) -> None:
        self._machine.step(lambda: self.connection.receive(content))

    def drained(self) -> None:
        self._machine.step(self.connection.drained)

    def lost(self) -> None:
        if self._machine.sockets.pop(self, False) is None:
            self._machine.world.note(self._name, "is gone")
            self._machine.step(self.connection.lost)

    # -- The Connection calls these ----------------------------------------------------------------------------------

    def write(self, parts: Sequence[bytes]) -> None:
        if not self._closing:
            self.link.to_client.write(joined(parts))

    def waiting_bytes(self) -> int:
        return self.link.to_client.waiting_bytes()

    @property
    def is_full(self) -> bool:
        return self.link.to_client.is_full

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.link.broker_closed()

    def pause(self) -> None:
        self.link.to_broker.read(on=False)

    def resume(self) -> None:
        self.link.to_broker.read(on=True)


class Machine:
    """A broker that is started again whenever it has ended, as a supervisor would."""

    def __init__(self, world: World, truth: Truth, settings: BrokerSettings) -> None:
        self.world, self.truth, self.settings = world, truth, settings
        self.storage = MemoryStorage()
        self.broker: Broker | None = None
        self.sockets: dict[Socket, None] = {}
        self.slow_disk = self.slow_network = 1.0
        self._power_was_cut = False
        self._crash_in: int | None = None
        self._crash_cuts_power = False
        self._is_flushing = False
        self._is_stopping = False
        self._life = 0
        self._syncs: HeldSyncs | None = None

    # -- Start and end -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        world = self.world
        try:
            log = KnownLog(
                WatchedStorage(self.storage, self._watch), self.settings.log, now_ns=world.clock.now_ns(),
                random_bytes=world.rng.randbytes,
            )  # fmt: skip
        except Crash:
            world.happened["crash in recovery"] += 1
            self._died("crash in recovery", power_was_cut=self._crash_cuts_power)
            return
        except OSError as error:
            world.happened["start failed"] += 1
            self._died(f"does not start: {error}", power_was_cut=False)
            return
        except SylviteError as error:
            raise Violation("lost", f"the broker does not start: {error!r}") from error
        log.truth = self.truth
        world.note("broker", f"starts, epoch {log.epoch:x}, @{log.oldest} to @{log.end}")
        self.truth.recovered(self.storage.copy(), log.log_id, log.end, power_was_cut=self._power_was_cut)
        self._power_was_cut = self._is_stopping = self._is_flushing = False
        self.broker = Broker(
            log, self.settings, world.clock, name="broker", wanted=self._wanted, failed=self._failed
        )  # fmt: skip
        self._wanted()
        self._tick(self._life)

    def kill(self) -> None:
        """As SIGKILL: everything that was written stays."""
        if self.broker is not None:
            self._died("killed", power_was_cut=False)

    def cut_power(self) -> None:
        """What was written and not synced may be gone."""
        self._died("power cut", power_was_cut=True)

    def crash_at(self, calls: int, *, power: bool) -> None:
        """Die at a call to the disk, so many from now on."""
        self._crash_in, self._crash_cuts_power = calls, power

    def crash_never(self) -> None:
        self._crash_in = None

    def stop(self) -> None:
        """As SIGTERM: see `Server.stop`."""
        if self.broker is None or self._is_stopping:
            return
        self.world.note("broker", "is told to stop")
        self._is_stopping = True
        self.step(self.broker.drain)
        self._drain(self._life, self.world.now_s + DRAIN_S)

    def _drain(self, life: int, deadline_s: float) -> None:
        broker = self.broker
        if broker is None or life != self._life:
            return
        if not broker.is_drained and not broker.log.failed and self.world.now_s < deadline_s:
            self._wanted()
            self.world.after_s(0.001, lambda: self._drain(life, deadline_s))
            return
        for socket in list(self.sockets):
            self.step(lambda socket=socket: socket.connection.close("the broker is stopping"))
        self.world.after_s(GOODBYE_S, lambda: self._finish(life))

    def _finish(self, life: int) -> None:
        if self.broker is not None and life == self._life:
            self.step(self.broker.finish)
            if life == self._life:
                self._died("stopped", power_was_cut=False)

    def _died(self, how: str, *, power_was_cut: bool) -> None:
        self.world.note("broker", how)
        self.world.happened[how.split(":")[0]] += 1
        if self.broker is not None:
            self.truth.dropped_below(self.broker.log.oldest)
        self.broker, self._crash_in, self._syncs = None, None, None
        self._life += 1
        sockets, self.sockets = self.sockets, {}
        for socket in sockets:
            socket.link.broker_died()
        self._power_was_cut = self._power_was_cut or power_was_cut
        was = self.storage
        self.storage = was.after_power_cut(self.world.rng) if power_was_cut else was.after_kill()
        self.storage.capacity = was.capacity
        life = self._life
        self.world.after_s(self.world.about_s(RESTART_S), lambda: self.start() if life == self._life else None)

    def _failed(self, error: SylviteError) -> None:
        """The disk has failed for good: the process ends, and is started again."""
        self.world.note("broker", f"fails: {error.code}")
        self.world.happened["log failed"] += 1
        life = self._life
        self.world.after_s(FLUSH_S, lambda: self.stop() if life == self._life else None)

    # -- Driving the broker: see `Server` ------------------------------------------------------------------------------

    def step(self, step: Callable[[], None]) -> None:
        """Let the broker do something, and run the jobs that come of it."""
        if self.broker is None:
            return
        life = self._life
        try:
            step()
            if self._life == life:
                for job in self.broker.take_jobs():
                    self._run(job)
        except Crash:
            self.world.happened["crash"] += 1
            self._died("crash", power_was_cut=self._crash_cuts_power)
        except Violation:
            raise
        except Exception as error:
            self.world.note("broker", "".join(traceback.format_exception(error)))
            raise Violation("broken", f"the broker ends by a mistake: {error!r}") from error

    def _wanted(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            life = self._life
            self.world.after_s(self.world.about_s(FLUSH_S), lambda: self._flush(life))

    def _flush(self, life: int) -> None:
        if self.broker is not None and life == self._life:
            self._is_flushing = False
            self.step(self.broker.flush)

    def _tick(self, life: int) -> None:
        if self.broker is not None and life == self._life:
            self.step(self.broker.tick)
            self.world.after_s(IDLE_SYNC_S, lambda: self._tick(life))

    def _run(self, job: Job) -> None:
        """Run what blocks, in the time that a disk takes."""
        life = self._life
        took_s = self.world.about_s(SYNC_S) * self.slow_disk
        if isinstance(getattr(job.run, "__self__", None), SyncJob):
            # What is written from now on is not a part of it, and nothing of it is sure before the disk has answered.
            with self.storage.hold_syncs() as syncs:
                error = self._tried(job)
            self.world.after_s(took_s, lambda: self._done(life, job, syncs, error))
        else:
            self.world.after_s(took_s, lambda: self._run_now(life, job))

    def _tried(self, job: Job) -> OSError | None:
        try:
            job.run()
        except OSError as error:
            return error
        return None

    def _run_now(self, life: int, job: Job) -> None:
        if life == self._life:
            self.step(lambda: job.done(self._tried(job)))
            self._wanted()

    def _done(self, life: int, job: Job, syncs: HeldSyncs, error: OSError | None) -> None:
        if life == self._life:
            syncs.arrive()
            if error is not None:
                self.world.note("broker", f"the disk refuses to sync: {error}")
            self.step(lambda: job.done(error))
            self._wanted()

    def _watch(self, moment: Moment, call: str) -> None:
        if self._crash_in is None:
            return
        self._crash_in -= 1
        if self._crash_in <= 0:
            self._crash_in = None
            self.world.note("broker", f"dies {moment} {call}")
            raise Crash

    # -- Connections -------------------------------------------------------------------------------------------------

    def connect(self, client: End, name: str) -> Link | None:
        """Return a connection to the broker, or None where there is none."""
        if self.broker is None or self._is_stopping:
            return None
        socket = Socket(self, f"the broker's end of {name}")
        limit = self.settings.limits.socket_bytes
        socket.link = Link(self.world, client, socket, limit, slow=self.slow_network)
        self.sockets[socket] = None
        return socket.link
