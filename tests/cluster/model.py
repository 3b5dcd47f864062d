"""A cluster in one process: real brokers, the real rules of the bridges, a stream that is a list, and a minion that goes from one
master to another.  A seed decides who does the next step, what is cut or lost, and who is killed.
"""

from __future__ import annotations

import random
from collections import Counter

from sylvite.cluster import carried
from sylvite.cluster.carried import NOWHERE, Place
from sylvite.cluster.down import brought_of
from sylvite.cluster.incoming import Incoming, Verdict
from sylvite.cluster.outgoing import Message, Outgoing, is_own
from sylvite.core.batch import Batch, Passage
from sylvite.core.block import BlockBuilder
from sylvite.core.event import Event, pack_data
from sylvite.eventlog.origins import Mark
from sylvite.link.minion_session import PLACES
from sylvite.testing.storage import MemoryStorage
from sylvite.wire.messages import Ack, Publish, Refuse, Relay
from tests.broker.bus import Bus

STREAM = 77
SOURCE = 5
MINION = "minion:web1"


def block(tag: str, number: int) -> bytes:
    builder = BlockBuilder()
    builder.add(tag, pack_data({"number": number}))
    return builder.take()[0]


class Master:
    """`stream`: of all, who has sent it and what; what is sent twice is there twice."""

    def __init__(self, node: str, stream: list[tuple[str, bytes]], rng: random.Random) -> None:
        self.node, self.published = node, 0
        self._stream, self._rng = stream, rng
        self._cursor = 0
        self._start(MemoryStorage())

    def _start(self, storage: MemoryStorage) -> None:
        self.bus = Bus(storage=storage)
        self.own = self.bus.person(source_epoch=self._rng.getrandbits(60))
        self.link = self.bus.person(source_epoch=8)
        self._said = 0
        self.begin_bridge()

    def kill(self) -> None:
        self._start(self.bus.storage.after_kill())

    def begin_bridge(self) -> None:
        """As a bridge that was killed: what it knows is in the log, and in its cursor."""
        self._bridge = self.bus.person(source_epoch=self._rng.getrandbits(60))
        log = self.bus.broker.log
        reached = log.sources.origins.snapshot()
        self._incoming = Incoming(self.node, (Mark(mark.node, mark.epoch, mark.until) for mark in reached.marks))
        self._number = reached.number
        self._cursor = min(self._cursor, log.end)
        own = [batch for batch in self.batches(0) if batch.next <= self._cursor and is_own(batch)]
        before = Place(own[-1].epoch, own[-1].next) if own else NOWHERE
        self._out = Outgoing(self.node, before, self._cursor, self._rng.getrandbits(60))
        self._read = self._cursor
        self._leaving: list[Message] = []
        self._arrived: list[int] = []

    def publish(self) -> None:
        self.own.say(Publish(2, self._said, block(f"own/{self.node}", self.published)))
        self.own.only(Ack)
        self._said += 1
        self.published += 1

    def take(self, relay: Relay) -> None:
        self.link.say(relay)
        self.link.read()

    def batches(self, start: int) -> list[Batch]:
        log, found = self.bus.broker.log, list[Batch]()
        reader = log.reader(start)
        while some := [item for item in reader.read(1 << 20, log.end) if isinstance(item, Batch)]:
            found += some
        return [batch for batch in found if batch.count]

    # -- Up ------------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        for batch in self.batches(self._read)[:3]:
            self._read = batch.next
            if (message := self._out.take(batch)) is not None:
                self._leaving.append(message)
        self._moved()

    def send(self, *, lose: bool) -> None:
        if not self._leaving:
            return
        message = self._leaving.pop(0)
        if not lose:
            self._stream.append((self.node, message.data))
            self._arrived.append(message.number)

    def hear(self) -> None:
        for number in self._arrived:
            self._out.confirm(number)
        self._arrived.clear()
        self._moved()

    def send_again(self) -> None:
        self._leaving = self._out.again(self._rng.getrandbits(60))
        self._arrived.clear()

    def _moved(self) -> None:
        self._cursor = max(self._cursor, self._out.until)

    # -- Down ----------------------------------------------------------------------------------------------------------

    def bring(self) -> None:
        for node, data in self._stream[self._number : self._number + 3]:
            self._number += 1
            message = carried.decode(node, data)
            if self._incoming.judge(message, 0.0) is Verdict.TAKE:
                self._incoming.took(message)
                each = brought_of(message, STREAM, self._number)
                self._bridge.say(
                    Relay(2, self._number, each.source_epoch, each.seq, each.sender, each.block, each.passage)
                )
        for refused in (each for each in self._bridge.read() if isinstance(each, Refuse)):
            assert refused.code == "stale_sequence", refused

    def settle(self) -> None:
        """Let everything arrive that is on its way, or not yet."""
        self.send_again()
        for _ in range(len(self.batches(0)) + 1):
            self.read()
        while self._leaving:
            self.send(lose=False)
        self.hear()
        assert self._cursor == self.bus.broker.log.end

    def bring_all(self) -> None:
        while self._number < len(self._stream):
            self.bring()

    def events(self) -> list[Event]:
        return [item for batch in self.batches(0) for item in batch.events() if isinstance(item, Event)]


class Minion:
    """`offsets`: of what it has in its outbox.  All before `taken` is; `said`: on this session."""

    def __init__(self, masters: list[Master], rng: random.Random) -> None:
        self._masters, self._rng = masters, rng
        self.offsets: list[int] = []
        self.taken = self.said = 0
        self._knows_before = False
        self.master = masters[0]
        self.move()

    def fire(self) -> None:
        last = self.offsets[-1] if self.offsets else -1
        self.offsets.append(last + self._rng.randint(1, 3))

    def move(self) -> None:
        """The session is cut, whatever was heard of it; the next one is with some master."""
        self.master = self._rng.choice(self._masters)
        self.said = self.taken
        self._first = -1
        if self._knows_before and self.taken:
            self._first = self.offsets[self.taken - 1] + 1

    def die(self) -> None:
        self._knows_before = False
        self.move()

    def say(self) -> None:
        if self.said == len(self.offsets):
            return
        offset = self.offsets[self.said]
        first = self._first if self._first >= 0 else offset
        passage = Passage(first * PLACES, (offset + 1) * PLACES)
        self.master.take(Relay(2, offset, SOURCE, offset * PLACES, MINION, block("load", self.said), passage))
        self._first = offset + 1
        self.said += 1

    def hear(self) -> None:
        if self.said > self.taken:
            self.taken, self._knows_before = self.said, True


class Model:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.stream: list[tuple[str, bytes]] = []
        self.masters = [Master(node, self.stream, self.rng) for node in ("mars", "venus", "pluto")]
        self.minion = Minion(self.masters, self.rng)

    def run(self, steps: int) -> None:
        away = ""
        for _ in range(steps):
            chance = self.rng.random()
            master = self.rng.choice(self.masters)
            if chance < 0.03:
                away = self.rng.choice(("", *(each.node for each in self.masters)))
            elif chance < 0.15:
                master.publish()
            elif chance < 0.3:
                self.minion.fire()
            elif chance < 0.48:
                self.minion.say()
            elif chance < 0.54:
                self.minion.hear()
            elif chance < 0.59:
                self.minion.move()
            elif chance < 0.6:
                self.minion.die()
            elif chance < 0.62:
                master.kill()
            elif chance < 0.64:
                master.begin_bridge()
            elif master.node != away:
                self._bridge(master)
        self._settle()

    def _bridge(self, master: Master) -> None:
        match self.rng.randrange(8):
            case 0:
                master.hear()
            case 1:
                master.send_again()
            case 2 | 3:
                master.read()
            case 4 | 5:
                master.send(lose=self.rng.random() < 0.1)
            case _:
                master.bring()

    def _settle(self) -> None:
        while self.minion.said < len(self.minion.offsets):
            self.minion.say()
        for _ in range(2):
            for master in self.masters:
                master.settle()
        for master in self.masters:
            master.bring_all()
            master.settle()

    def wrong(self) -> dict[str, int]:
        """Return what is lost, doubled, or out of its origin's order, in all logs together."""
        found = Counter({"lost": 0, "doubled": 0, "reordered": 0, "phantom": 0})
        for master in self.masters:
            events = [(event.tag, event.data["number"]) for event in master.events() if event.tag[:6] != "sylvit"]
            wanted = {("load", number) for number in range(len(self.minion.offsets))}
            wanted |= {(f"own/{each.node}", number) for each in self.masters for number in range(each.published)}
            counts = Counter(events)
            found["lost"] += len(wanted - counts.keys())
            found["phantom"] += len(counts.keys() - wanted)
            found["doubled"] += sum(count - 1 for count in counts.values())
            for each in self.masters:
                numbers = [number for tag, number in events if tag == f"own/{each.node}"]
                found["reordered"] += numbers != sorted(numbers)
                found["reordered"] += not _is_part_of(
                    [event.data["number"] for event in master.events() if event.sender == f"{MINION}@{each.node}"],
                    [event.data["number"] for event in each.events() if event.sender == MINION],
                )
        return dict(found)


def _is_part_of(some: list[int], all_: list[int]) -> bool:
    """Say whether these are some of those, in the same order."""
    rest = iter(all_)
    return all(each in rest for each in some)
