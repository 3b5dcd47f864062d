"""`sylvite master` and `sylvite minion`, as processes: keys, start events, what goes up, and what happens on a bad day."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sylvite import Client, Event
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_public
from sylvite.link.minion_end import OUTBOX_TAG
from tests.daemons.nodes import WITHIN_S, Site, children_of, part_of


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sylvite", *arguments], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )


def fingerprint_of(site: Site) -> str:
    with KeyFolder(site.data / "keys") as folder:
        return load_public(folder, "master").fingerprint


def pre_accept(site: Site) -> None:
    """Let the minion in as soon as it asks: its key is made by then."""
    with KeyFolder(site.folder / "n" / "pki") as folder:
        fingerprint = load_public(folder, "minion").fingerprint
    with Keyring.open(site.data / "keys") as keyring:
        keyring.expect(site.id, fingerprint, time.time_ns())


def wait_for(site: Site, tag: str) -> Event:
    with Client.connect(site.bus) as bus:
        return bus.wait(tag, since="oldest", timeout_s=WITHIN_S)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_minion_is_let_in_by_hand_and_what_it_fires_arrives(site: Site) -> None:
    """The way of an operator: start both, look at the keys, accept one, see its events."""
    with site.master():
        site.configure_minion(master_finger=f'"{fingerprint_of(site)}"', acceptance_wait_time="1")
        with site.minion():
            asked = wait_for(site, "salt/auth")
            assert (asked.data["act"], asked.data["id"]) == ("pend", "alpha")
            listed = run("keys", "list", "--dir", str(site.data))
            assert "alpha" in listed.stdout
            assert "pending" in listed.stdout
            accepted = run("--socket", str(site.bus), "keys", "accept", "alpha", "--dir", str(site.data), "--yes")
            assert accepted.returncode == 0, accepted.stderr
            start = wait_for(site, "salt/minion/alpha/start")
            assert start.sender == "minion:alpha"
            assert start.data["cmd"] == "_minion_event"
            assert start.data["data"].startswith("Minion alpha started at ")
            assert wait_for(site, "minion_start").offset < start.offset
            with Client.connect(site.minion_bus) as bus:
                bus.publish(OUTBOX_TAG, {"tag": "myco/x", "data": {"n": 1}})
            assert wait_for(site, "myco/x").data["data"] == {"n": 1}


def test_a_link_that_is_killed_is_started_again_and_nothing_is_lost_or_repeated(site: Site) -> None:
    with site.master() as master:
        site.configure_minion(master_finger=f'"{fingerprint_of(site)}"', acceptance_wait_time="1")
        with site.minion(), Client.connect(site.minion_bus) as outbox, Client.connect(site.bus) as bus:
            pre_accept(site)
            wait_for(site, "salt/minion/alpha/start")
            number = 0
            for _ in range(3):
                for _ in range(50):
                    outbox.publish(OUTBOX_TAG, {"tag": "myco/n", "data": {"n": number}})
                    number += 1
                os.kill(part_of(master, "link"), signal.SIGKILL)
            with bus.subscribe("myco/n", since="oldest") as subscription:
                events: list[Event] = []
                while len(events) < number:
                    event = subscription.next(timeout_s=WITHIN_S)
                    assert event is not None, f"{len(events)} of {number} have arrived"
                    events.append(event)
            assert [event.data["data"]["n"] for event in events] == list(range(number))
            with bus.subscribe("salt/minion/", since="oldest") as starts:
                assert [starts.next(timeout_s=WITHIN_S) is not None for _ in range(2)] == [True, True]


def test_a_broker_that_is_killed_costs_a_minion_nothing_but_time(site: Site) -> None:
    with site.master() as master:
        site.configure_minion(master_finger=f'"{fingerprint_of(site)}"', acceptance_wait_time="1")
        with site.minion(), Client.connect(site.minion_bus) as outbox, Client.connect(site.bus) as bus:
            pre_accept(site)
            wait_for(site, "salt/minion/alpha/start")
            os.kill(part_of(master, "broker"), signal.SIGKILL)
            for number in range(20):
                outbox.publish(OUTBOX_TAG, {"tag": "myco/n", "data": {"n": number}})
            with bus.subscribe("myco/n", since="oldest", timeout_s=WITHIN_S) as subscription:
                found = [subscription.next(timeout_s=WITHIN_S) for _ in range(20)]
            assert [event.data["data"]["n"] for event in found if event is not None] == list(range(20))


def test_a_master_that_is_told_to_stop_leaves_nothing_running(site: Site) -> None:
    with site.master() as master:
        parts = children_of(master.pid)
        assert set(parts) == {"broker", "jobs", "link", "salt-sockets"}
        assert master.stop() == 0
        for pid in parts.values():
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_a_token_lets_a_minion_in_at_its_first_start(site: Site, tmp_path: Path) -> None:
    with site.master():
        site.configure_minion(acceptance_wait_time="1")
        made = run("keys", "token", site.id, "--dir", str(site.data))
        assert made.returncode == 0, made.stderr
        token = tmp_path / "token"
        token.write_text(made.stdout.strip().splitlines()[-1].split()[-1])
        token.chmod(0o600)
        with site.minion("--token", str(token)):
            wait_for(site, "salt/minion/alpha/start")
        with site.minion(), Client.connect(site.minion_bus) as outbox:
            outbox.publish(OUTBOX_TAG, {"tag": "myco/second", "data": {}})
            wait_for(site, "myco/second")


def test_a_wrong_configuration_ends_the_start_with_its_line(site: Site) -> None:
    site.master_file.write_text("ret_port: many\n")
    ended = run("master", "--config", str(site.master_file))
    assert ended.returncode == 78
    assert f"{site.master_file}:1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_ends_the_master_rather_than_starting_it_for_ever(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", site.port))
        taken.listen()
        ended = run("master", "--config", str(site.master_file))
    assert ended.returncode == 78
    assert "cannot be listened on" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_fingerprint_that_is_none_ends_the_start_with_the_option(site: Site) -> None:
    site.configure_minion(master_finger="abc")
    ended = run("minion", "--config", str(site.minion_file))
    assert ended.returncode == 78
    assert "master_finger: 'abc' is not a fingerprint" in ended.stderr
    assert "Traceback" not in ended.stderr
