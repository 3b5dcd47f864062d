"""C-05: either end of a link stands still (SIGSTOP) and goes on: the link of the master, its broker, the minion."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import proc
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.link_controls import hurry
from tests.faults.link_site import COUNTERS, SETTLED_S, Arriving, Firing, LinkSite, judge, stored
from tests.faults.report import control, report

PARTS = ("link", "alpha", "broker")
BACK_S = 5.0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.link_parent") as parent:
        yield parent


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    hurry(monkeypatch.setattr)


def _pause_either_end(
    forks: Forks, folder: Path, pauses_s: list[float], seed: int, *, hurried: bool = True, part: str = "",
    without: str | None = None,
) -> None:  # fmt: skip
    """`pauses_s`: how long each stands still."""
    rng, paused = random.Random(seed), Counter[str]()
    site = LinkSite(forks, folder, hurried=hurried, silent_s=2.0, without={part: without} if without else None)
    site.start()
    firing, arriving = Firing(site.bus_of("alpha"), each_s=0.005), Arriving(site.bus)
    back_s: list[float] = []
    try:
        firing.start()
        arriving.start()
        arriving.wait(10)
        for number, pause_s in enumerate(pauses_s):
            name = PARTS[number % len(PARTS)]
            time.sleep(rng.uniform(0.0, 0.05))
            proc.stop(site.parts[name])
            time.sleep(pause_s)
            proc.go_on(site.parts[name])
            paused[name] += 1
            if without is None:
                back_s.append(arriving.wait(firing.sent + 1))
        sent = firing.finish()
        arriving.settle(sent, within_s=2.0 if without else SETTLED_S)
        numbers = stored(site.bus)
    finally:
        firing.give_up()
        arriving.give_up()
        site.close()
    counters: dict[str, float] = {
        **judge(numbers, sent),
        "tracebacks": len(site.tracebacks()),
        "longest_pause_s": round(max(pauses_s), 1),
        "back_s_median": round(statistics.median(back_s or [0.0]), 2),
        "back_s_max": round(max(back_s, default=0.0), 2),
        "connections_lost": site.output("alpha").count("has ended") + site.output("alpha").count("not reached"),
        "events": sent,
        **{f"pauses_of_{name}": count for name, count in paused.items()},
    }
    target = dict.fromkeys((*COUNTERS, "tracebacks"), 0.0) | {"back_s_median": BACK_S}
    report("C-05", seed=seed, runs=len(pauses_s), counters=counters, target=target, without=without)
    # A broker that stands still is waited for by the link, which says so to its minions.
    limit_s = 2.0 if hurried else 60.0
    is_noticed = [pause_s > limit_s and PARTS[at % len(PARTS)] != "broker" for at, pause_s in enumerate(pauses_s)]
    assert counters["connections_lost"] or not any(is_noticed), "no pause was so long that the other side has noticed"


def test_an_end_that_stands_still_loses_repeats_and_reorders_nothing(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """9 pauses, three of them longer than the other side waits."""
    _pause_either_end(forks, tmp_path_factory.mktemp("c05"), [0.05, 0.3, 0.1, 4.0, 0.2, 0.4, 0.1, 3.0, 0.3], seed=51)


@pytest.mark.long
@pytest.mark.parametrize("seed", [100, 101, 102])
def test_an_end_that_stands_still_for_up_to_ninety_seconds(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """With the waits of every day."""
    pauses_s = [random.Random(seed + number).uniform(1.0, 20.0) for number in range(5)]
    pauses_s[seed % len(PARTS)] = 90.0
    _pause_either_end(forks, tmp_path_factory.mktemp("c05"), pauses_s, seed=seed, hurried=False)


def test_a_master_that_does_not_know_a_minion_again_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Negative control."""
    without = "one source for each outbox"
    with control("C-05", without=without, match='"row": "C-05"'):
        _pause_either_end(
            forks, tmp_path_factory.mktemp("c05"), [2.5, 0.1, 2.5, 2.5], seed=52, part="link", without=without
        )
