"""A broker without sockets, threads and time of its own, and peers that speak to it in messages."""

from __future__ import annotations

from typing import Any, TypeVar

from sylvite.auth.peer import Peer
from sylvite.broker.broker import Broker
from sylvite.broker.connection import Connection
from sylvite.broker.settings import BrokerSettings
from sylvite.core.batch import Batch
from sylvite.core.block import BlockBuilder
from sylvite.core.event import Event, pack_data
from sylvite.core.level import BY_POLICY
from sylvite.core.pattern import Filter
from sylvite.errors import SylviteError
from sylvite.eventlog.eventlog import EventLog
from sylvite.testing.clock import ManualClock
from sylvite.testing.pair import MemoryOutlet
from sylvite.testing.storage import MemoryStorage
from sylvite.wire.frame import FrameDecoder
from sylvite.wire.messages import (
    VERSION,
    Ack,
    Answer,
    Ask,
    Bye,
    Deliver,
    Hello,
    Message,
    Missed,
    Publish,
    Refuse,
    Start,
    Subscribe,
    decode,
    encode,
)

M = TypeVar("M", bound=Message)
OWNER = Peer("uid:0", 0, frozenset({0}))
GUEST = Peer("uid:1001", 1001, frozenset({1001}))
CREDIT = 1 << 20


class Person:
    """One peer of the broker, that reads when told to."""

    def __init__(self, bus: Bus, peer: Peer, *, token: str | None = None) -> None:
        self.bus = bus
        self.wire = MemoryOutlet(bus.broker.settings.limits.socket_bytes)
        self.connection = Connection(bus.broker, peer, self.wire, token=token)
        self._decoder = FrameDecoder()
        self._builder = BlockBuilder()
        self.seq = 0

    def say(self, *messages: Message) -> None:
        self.connection.receive(b"".join(map(encode, messages)))

    def hello(self, source_epoch: int = 7, *, version: int = VERSION, token: str = "") -> Person:
        self.say(Hello(version, "test", source_epoch, token))
        return self

    def publish(self, *tags: str, level: int = BY_POLICY, seq: int | None = None, size: int = 10) -> int:
        """Publish one block; return its seq."""
        for number, tag in enumerate(tags):
            self._builder.add(tag, pack_data({"n": number, "pad": "x" * size}))
        block, count = self._builder.take()
        first = self.seq if seq is None else seq
        self.seq = max(self.seq, first + count)
        self.say(Publish(level, first, block))
        return first

    def subscribe(self, number: int = 1, at: str = "newest", value: int = 0, **wanted: Any) -> None:
        filter_ = Filter(**{name: wanted.pop(name) for name in list(wanted) if name in Filter.__struct_fields__})
        start = Start(at, value, wanted.pop("epoch", 0))
        self.say(Subscribe(number, filter_, start, wanted.pop("credit", CREDIT), **wanted))

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any] | str:
        """Return the answer, or the code of the refusal."""
        self.say(Ask(1, verb, arguments))
        found = self.read()[-1]
        return found.result if isinstance(found, Answer) else self.only(Refuse, [found]).code

    def read(self) -> list[Message]:
        """Take everything that the broker has said."""
        self.bus.run()
        taken, self.wire.taken = bytes(self.wire.taken), bytearray()
        self.connection.drained()
        self._decoder.feed(taken)
        return [decode(kind, body) for kind, body in self._decoder.frames()]

    def only(self, kind: type[M], messages: list[Message] | None = None) -> M:
        """Return the one message of this kind among what the broker says."""
        (found,) = [message for message in (messages or self.read()) if isinstance(message, kind)]
        return found

    def tags(self) -> list[str]:
        """Return the tags of what is delivered."""
        return [event.tag for event in events(self.read())]

    def leave(self) -> None:
        self.connection.lost()


def events(messages: list[Message]) -> list[Event]:
    found: list[Event] = []
    for message in messages:
        if isinstance(message, Deliver):
            found += [item for item in Batch(message.batch).events() if isinstance(item, Event)]
    return found


def gaps(messages: list[Message]) -> list[Missed]:
    return [message for message in messages if isinstance(message, Missed)]


def acks(messages: list[Message]) -> list[Ack]:
    return [message for message in messages if isinstance(message, Ack)]


class Bus:
    """The broker, and whoever drives it."""

    def __init__(
        self, settings: BrokerSettings | None = None, storage: MemoryStorage | None = None, *, syncs: bool = True
    ) -> None:
        self.clock = ManualClock()
        self.storage = storage or MemoryStorage()
        self.syncs = syncs
        self.is_wanted = False
        self.failures: list[SylviteError] = []
        settings = settings or BrokerSettings()
        log = EventLog(self.storage, settings.log, now_ns=self.clock.now_ns())
        self.broker = Broker(
            log, settings, self.clock, name="test", wanted=self._wanted, failed=self.failures.append
        )  # fmt: skip
        self.run()

    def _wanted(self) -> None:
        self.is_wanted = True

    def person(self, peer: Peer = OWNER, source_epoch: int = 7) -> Person:
        """Return a peer that has said hello, and heard the answer."""
        person = Person(self, peer).hello(source_epoch)
        person.read()
        return person

    def run(self) -> None:
        """Do what is wanted until nothing is."""
        for _ in range(1000):
            self.is_wanted = False
            self.broker.flush()
            for job in self.broker.take_jobs() if self.syncs else []:
                error: OSError | None = None
                try:
                    job.run()
                except OSError as failure:
                    error = failure
                job.done(error)
            if not self.is_wanted:
                return
        raise AssertionError("the broker never comes to rest")

    def pass_s(self, seconds: float) -> None:
        """Let time pass, with a tick at its end."""
        self.clock.pass_s(seconds)
        self.broker.tick()
        self.run()


def bye(messages: list[Message]) -> list[str]:
    return [message.reason for message in messages if isinstance(message, Bye)]
