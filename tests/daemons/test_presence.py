"""What a minion tells of itself, and who is here, with real daemons."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sylvite import Client
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_public
from sylvite.auth.keyring_values import State
from sylvite.core.known_tags import OUTBOX
from sylvite.jobs.minions import FILE, read_minions
from tests.daemons.nodes import WITHIN_S, Site, part_of, until
from tests.daemons.test_master_and_minion import fingerprint_of, pre_accept, run, wait_for


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def presence(site: Site, *more: str) -> list[dict[str, object]]:
    done = run("presence", "--dir", str(site.data), "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def until_present(site: Site, *, is_present: bool) -> dict[str, object]:
    until(lambda: [each["present"] for each in presence(site, "--all")] == [is_present])
    return presence(site, "--all")[0]


def test_who_is_here_is_told_on_the_bus_and_by_the_command(site: Site) -> None:
    site.write(
        site.master_file, "m", interface="127.0.0.1", ret_port=str(site.port), id="master", presence_events="true",
        loop_interval="1",
    )  # fmt: skip
    with site.master() as master:
        site.configure_minion(master_finger=f'"{fingerprint_of(site)}"', acceptance_wait_time="1", recon_max="1000")
        with Client.connect(site.bus) as bus, bus.subscribe("salt/presence/change") as changes:
            with site.minion():
                pre_accept(site)
                change = changes.next(timeout_s=WITHIN_S)
                assert change is not None
                assert (change.data["new"], change.data["lost"]) == (["alpha"], [])
                bus.wait("salt/presence/present", where="data.present == ['alpha']", timeout_s=WITHIN_S)
                here = until_present(site, is_present=True)
                assert here["address"] == "127.0.0.1"
                assert "alpha" in run("presence", "--dir", str(site.data)).stdout

                os.kill(part_of(master, "link"), signal.SIGKILL)
                wait_for_second_start(site)
                assert changes.next(timeout_s=3) is None, "a link that starts anew is no news"
            change = changes.next(timeout_s=WITHIN_S)
            assert change is not None
            assert (change.data["new"], change.data["lost"]) == ([], ["alpha"])
            gone = until_present(site, is_present=False)
            assert gone["reason"] == "goodbye: the minion is stopping"
            assert presence(site) == []


def wait_for_second_start(site: Site) -> None:
    with Client.connect(site.bus) as bus, bus.subscribe("salt/minion/alpha/start", since="oldest") as starts:
        assert [starts.next(timeout_s=WITHIN_S) is not None for _ in range(2)] == [True, True]


def test_the_command_goes_on_with_who_comes_and_goes(site: Site) -> None:
    with site.master():
        site.configure_minion(master_finger=f'"{fingerprint_of(site)}"', acceptance_wait_time="1")
        watching = subprocess.Popen(
            [sys.executable, "-m", "sylvite", "presence", "--dir", str(site.data), "--watch", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with site.minion():
                pre_accept(site)
                assert watching.stdout is not None
                came = json.loads(watching.stdout.readline())
                assert (came["id"], came["present"]) == ("alpha", True)
            left = json.loads(watching.stdout.readline())
            assert (left["id"], left["present"]) == ("alpha", False)
        finally:
            watching.send_signal(signal.SIGINT)
            assert watching.wait(WITHIN_S) == 130
            assert watching.stdout is not None
            watching.stdout.close()


def test_without_a_master_the_command_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = run("presence", "--dir", str(tmp_path / "none"))
    assert done.returncode != 0
    assert "minions.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_minion_sends_its_grains_and_says_that_it_lives(site: Site) -> None:
    with site.master():
        site.configure_minion(
            master_finger=f'"{fingerprint_of(site)}"', acceptance_wait_time="1", grains="{role: web}",
            start_event_grains="[role, id]", ping_interval="0.005",
        )  # fmt: skip
        with site.minion(), Client.connect(site.minion_bus) as minion:
            pre_accept(site)
            start = wait_for(site, "salt/minion/alpha/start")
            assert start.data["grains"] == {"id": "alpha", "role": "web"}
            assert wait_for(site, "minion/refresh/alpha").data["Minion data cache refresh"] == "alpha"
            with read_minions(site.data / FILE) as minions:
                assert minions.grains_of("alpha")["role"] == "web"
            assert wait_for(site, "minion_ping").data["data"] == "ping"

            (site.folder / "grains").write_text("room: cellar\n")
            (site.folder / "grains").chmod(0o600)
            with Client.connect(site.bus) as bus, bus.subscribe("minion/refresh/alpha") as refreshed:
                minion.publish("grains_refresh", {})
                assert refreshed.next(timeout_s=WITHIN_S) is not None
            with read_minions(site.data / FILE) as minions:
                assert minions.grains_of("alpha")["room"] == "cellar"


def test_a_minion_whose_key_is_rejected_stops_unless_rejected_retry(site: Site) -> None:
    with site.master():
        site.configure_minion(master_finger=f'"{fingerprint_of(site)}"', acceptance_wait_time="0.2")
        with site.minion() as minion:
            wait_for(site, "salt/auth")
            with Keyring.open(site.data / "keys") as keyring:
                (key,) = keyring.all_keys("alpha")
                assert key.state is State.PENDING
                keyring.reject("alpha", key.fingerprint, time.time_ns())
            assert minion.wait() == 77
            assert "rejected" in minion.log.read_text()
            assert "Traceback" not in minion.log.read_text()
        site.configure_minion(
            master_finger=f'"{fingerprint_of(site)}"', acceptance_wait_time="0.2", rejected_retry="true"
        )
        with site.minion(), Client.connect(site.bus) as bus, bus.subscribe("salt/auth") as asked:
            acts = [asked.next(timeout_s=WITHIN_S) for _ in range(3)]
            assert [event.data["act"] for event in acts if event is not None] == ["reject"] * 3


def test_two_masters_share_the_work_and_none_of_it_is_lost_or_done_twice(tmp_path: Path) -> None:
    """One is away, and the minion turns to the other: each event is at one of them, once, in order."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, second = Site(tmp_path / "one"), Site(tmp_path / "two")
    keys = second.data / "keys"
    with first.master():
        pin = fingerprint_of(first)
    keys.mkdir(parents=True, mode=0o700)
    for name in ("master.key", "master.pub"):
        (keys / name).write_bytes((first.data / "keys" / name).read_bytes())
        (keys / name).chmod(0o600)
    first.write(
        first.minion_file, "n", id="alpha", master=f"[127.0.0.1:{first.port}, 127.0.0.1:{second.port}]",
        master_finger=f'"{pin}"', acceptance_wait_time="0.2", recon_default="100", recon_max="500",
    )  # fmt: skip
    numbers = iter(range(1000))
    with first.minion(), Client.connect(first.minion_bus) as outbox:

        def fire(count: int) -> int:
            fired = list(itertools.islice(numbers, count))
            for number in fired:
                outbox.publish(OUTBOX, {"tag": "myco/n", "data": {"n": number}})
            return fired[-1]

        def fired_to(site: Site) -> list[int]:
            with Client.connect(site.bus) as bus, bus.subscribe("myco/n", since="oldest", until_end=True) as found:
                return [event.data["data"]["n"] for event in found]

        for site in (first, second):
            pki = tmp_path / "one" / "n" / "pki"
            with Keyring.open(site.data / "keys", make=True) as keyring, KeyFolder(pki) as folder:
                keyring.expect("alpha", load_public(folder, "minion").fingerprint, time.time_ns())
        found: dict[str, list[int]] = {}
        for site in (first, second, first):
            with site.master() as master:
                last = fire(20)
                until(lambda site=site, last=last: last in fired_to(site), "it does not turn to the other master")
                fire(20)  # Of these some are taken, and some are not.
                found[str(site.folder)] = fired_to(site)
                assert master.stop() == 0
            fire(5)
        with first.master():
            last = fire(1)
            until(lambda: last in fired_to(first))
            found[str(first.folder)] = fired_to(first)
        with second.master():
            found[str(second.folder)] = fired_to(second)
    for each in found.values():
        assert each == sorted(set(each)), "in order, and none twice at one master"
    assert set().union(*found.values()) == set(range(last + 1))


def test_an_outbox_that_has_overflowed_tells_the_master_what_is_missing(site: Site) -> None:
    """The oldest go; the master hears how many, and gets all the others, once and in order."""
    limits = "{log: {segment_bytes: 65536, keep_bytes: 262144}}"
    with site.master():
        site.configure_minion(
            master_finger=f'"{fingerprint_of(site)}"', acceptance_wait_time="0.2", recon_max="500", broker=limits
        )
        with site.minion():
            pre_accept(site)
            wait_for(site, "salt/minion/alpha/start")
    count = 20_000  # More than the minion has in memory.
    with site.minion(), Client.connect(site.minion_bus) as outbox:
        pad = "x" * 500
        outbox.publish_many((OUTBOX, {"tag": "myco/n", "data": {"n": n, "pad": pad}}) for n in range(count))
        with site.master(), Client.connect(site.bus) as bus:
            bus.wait("salt/minion/alpha/missed", since="oldest", timeout_s=WITHIN_S)
            outbox.publish(OUTBOX, {"tag": "myco/n", "data": {"n": count}})
            bus.wait("myco/n", where=f"data.data.n == {count}", since="oldest", timeout_s=WITHIN_S)
            with bus.subscribe("myco/n", since="oldest", until_end=True) as arrived:
                found = [event.data["data"]["n"] for event in arrived]
            with bus.subscribe("salt/minion/alpha/missed", since="oldest", until_end=True) as told:
                missed = [event.data["data"] for event in told]
    assert {each["reason"] for each in missed} == {"retention"}
    assert found == sorted(set(found))
    # Offsets of its log are counted, in which there are a few other events.
    lost = count + 1 - len(found)
    assert 0 < lost <= missed[-1]["total"] <= lost + 200
