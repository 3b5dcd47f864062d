"""C-04: either end of a link is killed (SIGKILL) at random moments: the link of the master, its broker, the minion."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.link_controls import hurry
from tests.faults.link_site import COUNTERS, SETTLED_S, Arriving, Firing, LinkSite, judge, stored
from tests.faults.report import control, report

PARTS = ("link", "link", "alpha", "alpha", "broker")
MOST_S = 0.06
BEHIND = 2000
"""So many events may be on their way: else a machine that is busy never catches up."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.link_parent") as parent:
        yield parent


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    hurry(monkeypatch.setattr)


def _kill_either_end(
    forks: Forks, folder: Path, kills: int, seed: int, *, part: str = "", without: str | None = None
) -> None:
    """`part`: of which the safeguard is taken out."""
    rng, killed = random.Random(seed), Counter[str]()
    site = LinkSite(forks, folder, without={part: without} if without else None)
    site.start()
    firing, arriving = Firing(site.bus_of("alpha"), each_s=0.01), Arriving(site.bus)
    busy = 0
    try:
        firing.start()
        arriving.start()
        arriving.wait(10)
        for _ in range(kills):
            name = rng.choice(PARTS)
            before = len(arriving.numbers)
            time.sleep(rng.uniform(0.0, MOST_S))
            busy += len(arriving.numbers) > before
            site.kill(name)
            killed[name] += 1
            site.start(name)
            if rng.random() < 0.5 or firing.sent > len(arriving.numbers) + BEHIND:
                arriving.wait(max(len(arriving.numbers) + 1, firing.sent - BEHIND))
        sent = firing.finish()
        arriving.settle(sent, within_s=2.0 if without else SETTLED_S)
        numbers = stored(site.bus)
    finally:
        firing.give_up()
        arriving.give_up()
        site.close()
    wrong = judge(numbers, sent)
    counters: dict[str, float] = {
        **wrong,
        "seen_otherwise": int(arriving.numbers != numbers[: len(arriving.numbers)]),
        "tracebacks": len(site.tracebacks()),
        "events": sent,
        "killed_while_events_arrived": busy,
        **{f"kills_of_{name}": count for name, count in killed.items()},
    }
    target = dict.fromkeys((*COUNTERS, "seen_otherwise", "tracebacks"), 0.0)
    report("C-04", seed=seed, runs=kills, counters=counters, target=target, without=without)
    assert busy > kills / 20, "hardly a kill fell into traffic"


def test_kills_of_either_end_lose_repeat_and_reorder_nothing(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """40 kills under a minion that fires all the time."""
    _kill_either_end(forks, tmp_path_factory.mktemp("c04"), 40, seed=71)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 108))
def test_two_thousand_kills_of_either_end(forks: Forks, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """In eight runs of 250."""
    _kill_either_end(forks, tmp_path_factory.mktemp("c04"), 250, seed=seed)


@pytest.mark.parametrize(
    ("part", "without"),
    [
        ("alpha", "saying again"),
        ("link", "storing before answering"),
        ("link", "one source for each outbox"),
    ],
)
def test_a_link_without_a_safeguard_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, part: str, without: str
) -> None:
    """Negative controls: what is said is believed; `Taken` comes too early; what comes again is new.

    Chance has a part in it: what goes well without is tried again.
    """
    with control("C-04", without=without, match='"row": "C-04"'):
        for seed in range(73, 78):
            _kill_either_end(forks, tmp_path_factory.mktemp("c04"), 15, seed=seed, part=part, without=without)
