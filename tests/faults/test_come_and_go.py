"""B-02: clients that come and go, half of them without a goodbye: nothing of them stays in the broker."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.core.level import Level
from sylvite.errors import CursorInUse
from sylvite.eventlog.eventlog import LogSettings
from sylvite.wire.messages import Bye, Subscribed, encode
from tests.faults.forked_brokers import Forks, Start, Started, broker_output, forked_brokers
from tests.faults.proc import descriptors, memory_bytes, threads
from tests.faults.raw_peer import RawPeer, hello, publish, subscribe
from tests.faults.report import report
from tests.faults.traffic import wait_until

MIB = 1024 * 1024
GROWTH_MIB = 2.0
SETTINGS = BrokerSettings(
    log=LogSettings(tail_bytes=64 * 1024, segment_bytes=512 * 1024, keep_bytes=1024 * 1024, keep_free_bytes=0)
)
"""With a short log, so that its part in memory has its size before counting begins, and `oldest` is not far."""
PUBLISHERS_REMEMBERED = 16_384
"""So many publishers the broker remembers on purpose (docs/protocol.md, "Limits")."""
DISK_THREADS = 4.0
"""They are started when they are first wanted, and stay."""
SETTLED_WITHIN_S = 60.0
SEEN_WITHIN_S = 0.2
"""After the last one has gone: it was heard out, so that its event is written and on its way."""
CURSORS = 8


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


class Held(msgspec.Struct, frozen=True):
    """What the broker holds for clients.  `descriptors`: but for the files of the log; `threads`: of the disk."""

    connections: int
    subscriptions: int
    cursors_in_use: int
    descriptors: int
    threads: int

    def is_back(self, before: Held) -> bool:
        return msgspec.structs.replace(self, threads=0) == msgspec.structs.replace(before, threads=0)


class Visitors:
    """Clients that come and go, one after the other.

    `fired`: events of those that left with a goodbye.  `refused`: subscriptions that met the cursor of one that has gone.
    """

    def __init__(self, socket: Path, seed: int) -> None:
        self.socket = socket
        self.fired = self.aborted = self.refused = 0
        self._rng = random.Random(seed)

    def subscribe(self) -> None:
        """Connect, subscribe, and leave: by a goodbye, or in the middle of anything."""
        if self._rng.random() < 0.5:
            cursor = f"c{self._rng.randrange(CURSORS)}" if self._rng.random() < 0.5 else None
            with suppress(CursorInUse), Client.connect(self.socket) as client:
                self.refused += 1
                # A cursor from before would begin with all that has come since.
                since = client.welcome.end if cursor else self._since()
                with client.subscribe("load/", since=since, cursor=cursor):
                    self.refused -= 1
            return
        self.aborted += 1
        with RawPeer(self.socket) as peer:
            greeting = (hello(self.socket), subscribe(at=self._since()))
            if self._rng.random() < 0.5:
                peer.say(*greeting, cut=self._rng.randrange(1 + len(b"".join(map(encode, greeting)))))
            else:
                peer.say(*greeting)
                peer.hear(Subscribed)
            peer.reset()

    def _since(self) -> str:
        return "oldest" if self._rng.random() < 0.03 else "newest"

    def fire(self, *, ends_well: bool) -> None:
        """Connect, publish one event that nobody answers, and leave."""
        tag = "load/well" if ends_well else "load/cut"
        with RawPeer(self.socket) as peer:
            said = (hello(self.socket, self._rng.getrandbits(62)), publish(tag, {}, Level.NONE))
            if ends_well:
                peer.say(*said, Bye())
                peer.hear_out()
                self.fired += 1
            else:
                self.aborted += 1
                peer.say(*said, cut=self._rng.randrange(1 + len(b"".join(map(encode, said)))))
                peer.reset()


class Watcher:
    """Sees the events of those that left with a goodbye."""

    def __init__(self, client: Client) -> None:
        self.seen = 0
        self._subscription = client.subscribe("load/well", credit_bytes=16 * MIB)

    def look(self, within_s: float = 0.0) -> None:
        while self._subscription.next(within_s) is not None:
            self.seen += 1


def _held(client: Client, broker: Started, folder: Path) -> Held:
    stats = client.ask("stats")
    in_use = sum(cursor["in_use"] for cursor in client.ask("cursors")["cursors"])
    outside = descriptors(broker.pid, but_below=folder / "log")
    return Held(stats["connections"], stats["subscriptions"], in_use, outside, threads(broker.pid))


def _come_and_go(
    forks: Forks, folder: Path, *, cycles: int, warm_up: int, seed: int, without: str | None = None
) -> None:
    """`cycles` of each kind.  `warm_up`: publishers before counting begins, so that what has a limit has reached it."""
    broker = forks.start(Start(str(folder), SETTINGS, without=without))
    assert broker.ready, broker_output(folder)
    visitors = Visitors(folder / "bus.sock", seed)
    with Client.connect(folder / "bus.sock") as client:
        watcher = Watcher(client)
        for number in range(warm_up):
            visitors.fire(ends_well=True)
            if number % 4 == 0:
                visitors.subscribe()
            watcher.look()
        if without is None:
            wait_until(
                lambda: client.ask("stats")["connections"] == 1, within_s=SETTLED_WITHIN_S, what="a quiet broker",
                every_s=0.01,
            )  # fmt: skip
        before, memory, aborted = _held(client, broker, folder), memory_bytes(broker.pid), visitors.aborted
        for number in range(cycles):
            visitors.subscribe()
            visitors.fire(ends_well=number % 2 == 0)
            watcher.look()
        with suppress(AssertionError):  # What is not back by then, the counters say.
            wait_until(
                lambda: _held(client, broker, folder).is_back(before), within_s=1.0 if without else SETTLED_WITHIN_S,
                what="back to the start", every_s=0.01,
            )  # fmt: skip
        after, growth = _held(client, broker, folder), memory_bytes(broker.pid) - memory
        watcher.look(SEEN_WITHIN_S)
    assert visitors.aborted - aborted > 0.8 * cycles
    assert "Traceback" not in broker_output(folder), broker_output(folder)
    forks.kill(broker.pid)
    kept = {
        f"{name}_kept": abs(getattr(after, name) - getattr(before, name)) for name in Held.__struct_fields__
    }  # fmt: skip
    counters: dict[str, float] = {
        **kept,
        "growth_mib": round(growth / MIB, 2),
        "fired_and_lost": visitors.fired - watcher.seen,
        "refused": visitors.refused,
        "aborted": visitors.aborted - aborted,
    }
    target = dict.fromkeys((*kept, "fired_and_lost", "refused"), 0.0)
    target |= {"growth_mib": GROWTH_MIB, "threads_kept": DISK_THREADS}
    report("B-02", seed=seed, runs=2 * cycles, counters=counters, target=target, without=without)


def test_who_has_gone_leaves_nothing_in_the_broker(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """1,000 subscribers and 1,000 publishers; descriptors, connections, subscriptions and cursors are back exactly."""
    _come_and_go(forks, tmp_path_factory.mktemp("b02"), cycles=1000, warm_up=1000, seed=41)


@pytest.mark.long
def test_twenty_thousand_that_have_gone_leave_nothing_in_the_broker(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All the publishers that the broker remembers have come before: what it remembers does not grow any more."""
    _come_and_go(
        forks, tmp_path_factory.mktemp("b02"), cycles=20_000, warm_up=PUBLISHERS_REMEMBERED + 1000, seed=42
    )  # fmt: skip


@pytest.mark.parametrize("safeguard", ["forgetting connections", "forgetting subscriptions"])
def test_who_stays_in_the_broker_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, safeguard: str
) -> None:
    """Negative control."""
    with pytest.raises(AssertionError, match='"row": "B-02"'):
        _come_and_go(forks, tmp_path_factory.mktemp("b02"), cycles=200, warm_up=20, seed=43, without=safeguard)
