"""One run: a world by its seed, faults for a while, then peace, and then everything has to be where it belongs."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable

import msgspec

from sylvite.broker.settings import BrokerSettings, Limits
from sylvite.core.level import Level
from sylvite.core.pattern import Filter
from sylvite.eventlog.eventlog import LogSettings
from tests.simulation.broker import Machine
from tests.simulation.publisher import Publisher
from tests.simulation.subscriber import Habit, Subscriber
from tests.simulation.truth import Truth
from tests.simulation.world import Violation, World

FAULTS_S = 600.0
PEACE_S = 120.0
"""Within so much time after the last fault everything has to have arrived."""
PACE_IN_PEACE_S = 0.01
FAULT_EVERY_S = 2.5
CALLS = ("write", "sync", "open", "read", "rename", "remove", "reserve", "truncate", "sync_folder", "names", "size")
ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EACCES)
LOG_SIZES = ((8 * 1024, 48 * 1024), (16 * 1024, 160 * 1024), (64 * 1024, 384 * 1024), (128 * 1024, None))
"""Of a segment, and of all that is kept."""
HABITS = {
    "live": Habit(),
    "some": Habit(Filter(startswith=("a/",)), start="newest"),
    "cursor": Habit(cursor="cursor", ack_chance=1.0),
    "some by cursor": Habit(
        Filter(startswith=("b/",), exclude=("b/skip",)), cursor="some", pace_s=0.05, ack_chance=0.2
    ),
    "slow": Habit(credit_bytes=8 * 1024, pace_s=0.5),
    "synced": Habit(Filter(fnmatch=("*/one",)), start="newest", synced=True, pace_s=0.01),
    "looks back": Habit(start="time", credit_bytes=16 * 1024),
}


class Result(msgspec.Struct, frozen=True):
    """`digest`: of the trace, every line of it."""

    digest: str
    happened: Counter[str]


class Failed(AssertionError):
    """A seed that fails: says what was wrong, the end of the trace, and how to see all of it."""

    def __init__(self, seed: int, faults_s: float, violation: Violation, world: World) -> None:
        lines = "\n".join(world.last_lines)
        command = f"python -m tests.simulation {seed} {faults_s:g}"
        super().__init__(f"seed {seed}: {violation}\n{lines}\n\nThe whole trace: {command}")
        self.kind = violation.kind


class Simulation:
    """Everything there is in one world.  `faults_s`: for how long there are faults, before peace."""

    def __init__(self, seed: int, faults_s: float, write: Callable[[str], None] | None = None) -> None:
        self._faults_s = faults_s
        self.world = World(seed, write)
        rng = self.world.rng
        self.truth = Truth(self.world)
        segment_bytes, keep_bytes = rng.choice(LOG_SIZES)
        settings = BrokerSettings(
            log=LogSettings(
                segment_bytes=segment_bytes, keep_bytes=keep_bytes, keep_s=rng.choice((None, 30.0)), keep_free_bytes=0, tail_bytes=rng.choice((1, 8, 256)) * 1024,
            ),
            limits=Limits(
                unsynced_bytes=rng.choice((4, 64, 8192)) * 1024, socket_bytes=rng.choice((4, 64)) * 1024,
                answer_bytes=256 * 1024,
            ),
        )  # fmt: skip
        self.machine = Machine(self.world, self.truth, settings)
        self.publishers = [
            self._publisher("none", Level.NONE, 4),
            self._publisher("written", Level.WRITTEN, 1),
            self._publisher("synced", Level.SYNCED, 1),
            self._publisher("many written", Level.WRITTEN, 8),
            self._publisher("many synced", Level.SYNCED, 8),
        ]
        self.subscribers = [self._subscriber(name, habit) for name, habit in HABITS.items()]
        self._at_peace = False
        self._faults: list[tuple[int, Callable[[], None]]] = [
            (4, self.machine.kill),
            (4, self._cut_power),
            (6, self._crash_at),
            (2, self.machine.stop),
            (10, self._cut_connection),
            (8, self._stop_reading),
            (3, self._slow_network),
            (4, self._slow_disk),
            (6, self._fail_disk),
            (3, self._fail_sync),
            (3, self._tear_write),
            (3, self._fill_disk),
            (2, self._jump_clock),
            (5, self._restart_subscriber),
        ]

    def _publisher(self, name: str, level: Level, window: int) -> Publisher:
        return Publisher(self.world, self.machine, self.truth, f"publisher {name}", level=level, window=window)

    def _subscriber(self, name: str, habit: Habit) -> Subscriber:
        return Subscriber(self.world, self.machine, self.truth, f"subscriber {name}", habit)

    # -- The run -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Raises Violation."""
        world = self.world
        self.machine.start()
        for client in (*self.publishers, *self.subscribers):
            client.start()
        self._fault_soon()
        world.run_until(lambda: False, within_s=self._faults_s)
        self._make_peace()
        if not world.run_until(self._is_settled, within_s=PEACE_S):
            raise Violation("stuck", f"{PEACE_S:g} s after the last fault: {self._what_is_open()}")
        self._read_all()

    def _make_peace(self) -> None:
        self.world.note("world", "no more faults")
        self._at_peace = True
        machine = self.machine
        machine.storage.faults.clear()
        machine.storage.capacity = None
        machine.crash_never()
        machine.slow_disk = machine.slow_network = 1.0
        for publisher in self.publishers:
            publisher.is_patient, publisher.publishes = True, False
        for subscriber in self.subscribers:
            # One that has dawdled for ten minutes would need as long again.
            subscriber.pace_s = min(subscriber.pace_s, PACE_IN_PEACE_S)

    def _is_settled(self) -> bool:
        return (
            self.machine.broker is not None
            and all(publisher.is_settled for publisher in self.publishers)
            and all(self._has_all(subscriber) for subscriber in self.subscribers)
        )

    def _has_all(self, subscriber: Subscriber) -> bool:
        return subscriber.stands and subscriber.next >= self.truth.end

    def _what_is_open(self) -> str:
        slow = [f"{each.name} at @{each.next}" for each in self.subscribers if not self._has_all(each)]
        unsettled = [each.name for each in self.publishers if not each.is_settled]
        return f"the log ends at @{self.truth.end}; behind: {slow}; not answered: {unsettled}"

    def _read_all(self) -> None:
        """Everything that is retained reaches a reader that comes last."""
        last = self._subscriber("last", Habit(credit_bytes=1 << 20))
        last.start()
        if not self.world.run_until(lambda: self._has_all(last), within_s=PEACE_S):
            raise Violation("stuck", f"a reader that comes last is at @{last.next} of @{self.truth.end}")
        if last.events < self.truth.end - self.truth.oldest:
            raise Violation("lost", f"a reader that comes last gets {last.events} events of {self.truth.end}")

    # -- Faults ------------------------------------------------------------------------------------------------------

    def _fault_soon(self) -> None:
        self.world.after_s(self.world.about_s(FAULT_EVERY_S), self._fault)

    def _fault(self) -> None:
        if self._at_peace:
            return
        weights, faults = zip(*self._faults, strict=True)
        self.world.rng.choices(faults, weights)[0]()
        self._fault_soon()

    def _note(self, what: str) -> None:
        self.world.note("world", what)

    def _in_peace_or_after_s(self, mean_s: float, step: Callable[[], None]) -> None:
        self.world.after_s(self.world.about_s(mean_s), lambda: None if self._at_peace else step())

    def _cut_power(self) -> None:
        self.machine.cut_power()

    def _crash_at(self) -> None:
        rng = self.world.rng
        calls, power = rng.choice((1, rng.randint(1, 10), rng.randint(1, 60))), rng.random() < 0.5
        self._note(f"the broker will die at call {calls}{', and the power with it' if power else ''}")
        self.machine.crash_at(calls, power=power)

    def _cut_connection(self) -> None:
        self.world.rng.choice((*self.publishers, *self.subscribers)).cut()

    def _stop_reading(self) -> None:
        client = self.world.rng.choice((*self.publishers, *self.subscribers))
        client.stop_reading(self.world.about_s(5.0))

    def _restart_subscriber(self) -> None:
        self.world.rng.choice(self.subscribers).restart()

    def _slow_network(self) -> None:
        self.machine.slow_network = self.world.rng.choice((10.0, 100.0, 1000.0))
        self._note(f"new connections are {self.machine.slow_network:g} times slower")
        self._in_peace_or_after_s(5.0, self._quick_network)

    def _quick_network(self) -> None:
        self.machine.slow_network = 1.0

    def _slow_disk(self) -> None:
        self.machine.slow_disk = self.world.rng.choice((10.0, 100.0, 500.0))
        self._note(f"the disk is {self.machine.slow_disk:g} times slower")
        self._in_peace_or_after_s(5.0, self._quick_disk)

    def _quick_disk(self) -> None:
        self.machine.slow_disk = 1.0

    def _fail_disk(self) -> None:
        rng = self.world.rng
        call, error, at = rng.choice(CALLS), rng.choice(ERRORS), rng.randint(1, 4)
        self._note(f"{call} number {at} will fail with {errno.errorcode[error]}")
        self.machine.storage.fail(error, at=at, call=call, torn=rng.random() < 0.5)
        self.world.happened["disk will fail"] += 1
        if call in ("open", "read") and error == errno.EIO:
            self.truth.disk_hid_events = True

    def _fail_sync(self) -> None:
        how_many = self.world.rng.choice((1, 2))
        self._note(f"the next syncs will fail, {how_many} of them")
        for at in range(1, how_many + 1):
            self.machine.storage.fail(errno.EIO, at=at, call="sync")
        self.world.happened["sync will fail"] += 1

    def _tear_write(self) -> None:
        self._note("the next write will stop half-way")
        self.machine.storage.fail(self.world.rng.choice((errno.EIO, errno.ENOSPC)), call="write", torn=True)
        self.world.happened["write will tear"] += 1
        if self.world.is_chosen(0.5):
            self._crash_at()

    def _fill_disk(self) -> None:
        storage = self.machine.storage
        storage.capacity = storage.used_bytes() + self.world.rng.randrange(20_000)
        self._note("the disk is nearly full")
        self.world.happened["disk full"] += 1
        self._in_peace_or_after_s(8.0, self._empty_disk)

    def _empty_disk(self) -> None:
        self.machine.storage.capacity = None

    def _jump_clock(self) -> None:
        seconds = self.world.rng.choice((-7200.0, -30.0, 45.0, 86_400.0))
        self._note(f"the clock jumps by {seconds:g} s")
        self.world.happened["clock jumps"] += 1
        self.world.clock.jump(seconds)


def simulate(seed: int, faults_s: float = FAULTS_S, write: Callable[[str], None] | None = None) -> Result:
    """Run one seed; `write` gets each line of the trace.

    Raises:
        Failed: an invariant does not hold.
    """
    simulation = Simulation(seed, faults_s, write)
    world = simulation.world
    try:
        simulation.run()
    except Violation as violation:
        raise Failed(seed, faults_s, violation, world) from violation
    return Result(world.digest, world.happened)
