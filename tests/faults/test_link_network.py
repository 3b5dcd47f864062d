"""C-02: a bad network between a minion and its master; and a part of C-03: the connection is cut after so many bytes of TLS."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.link_agents import Agent, all_closed
from tests.faults.link_controls import hurry
from tests.faults.link_proxy import Network, network
from tests.faults.link_site import COUNTERS, SETTLED_S, Arriving, Firing, LinkSite, judge, stored
from tests.faults.report import control, report
from tests.faults.traffic import wait_until

BACK_S = 5.0
NOTICED_WITHIN_S = 150.0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.link_parent") as parent:
        yield parent


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    hurry(monkeypatch.setattr)


class Faults:
    """`kinds`: what can happen to the network; each does it, and returns when it has been so for a while."""

    def __init__(self, site: LinkSite, between: Network, rng: random.Random, longest_s: float) -> None:
        self._site, self._net, self._rng, self._longest_s = site, between, rng, longest_s
        self.kinds: dict[str, Callable[[], None]] = {
            "delay": self._delay,
            "stall": lambda: self._stall("up", "down"),
            "stall up": lambda: self._stall("up"),
            "stall down": lambda: self._stall("down"),
            "vanish up": lambda: self._swallow("up"),
            "vanish down": lambda: self._swallow("down"),
            "half open": self._half_open,
            "reset": self._reset,
            "trickle": self._trickle,
            "second connection": self._second,
        }

    def _wait(self) -> None:
        time.sleep(self._rng.uniform(0.0, self._longest_s))

    def _delay(self) -> None:
        self._net.delay_s = self._rng.uniform(0.0, self._longest_s)
        self._wait()

    def _stall(self, *ways: str) -> None:
        self._net.stall(*ways)
        self._wait()

    def _swallow(self, way: str) -> None:
        self._net.swallowing = frozenset((way,))
        self._wait()

    def _half_open(self) -> None:
        before = self._net.connections
        self._net.half_close()
        wait_until(lambda: self._net.connections > before, within_s=NOTICED_WITHIN_S, what="a new connection")

    def _reset(self) -> None:
        self._net.reset()

    def _trickle(self) -> None:
        self._net.trickling = True
        self._wait()

    def _second(self) -> None:
        with KeyFolder(self._site.of("alpha") / "pki") as folder:
            pair, _ = load_or_make_pair(folder, "minion")

        async def come_and_go() -> None:
            second = Agent("alpha", pair, self._site.master.fingerprint)
            await second.connect(self._site.port)
            assert second.is_up
            second.leave()
            await all_closed()

        asyncio.run(come_and_go())


def _bad_network(
    forks: Forks, folder: Path, faults: int, seed: int, *, longest_s: float = 0.3, hurried: bool = True,
    part: str = "", without: str | None = None,
) -> None:  # fmt: skip
    rng = random.Random(seed)
    site = LinkSite(forks, folder, hurried=hurried, silent_s=2.0, without={part: without} if without else None)
    done, back_s = Counter[str](), list[float]()
    with ExitStack() as stack:
        stack.callback(site.close)
        between = stack.enter_context(network(site.port))
        site.way = between.port
        site.start()
        firing, arriving = Firing(site.bus_of("alpha"), each_s=0.01), Arriving(site.bus)
        for thread in (firing, arriving):
            thread.start()
            stack.callback(thread.give_up)
        arriving.wait(10)
        kinds = Faults(site, between, rng, longest_s).kinds
        names = list(kinds)
        rng.shuffle(names)
        for number in range(faults):
            name = names[number % len(names)]
            kinds[name]()
            done[name] += 1
            between.heal()
            if without is None:
                back_s.append(arriving.wait(firing.sent + 1, NOTICED_WITHIN_S))
        sent = firing.finish()
        arriving.settle(sent, within_s=2.0 if without else SETTLED_S)
        numbers = stored(site.bus)
        happened = dict(between.happened)
    counters: dict[str, float] = {
        **judge(numbers, sent),
        "tracebacks": len(site.tracebacks()),
        "back_s_median": round(statistics.median(back_s or [0.0]), 2),
        "back_s_max": round(max(back_s, default=0.0), 2),
        "events": sent,
        "connections": between.connections,
        **{name.replace(" ", "_"): count for name, count in happened.items()},
    }
    target = dict.fromkeys((*COUNTERS, "tracebacks"), 0.0) | {"back_s_median": BACK_S}
    report("C-02", seed=seed, runs=faults, counters=counters, target=target, without=without)
    assert {
        "reset",
        "half closed",
        "swallowed up",
        "swallowed down",
        "trickled",
        "delayed",
    } <= happened.keys() or faults < 20
    assert done["second connection"] or faults < 20


def test_a_bad_network_loses_repeats_and_reorders_nothing(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """30 faults, of ten kinds."""
    _bad_network(forks, tmp_path_factory.mktemp("c02"), 30, seed=21)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_two_thousand_faults_of_a_network(forks: Forks, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """In twenty runs of a hundred; each tenth with the waits of every day, and faults of up to a minute."""
    if seed % 10:
        _bad_network(forks, tmp_path_factory.mktemp("c02"), 111, seed, longest_s=2.0 if seed % 10 == 5 else 0.3)
    else:
        _bad_network(forks, tmp_path_factory.mktemp("c02"), 9, seed, longest_s=15.0, hurried=False)


@pytest.mark.parametrize(
    ("part", "without"), [("alpha", "saying again"), ("link", "one source for each outbox")]
)  # fmt: skip
def test_a_link_that_trusts_the_network_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, part: str, without: str
) -> None:
    """Negative controls.  Chance has a part in it: what goes well without is tried again."""
    with control("C-02", without=without, match='"row": "C-02"'):
        for seed in range(23, 28):
            folder = tmp_path_factory.mktemp("c02")
            _bad_network(forks, folder, 10, seed=seed, longest_s=1.0, part=part, without=without)


def _cut_after(forks: Forks, folder: Path, every: int, seed: int) -> None:
    """Cut connections after 1, 1 + every, ... bytes, in either direction, until one has lived to its end."""
    site = LinkSite(forks, folder, silent_s=2.0)
    with ExitStack() as stack:
        stack.callback(site.close)
        between = stack.enter_context(network(site.port))
        site.way = between.port
        site.start()
        firing, arriving = Firing(site.bus_of("alpha"), each_s=0.005), Arriving(site.bus)
        for thread in (firing, arriving):
            thread.start()
            stack.callback(thread.give_up)
        arriving.wait(10)
        for way, most in (("up", 3000), ("down", 1600)):
            for position in range(1 + seed % every, most, every):
                before = between.happened["cut"]
                between.cut_after = (way, position)
                between.reset()
                wait_until(
                    lambda before=before: between.happened["cut"] > before, within_s=NOTICED_WITHIN_S, what="a cut"
                )
        sent = firing.finish()
        arriving.settle(sent)
        numbers = stored(site.bus)
    counters: dict[str, float] = {**judge(numbers, sent), "tracebacks": len(site.tracebacks()), "events": sent}
    target = dict.fromkeys((*COUNTERS, "tracebacks"), 0.0)
    report("C-03 TLS", seed=seed, runs=between.happened["cut"], counters=counters, target=target)


def test_connections_that_are_cut_in_the_middle_of_tls(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cut after each 230th byte: in the handshake, in the proof, in the first loads."""
    _cut_after(forks, tmp_path_factory.mktemp("c03"), 230, seed=0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_connections_that_are_cut_after_many_a_byte_of_tls(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """4 times 230 cuts, each elsewhere."""
    _cut_after(forks, tmp_path_factory.mktemp("c03"), 20, seed=seed * 5)
