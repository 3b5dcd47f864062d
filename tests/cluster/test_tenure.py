"""Leases as a model: several who want one, a bucket between them, answers that are late or lost, and processes that stand still."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import NamedTuple

import pytest

from sylvite.cluster import tenure
from sylvite.cluster.tenure import Fence, Guard, Seen, Tenure, Write
from sylvite.errors import LeaseLost

LIFE_S = 10.0


class Bucket:
    """One key, as JetStream keeps it."""

    def __init__(self) -> None:
        self.epoch = 1
        self.seen = Seen(None, 0)
        self.revision = 0

    def write(self, step: Write) -> int | None:
        if step.last != self.seen.revision:
            return None
        self.revision += 1
        self.seen = Seen(step.entry, self.revision)
        return self.revision

    def lose(self) -> None:
        """As a stream that is deleted, and made anew."""
        self.__init__()
        self.epoch += 1


class Deed(NamedTuple):
    at_s: float
    node: str
    fence: Fence


class World:
    """Runs until a time; each of the masters has a clock of its own that starts anywhere."""

    def __init__(self, seed: int, nodes: int = 3) -> None:
        self.random = random.Random(seed)
        self.bucket = Bucket()
        self.now_s = 0.0
        self.deeds: list[Deed] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.masters = [Master(self, f"m{number}") for number in range(nodes)]

    def at(self, delay_s: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now_s + delay_s, self._count, do))

    def run(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, do = heapq.heappop(self._events)
            do()


class Master:
    def __init__(self, world: World, node: str) -> None:
        self.world, self.node = world, node
        self.tenure = Tenure(node, f"session of {node}", life_s=LIFE_S)
        self._clock_s = world.random.uniform(0, 1e6)
        self._rate = world.random.uniform(0.999, 1.001)
        self._stands_until_s = 0.0
        world.at(world.random.random(), self._step)

    def clock_s(self) -> float:
        return self._clock_s + self.world.now_s * self._rate

    def _step(self) -> None:
        world = self.world
        if world.now_s < self._stands_until_s:
            world.at(self._stands_until_s - world.now_s, self._step)
            return
        if world.random.random() < 0.02:
            self._stands_until_s = world.now_s + world.random.uniform(0, 4 * LIFE_S)
        now_s = self.clock_s()
        if (fence := self.tenure.fence(now_s)) is not None:
            world.deeds.append(Deed(world.now_s, self.node, fence))
        step = self.tenure.next(now_s)
        if isinstance(step, Write):
            self._ask(lambda: self._write(step))
        elif step > now_s:
            world.at(min(step - now_s, 0.5), self._step)
        else:
            self._ask(self._look)

    def _ask(self, at_the_bucket: Callable[[], Callable[[], None]]) -> None:
        """Send something there, and its answer back; either may take long, or get lost."""

        def arrive() -> None:
            answer = at_the_bucket()
            if self.world.random.random() < 0.05:
                self.world.at(2.0, self._step)  # No answer: it is looked at anew.
                return
            self.world.at(self._delay_s(), lambda: self._hear(answer))

        if self.world.random.random() < 0.05:
            self.world.at(2.0, self._step)
        else:
            self.world.at(self._delay_s(), arrive)

    def _delay_s(self) -> float:
        return (
            self.world.random.expovariate(5.0)
            if self.world.random.random() < 0.9
            else self.world.random.uniform(0, LIFE_S)
        )

    def _hear(self, answer: Callable[[], None]) -> None:
        if self.world.now_s < self._stands_until_s:
            self.world.at(self._stands_until_s - self.world.now_s, lambda: self._hear(answer))
            return
        answer()
        self._step()

    def _write(self, step: Write) -> Callable[[], None]:
        revision = self.world.bucket.write(step)
        return self.tenure.refused if revision is None else lambda: self.tenure.wrote(revision)

    def _look(self) -> Callable[[], None]:
        seen, epoch = self.world.bucket.seen, self.world.bucket.epoch
        return lambda: self.tenure.saw(seen, epoch, self.clock_s())


def overlaps(deeds: list[Deed]) -> int:
    """Return how often a deed of one tenure came after a deed of a later one."""
    highest, wrong = Fence(0, 0), 0
    for deed in deeds:
        wrong += deed.fence < highest
        highest = max(highest, deed.fence)
    return wrong


@pytest.mark.parametrize("seed", range(40))
def test_no_two_hold_it_at_the_same_time(seed: int) -> None:
    """Whatever gets lost, is late, or stands still; and it does not lie idle."""
    world = World(seed)
    world.run(1500.0)
    assert overlaps(world.deeds) == 0
    assert len({deed.node for deed in world.deeds}) > 1
    held = {int(deed.at_s / LIFE_S) for deed in world.deeds}
    assert len(held) > 60, "of 150 lives"


def test_the_model_sees_a_holder_that_counts_on_it_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenure, "SURE", 2.0)
    worlds = [World(seed) for seed in range(20)]
    for world in worlds:
        world.run(1500.0)
    assert sum(overlaps(world.deeds) for world in worlds) > 0


def test_fences_grow_also_when_the_bucket_is_lost() -> None:
    """Its revisions begin anew; a guard takes the later tenure all the same, and not the former."""
    world = World(7, nodes=2)
    world.run(100.0)
    former = max(deed.fence for deed in world.deeds)
    world.bucket.lose()
    world.run(300.0)
    later = world.deeds[-1].fence
    assert later > former
    guard = Guard()
    guard.check("x", former)
    guard.check("x", later)
    guard.check("x", later)
    with pytest.raises(LeaseLost, match="a tenure that began later has asked since"):
        guard.check("x", former)


def test_an_answer_that_got_lost_does_not_end_a_tenure() -> None:
    """The entry is there, and is known again by its number."""
    mine, bucket = Tenure("m", "s", life_s=LIFE_S), Bucket()
    mine.saw(bucket.seen, 1, 0.0)
    step = mine.next(0.0)
    assert isinstance(step, Write)
    bucket.write(step)
    assert mine.fence(1.0) is None
    mine.saw(bucket.seen, 1, 2.0)
    assert mine.fence(2.0) == Fence(1, 1)
    assert mine.fence(8.1) is None, "it counts from when it was sent"


def test_what_is_given_up_is_taken_at_once() -> None:
    mine, bucket = Tenure("m", "s", life_s=LIFE_S), Bucket()
    bucket.revision, bucket.seen = 7, Seen(None, 7)
    mine.saw(bucket.seen, 1, 0.0)
    step = mine.next(0.0)
    assert isinstance(step, Write)
    assert step.last == 7
