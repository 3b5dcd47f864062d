"""B-06: one subscriber of twenty behaves badly while events are delivered; the other nineteen notice nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path

import msgspec
import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.client.sync_publisher import Publisher
from sylvite.client.sync_subscription import Subscription
from sylvite.errors import ConnectionLost
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.bad_subscribers import BAD, Bad
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.raw_peer import RawPeer, hello
from tests.faults.report import report
from tests.faults.traffic import wait_until

SUBSCRIBERS = 20
SETTINGS = BrokerSettings(log=LogSettings(segment_bytes=16 * 1024 * 1024, keep_free_bytes=0))
MUST_BE_NONE: tuple[str, ...] = ("missed", "wrong", "disturbed", "kept")
NEXT_WITHIN_S = 20.0
SETTLED_WITHIN_S = 60.0
LIST = list(range(120))
"""Three times inside each other it takes more steps than a condition may on one event."""
FAULT = "mistakes"
"""Not taken out of the broker, but put into it: a condition that it makes a mistake over."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


class Found(msgspec.Struct):
    """`disturbed`: good subscribers that lost their connection.  `behind`: cases in which the bad one was not live any more."""

    missed: int = 0
    wrong: int = 0
    disturbed: int = 0
    behind: int = 0
    kept: int = 0


class Bus:
    """A broker with nineteen good subscribers and a publisher, which stay for all cases."""

    def __init__(
        self, forks: Forks, folder: Path, stack: ExitStack, *, without: str | None, next_within_s: float
    ) -> None:
        self.folder, self.next_within_s = folder, next_within_s
        self.found = Found()
        self.broker = forks.start(Start(str(folder), SETTINGS, tcp=True, without=without or FAULT))
        assert self.broker.ready, broker_output(folder)
        socket = folder / "bus.sock"
        # Without connecting again: then a good one that is disturbed says so.
        self.good = [
            stack.enter_context(Client.connect(socket, reconnect_s=0)) for _ in range(SUBSCRIBERS - 1)
        ]  # fmt: skip
        self.publishing = stack.enter_context(Client.connect(socket, reconnect_s=0))

    def case(self, number: int, bad: Bad, place: int, rng: random.Random) -> None:
        """The bad one subscribes as number `place` of all."""
        tag = f"load/{number}/"
        peer = RawPeer(self.folder / ("bus.tcp" if bad.over_tcp else "bus.sock"))
        with peer, self.publishing.publisher(level="written", batch_bytes=2000) as publisher:
            peer.say(hello(peer.place, number))
            subscriptions = [client.subscribe(tag) for client in self.good[:place]]
            bad.begin(peer, tag)
            subscriptions += [client.subscribe(tag) for client in self.good[place:]]
            half = bad.events // 2
            self._publish(publisher, bad, tag, range(half))
            bad.act(peer, rng)
            self._publish(publisher, bad, tag, range(half, bad.events))
            for subscription in subscriptions:
                self._read(subscription, bad.events)
            self.found.behind += self._is_behind()
            bad.prove(peer)
            for subscription in subscriptions:
                subscription.close()

    def _publish(self, publisher: Publisher, bad: Bad, tag: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            values = LIST if bad.has_list and not number else []
            publisher.publish(f"{tag}{number % 3}", {"n": number, "pad": "x" * bad.size, "list": values})
        publisher.flush()

    def _read(self, subscription: Subscription, count: int) -> None:
        for number in range(count):
            event = subscription.next(self.next_within_s)
            if event is None:
                self.found.missed += count - number
                return
            self.found.wrong += event.data["n"] != number
        self.found.wrong += subscription.gaps

    def _is_behind(self) -> bool:
        stats = self.publishing.ask("stats")
        raw = [client for client in stats["clients"] if client["client"] == "raw"]
        return any(not subscription["live"] for client in raw for subscription in client["subscriptions"])

    def kept(self) -> int:
        """Return what is left of the bad ones, once the broker had time to notice that they are gone."""

        def left() -> int:
            stats = self.publishing.ask("stats")
            return stats["connections"] - SUBSCRIBERS + stats["subscriptions"]

        with suppress(AssertionError):
            wait_until(lambda: not left(), within_s=SETTLED_WITHIN_S, what="none of the bad ones", every_s=0.01)
        return left()


def _behave_badly(
    forks: Forks, folder: Path, cases: Sequence[tuple[str, int]], seed: int, *, without: str | None = None,
    next_within_s: float = NEXT_WITHIN_S,
) -> None:  # fmt: skip
    rng = random.Random(seed)
    with ExitStack() as stack:
        bus = Bus(forks, folder, stack, without=without, next_within_s=next_within_s)
        try:
            for number, (name, place) in enumerate(cases):
                bus.case(number, BAD[name], place, rng)
            bus.found.kept = bus.kept()
        except ConnectionLost:
            bus.found.disturbed += 1
    target = dict.fromkeys(MUST_BE_NONE, 0.0)
    counters: dict[str, float] = msgspec.to_builtins(bus.found)
    report("B-06", seed=seed, runs=len(cases), counters=counters, target=target, without=without)
    forks.kill(bus.broker.pid)
    assert counters["behind"], "no bad subscriber has fallen behind"
    mistakes = broker_output(folder).count("Traceback")
    assert mistakes == sum(name == "wants what the broker is mistaken over" for name, _ in cases), broker_output(folder)


def test_nineteen_get_everything_whatever_one_of_twenty_does(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each bad behaviour at four places among the others, and all twenty places."""
    cases = [(name, (2 * number + 5 * turn) % SUBSCRIBERS) for number, name in enumerate(BAD) for turn in range(4)]
    assert {place for _, place in cases} == set(range(SUBSCRIBERS))
    _behave_badly(forks, tmp_path_factory.mktemp("b06"), cases, seed=71)


@pytest.mark.long
def test_nineteen_get_everything_whatever_any_of_twenty_does(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each bad behaviour at each place."""
    _behave_badly(forks, tmp_path_factory.mktemp("b06"), list(product(BAD, range(SUBSCRIBERS))), seed=72)


@pytest.mark.parametrize(
    ("safeguard", "name"),
    [
        ("ending one connection", "sends garbage"),
        ("going on behind a full socket", "reads nothing"),
        ("guarding each subscription", "wants what the broker is mistaken over"),
    ],
)
def test_one_that_takes_others_with_it_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, safeguard: str, name: str
) -> None:
    """Negative control."""
    with pytest.raises(AssertionError, match='"row": "B-06"'):
        _behave_badly(
            forks, tmp_path_factory.mktemp("b06"), [(name, 0)], seed=73, without=safeguard, next_within_s=0.1
        )  # fmt: skip
