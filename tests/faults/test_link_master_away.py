"""C-01: the master is away while a minion goes on firing and is killed again and again; and an outbox that overflows."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.eventlog.cursors import Cursors
from sylvite.eventlog.eventlog import LogSettings
from sylvite.eventlog.storage import DiskStorage
from tests.faults import proc
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.link_controls import hurry
from tests.faults.link_site import COUNTERS, SETTLED_S, Arriving, Firing, LinkSite, judge, stored
from tests.faults.report import control, report
from tests.faults.traffic import wait_until

KILLS = 20
MIB = 1024 * 1024
OUTBOX_MIB_MAX = 256
PAD = 2000
OF_THE_BUS = 20
"""Events of a minion's bus itself, at most."""
MISSED = "salt/minion/alpha/missed"
SMALL = BrokerSettings(log=LogSettings(segment_bytes=64 * 1024, keep_bytes=256 * 1024, keep_free_bytes=0))
"""An outbox of a quarter of a mebibyte."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.link_parent") as parent:
        yield parent


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    hurry(monkeypatch.setattr)


def _size(folder: Path) -> int:
    found = 0
    for path in (folder / "log").iterdir():
        try:
            found += path.stat().st_size
        except FileNotFoundError:
            pass  # Retention has taken it meanwhile.
    return found


def _believed(folder: Path) -> int:
    """Return how much of its outbox a minion's bus takes for done, on its disk."""
    return Cursors(DiskStorage(folder / "log")).highest


def _go_away(
    forks: Forks, folder: Path, *, away_s: float, each_s: float, seed: int, part: str = "", without: str | None = None
) -> None:
    rng = random.Random(seed)
    site = LinkSite(forks, folder, without={part: without} if without else None)
    site.start()
    firing = Firing(site.bus_of("alpha"), each_s=each_s, group=20)
    arriving = Arriving(site.bus)
    try:
        firing.start()
        arriving.start()
        arriving.wait(100)
        # It stands still for a moment first: so there is something on its way to it when it dies.
        proc.stop(site.parts["link"])
        waits = proc.unread_bytes(site.port)
        wait_until(
            lambda: proc.unread_bytes(site.port) > waits, within_s=60, what="something on its way to who stands still"
        )
        sent = firing.sent
        wait_until(lambda: firing.sent >= sent + 100, within_s=60, what="time in which that may be taken for said")
        site.kill("link", "broker")
        if without:
            wait_until(
                lambda: _believed(site.of("alpha")) > len(arriving.numbers) + OF_THE_BUS,
                within_s=60, what="something that was taken for said, and has not come",
            )  # fmt: skip
        before, began = firing.sent, time.monotonic()
        for kill in range(KILLS):
            due = began + away_s * (kill + rng.random()) / KILLS
            time.sleep(max(0.0, due - time.monotonic()))
            site.kill("alpha")
            site.start("alpha")
        time.sleep(max(0.0, began + away_s - time.monotonic()))
        meanwhile, outbox_bytes = firing.sent - before, _size(site.of("alpha"))
        site.start("broker", "link")
        back = time.monotonic()
        sent = firing.finish()
        arriving.settle(sent, within_s=2.0 if without else SETTLED_S)
        back_s = time.monotonic() - back
        numbers = stored(site.bus)
    finally:
        firing.give_up()
        arriving.give_up()
        site.close()
    counters: dict[str, float] = {
        **judge(numbers, sent),
        "tracebacks": len(site.tracebacks()),
        "outbox_mib": round(outbox_bytes / MIB, 1),
        "away_s": away_s,
        "minion_kills": KILLS,
        "events_meanwhile": meanwhile,
        "caught_up_s": round(back_s, 1),
    }
    target = dict.fromkeys((*COUNTERS, "tracebacks"), 0.0) | {"outbox_mib": float(OUTBOX_MIB_MAX)}
    report("C-01", seed=seed, runs=sent, counters=counters, target=target, without=without)
    assert meanwhile > 200, "hardly anything was fired while the master was away"


def test_a_master_that_is_away_costs_a_minion_nothing_but_time(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """For three seconds, in which the minion fires and is killed 20 times."""
    _go_away(forks, tmp_path_factory.mktemp("c01"), away_s=3.0, each_s=0.02, seed=11)


@pytest.mark.long
@pytest.mark.parametrize(("away_s", "seed"), [(60.0, 100), (600.0, 101)])
def test_a_master_that_is_away_for_ten_minutes(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, away_s: float, seed: int
) -> None:
    """Some hundred thousand events."""
    _go_away(forks, tmp_path_factory.mktemp("c01"), away_s=away_s, each_s=20 * away_s / 100_000, seed=seed)


def test_a_minion_that_believes_what_it_has_said_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Negative control: what was on its way when the master went is lost."""
    with control("C-01", without="saying again", match='"row": "C-01"'):
        _go_away(
            forks,
            tmp_path_factory.mktemp("c01"),
            away_s=0.5,
            each_s=0.002,
            seed=12,
            part="alpha",
            without="saying again",
        )


def _overflow(forks: Forks, folder: Path, mebibytes: int, *, without: str | None = None) -> None:
    site = LinkSite(forks, folder, of_minions=SMALL, without={"alpha": without} if without else None)
    site.start("alpha")
    firing = Firing(site.bus_of("alpha"), group=50, pad=PAD)
    largest = 0
    try:
        firing.start()
        while firing.sent * PAD < mebibytes * MIB:
            largest = max(largest, _size(site.of("alpha")))
            wait_until(lambda before=firing.sent: firing.sent > before, within_s=60, what="another event")
        sent = firing.finish()
        site.start("broker", "link")
        arriving = Arriving(site.bus)
        arriving.start()
        # Not all of them will come: the last one does, and then whatever should not.
        arriving.wait_for(sent - 1)
        arriving.settle(sent, within_s=2.0)
        numbers = stored(site.bus)
        with Client.connect(site.bus) as bus:
            told = [event.data["data"] for event in bus.subscribe(MISSED, since="oldest", until_end=True)]
    finally:
        firing.give_up()
        site.close()
    missing = sent - len(set(numbers))
    wrong = judge(numbers, sent)
    counters: dict[str, float] = {
        "duplicate": wrong["duplicate"],
        "reordered": wrong["reordered"],
        "phantom": wrong["phantom"],
        "missing_and_not_told": max(0, missing - sum(facts["count"] for facts in told)),
        "missing": missing,
        "told": len(told),
        "outbox_mib": round(largest / MIB, 2),
    }
    target = dict.fromkeys(("duplicate", "reordered", "phantom", "missing_and_not_told"), 0.0) | {"outbox_mib": 0.5}
    report("C-01 overflow", seed=0, runs=sent, counters=counters, target=target, without=without)
    assert missing > 0, "nothing has overflowed"


def test_an_outbox_that_overflows_says_what_is_missing(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The oldest events go; the master is told which and how many, and gets all the others."""
    _overflow(forks, tmp_path_factory.mktemp("c01"), 6)


def test_an_outbox_that_overflows_in_silence_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Negative control."""
    with control("C-01", without="telling of gaps", match="C-01 overflow"):
        _overflow(forks, tmp_path_factory.mktemp("c01"), 6, without="telling of gaps")
