"""Another key for a master and for a minion, while events go up: none is lost, none comes twice."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sylvite import Client
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_public
from sylvite.auth.keys import Fingerprint
from sylvite.core.known_tags import OUTBOX
from tests.daemons.nodes import Site, until
from tests.daemons.test_master_and_minion import fingerprint_of, pre_accept, run, wait_for


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def numbers_at(site: Site) -> list[int]:
    with Client.connect(site.bus) as bus, bus.subscribe("myco/n", since="oldest", until_end=True) as found:
        return [event.data["data"]["n"] for event in found]


def fire(site: Site, numbers: range) -> None:
    with Client.connect(site.minion_bus) as outbox:
        outbox.publish_many((OUTBOX, {"tag": "myco/n", "data": {"n": number}}) for number in numbers)


def arrived(site: Site, numbers: range) -> None:
    until(lambda: numbers_at(site)[-1:] == [numbers[-1]], "it does not arrive")
    assert numbers_at(site) == list(range(numbers[-1] + 1))


def rollover(site: Site, *more: str) -> str:
    done = run("keys", "rollover", "--dir", str(site.data), "--json", *more)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["fingerprint"])


def configure(site: Site) -> str:
    finger = fingerprint_of(site)
    site.configure_minion(
        master_finger=f'"{finger}"', acceptance_wait_time="0.5", recon_default="100", recon_max="500"
    )  # fmt: skip
    return finger


def has_learned(site: Site, fingerprint: str) -> bool:
    file = site.folder / "n" / "pki" / "masters.json"
    return file.exists() and fingerprint in file.read_text()


def test_a_master_comes_to_another_key_and_its_minions_go_with_it(site: Site) -> None:
    with site.master():
        former = configure(site)
        with site.minion():
            pre_accept(site)
            wait_for(site, "salt/minion/alpha/start")
            fire(site, range(20))
            successor = rollover(site)
            until(lambda: has_learned(site, successor), "it does not learn of the next key")
            fire(site, range(20, 40))
            assert rollover(site, "--finish") == successor
            assert fingerprint_of(site) == successor
            fire(site, range(40, 60))
            arrived(site, range(60))
            starts = "salt/minion/alpha/start"
            with Client.connect(site.bus) as bus, bus.subscribe(starts, since="oldest") as again:
                assert [again.next(timeout_s=30) is not None for _ in range(2)] == [True, True]
        # master_finger names the former key, which has led to this one.
        with site.minion():
            fire(site, range(60, 70))
            arrived(site, range(70))
        assert former != successor


def test_a_minion_that_was_away_in_between_does_not_speak_to_it(site: Site) -> None:
    with site.master():
        configure(site)
        with site.minion():
            pre_accept(site)
            wait_for(site, "salt/minion/alpha/start")
        rollover(site)
        rollover(site, "--finish")
        with site.minion() as minion:
            fire(site, range(5))
            until(lambda: "and not" in minion.log.read_text(), "it speaks to a master with a key that it does not know")
            assert numbers_at(site) == []


def test_a_minion_comes_to_another_key_and_the_former_one_is_replaced(site: Site) -> None:
    def key_of() -> Fingerprint:
        with KeyFolder(site.folder / "n" / "pki") as folder:
            return load_public(folder, "minion").fingerprint

    def accepted() -> list[str]:
        with Keyring.open(site.data / "keys") as keyring:
            return [key.fingerprint for key in keyring.all_keys("alpha") if key.state == "accepted"]

    with site.master():
        configure(site)
        with site.minion():
            pre_accept(site)
            wait_for(site, "salt/minion/alpha/start")
            former = key_of()
            fire(site, range(20))
            done = run("keys", "renew", "--config", str(site.minion_file), "--json")
            assert done.returncode == 0, done.stderr
            successor = json.loads(done.stdout)["fingerprint"]
            fire(site, range(20, 40))
            until(lambda: key_of() == successor, "it does not take its next key up")
            assert accepted() == [successor]
            fire(site, range(40, 60))
            arrived(site, range(60))
        with Keyring.open(site.data / "keys") as keyring:
            assert keyring.identify(former, time.time_ns()).replaced, "the former one counts for a while"
        with site.minion():
            fire(site, range(60, 70))
            arrived(site, range(70))
