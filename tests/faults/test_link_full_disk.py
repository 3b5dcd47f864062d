"""A part of C-01: the disk of either side of a link is full for a while."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.core.known_tags import OUTBOX
from sylvite.errors import DiskFull
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.link_controls import hurry
from tests.faults.link_site import COUNTERS, SETTLED_S, Arriving, LinkSite, judge, load, stored
from tests.faults.report import control, report
from tests.faults.traffic import wait_until
from tests.faults.volumes import tmpfs

MIB = 1024 * 1024
VOLUME = 64 * MIB
PIECE = 64 * 1024
SMALL = BrokerSettings(log=LogSettings(segment_bytes=256 * 1024, keep_free_bytes=0))
"""Segments that are soon full: what one has room for already, a full disk does not take."""
SIZES = (0, 200, 3000, 60_000)
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.link_parent") as parent:
        yield parent


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    hurry(monkeypatch.setattr)


class Unsure(threading.Thread):
    """Fires events of many sizes, one by one; `taken`: those that the minion has kept; `refused`: those it had no room for."""

    def __init__(self, socket: Path, seed: int) -> None:
        super().__init__(daemon=True)
        self.taken: list[int] = []
        self.refused: set[int] = set()
        self.error: BaseException | None = None
        self._client = Client.connect(socket)
        self._rng = random.Random(seed)
        self._finishing = threading.Event()

    def run(self) -> None:
        number = 0
        try:
            with self._client:
                while not self._finishing.wait(0.002):
                    try:
                        self._client.publish(OUTBOX, load(number, "x" * self._rng.choice(SIZES)))
                        self.taken.append(number)
                    except DiskFull:
                        self.refused.add(number)
                    number += 1
        except BaseException as error:  # noqa: BLE001 - the top of a thread; `finish` raises it again
            self.error = error

    def give_up(self) -> None:
        self._finishing.set()

    def finish(self) -> None:
        self._finishing.set()
        self.join(WITHIN_S)
        if self.error is not None:
            raise self.error


def _fill(volume: Path, leave: int) -> Path:
    """Take the space of a volume, but for so many bytes."""
    filler = volume / "filler"
    free = os.statvfs(volume)
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        # Who fires takes some of it meanwhile: then there is even less.
        for _ in range(max(0, free.f_bavail * free.f_frsize - leave) // PIECE):
            file.write(bytes(PIECE))
    return filler


def _fill_disk(forks: Forks, folder: Path, full: str, times: int, seed: int, *, without: str | None = None) -> None:
    """`full`: the part whose disk it is.  `without`: the safeguard that is taken out of the master's link."""
    rng, held_back = random.Random(seed), 0
    site = LinkSite(forks, folder, settings=SMALL, of_minions=SMALL, without={"link": without} if without else None)
    with ExitStack() as stack:
        volume = stack.enter_context(tmpfs(folder / "volume", VOLUME))
        stack.callback(site.close)
        site.logs[full] = str(volume / "log")
        site.start()
        firing, arriving = Unsure(site.bus_of("alpha"), seed), Arriving(site.bus)
        for thread in (firing, arriving):
            thread.start()
            stack.callback(thread.give_up)
        arriving.wait(20)
        for _ in range(times):
            filler = _fill(volume, rng.randrange(3 * PIECE))
            if full == "alpha":
                refused = len(firing.refused)
                wait_until(lambda refused=refused: len(firing.refused) > refused, within_s=WITHIN_S, what="a refusal")
            else:
                wait_until(
                    lambda: len(firing.taken) > len(arriving.numbers) + 30, within_s=WITHIN_S, what="events that wait"
                )
            time.sleep(rng.uniform(0.05, 0.3))
            held_back += len(firing.taken) - len(arriving.numbers)
            filler.unlink()
            if without is None:
                arriving.wait(len(firing.taken))
        firing.finish()
        arriving.settle(len(firing.taken), within_s=2.0 if without else SETTLED_S)
        numbers = stored(site.bus)
    place = {number: at for at, number in enumerate(firing.taken)}
    counters: dict[str, float] = {
        **judge([place.get(number, -1) for number in numbers], len(firing.taken)),
        "revived": len(firing.refused & set(numbers)),
        "tracebacks": len(site.tracebacks()),
        "events": len(firing.taken),
        "refused": len(firing.refused),
        "waited": held_back,
    }
    target = dict.fromkeys((*COUNTERS, "revived", "tracebacks"), 0.0)
    report(f"C-01 disk of {full}", seed=seed, runs=times, counters=counters, target=target, without=without)
    assert held_back if full == "broker" else firing.refused


@pytest.mark.parametrize("full", ["broker", "alpha"])
def test_a_full_disk_of_either_side_loses_nothing_that_was_kept(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, full: str
) -> None:
    """Three times: a master takes the events later, in their order; a minion refuses them, and says so to who fires them."""
    _fill_disk(forks, tmp_path_factory.mktemp("c01d"), full, 3, seed=31)


@pytest.mark.long
@pytest.mark.parametrize("full", ["broker", "alpha"])
@pytest.mark.parametrize("seed", [100, 101])
def test_a_full_disk_again_and_again(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, full: str, seed: int
) -> None:
    _fill_disk(forks, tmp_path_factory.mktemp("c01d"), full, 40, seed=seed)


def test_a_master_that_tries_once_is_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control."""
    with control("C-01", without="trying again", match="C-01 disk"):
        _fill_disk(forks, tmp_path_factory.mktemp("c01d"), "broker", 2, seed=33, without="trying again")
