"""C-15: another key for a master and for a minion while events go up; either side is killed in each step."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from sylvite.auth import rollover
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_public
from sylvite.auth.keyring_values import NotAccepted
from sylvite.auth.keys import Fingerprint
from tests.daemons.nodes import Daemon, Site, part_of
from tests.daemons.test_master_and_minion import fingerprint_of, pre_accept, run, wait_for
from tests.faults.link_site import COUNTERS, SETTLED_S, Arriving, Firing, judge, stored
from tests.faults.report import control, report
from tests.faults.traffic import wait_until

OVERLAP_NS = int((rollover.OVERLAP_S + 3600) * 1e9)
TAKEN_UP_S = 120.0
"""A link that is killed again and again is started again later and later."""
PAUSE_S = 5.0
PAUSE_OF_KILLED_S = 90.0
"""A link that is killed again within a minute is started again later and later, up to half a minute; and that twice in a row."""


class _Rollovers:
    """A site whose keys are replaced.  `kills`: a part is killed (SIGKILL) at random in each step."""

    def __init__(self, site: Site, master: Daemon, stack: ExitStack, rng: random.Random, *, kills: bool) -> None:
        self.site, self.master, self.killed = site, master, 0
        self._stack, self._rng, self._kills = stack, rng, kills
        self.minion = stack.enter_context(site.minion())

    def step(self, do: Callable[[], object]) -> None:
        """Do something, and kill something just before, in the middle or after it."""
        do()
        time.sleep(self._rng.uniform(0.0, 0.2))
        if not self._kills:
            return
        self.killed += 1
        if self.killed % 2:
            os.kill(part_of(self.master, "link"), signal.SIGKILL)
        else:
            self.minion.kill()
            self.minion = self._stack.enter_context(self.site.minion())

    def of_master(self, *, tell: bool = True) -> Fingerprint:
        """Replace the master's key; return the former one.  `tell`: minions hear of it before."""
        former = Fingerprint(fingerprint_of(self.site))
        with KeyFolder(self.site.data / "keys") as folder:
            if tell:
                self.step(lambda: rollover.begin_master(folder, "master", time.time_ns()))
                successor = rollover.begin_master(folder, "master", time.time_ns())[0].fingerprint
                wait_until(
                    lambda: self._has_learned(successor),
                    within_s=TAKEN_UP_S,
                    what="the minion learns of the next key",
                    every_s=0.1,
                )
            else:
                rollover.begin(folder, "master")
            self.step(lambda: rollover.finish(folder, "master"))
        return former

    def of_minion(self) -> Fingerprint:
        """Replace the minion's key; return the former one."""
        former = self.key_of_minion()
        self.step(lambda: self._renew())
        wait_until(
            lambda: self.key_of_minion() != former,
            within_s=TAKEN_UP_S,
            what="the minion takes its next key up",
            every_s=0.1,
        )
        self.step(lambda: None)
        return former

    def _renew(self) -> None:
        done = run("keys", "renew", "--config", str(self.site.minion_file))
        assert done.returncode == 0, done.stderr

    def _has_learned(self, fingerprint: str) -> bool:
        file = self.site.folder / "n" / "pki" / "masters.json"
        return file.exists() and fingerprint in file.read_text()

    def key_of_minion(self) -> Fingerprint:
        with KeyFolder(self.site.folder / "n" / "pki") as folder:
            return load_public(folder, "minion").fingerprint


def _counts_for_ever(site: Site, former: Fingerprint) -> bool:
    """Say whether a key that was replaced still counts when its time is over."""
    with Keyring.open(site.data / "keys") as keyring:
        try:
            keyring.identify(former, time.time_ns() + OVERLAP_NS)
        except NotAccepted:
            return False
    return True


def _roll_over(folder: Path, rounds: int, seed: int, *, kills: bool, without: str | None = None) -> None:
    site = Site(folder)
    with ExitStack() as stack:
        master = stack.enter_context(site.master())
        site.configure_minion(
            master_finger=f'"{fingerprint_of(site)}"', acceptance_wait_time="0.5", recon_default="100", recon_max="500"
        )  # fmt: skip
        keys = _Rollovers(site, master, stack, random.Random(seed), kills=kills)
        pre_accept(site)
        wait_for(site, "salt/minion/alpha/start")
        firing, arriving = Firing(site.minion_bus, each_s=0.01), Arriving(site.bus)
        for thread in (firing, arriving):
            thread.start()
            stack.callback(thread.give_up)
        arriving.wait(20)
        arriving.pause_s = 0.0
        for _ in range(rounds):
            former_master = keys.of_master(tell=without is None)
            if without is None:
                former_minion = keys.of_minion()
                arriving.wait(firing.sent)
                assert _counts_for_ever(site, former_minion) is False
                assert fingerprint_of(site) != former_master
        more = firing.sent + 50
        wait_until(lambda: firing.sent > more, within_s=TAKEN_UP_S, what="events behind the last step")
        sent = firing.finish()
        arriving.settle(sent, within_s=5.0 if without else SETTLED_S)
        numbers = stored(site.bus)
    counters: dict[str, float] = {
        **judge(numbers, sent), "pause_s": round(arriving.pause_s, 1), "kills": keys.killed, "events": sent,
    }  # fmt: skip
    limits = dict.fromkeys(COUNTERS, 0.0) | {"pause_s": PAUSE_OF_KILLED_S if kills else PAUSE_S}
    report("C-15", seed=seed, runs=2 * rounds, counters=counters, target=limits, without=without)


def test_other_keys_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """One for the master and one for the minion; a process is killed in each step."""
    _roll_over(tmp_path, 1, seed=1, kills=True)


@pytest.mark.long
@pytest.mark.parametrize(("seed", "kills"), [(100, False), (101, True), (102, True)])
def test_other_keys_again_and_again(tmp_path: Path, seed: int, kills: bool) -> None:
    _roll_over(tmp_path, 5, seed=seed, kills=kills)


@pytest.mark.long
def test_a_master_that_does_not_tell_is_found_out(tmp_path: Path) -> None:
    """Negative control: its minions do not know the new key, and do not speak to it."""
    with control("C-15", without="telling minions of the next key", match='"lost": [1-9]'):
        _roll_over(tmp_path, 1, seed=2, kills=True, without="telling minions of the next key")
