"""A walk in which every kind of event happens that Salt's documentation names: as an operator would make it happen."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from sylvite import Client, Event
from sylvite.auth.keyring_store import NAME
from sylvite.jobs.jid import JidMaker
from tests.daemons.network import Network, Node
from tests.daemons.nodes import WITHIN_S, Daemon, free_port

SECRET = "testbed-only-secret-testbed-only-secret"
MODULE = """
def steps():
    yield 1
    yield 2

def crash():
    import os, signal
    os.kill(os.getpid(), signal.SIGSEGV)
"""
RUNNER = """
def fails():
    raise ValueError("this runner fails")

def tells():
    __jid_event__.fire_event({"message": "half of it is done"}, "progress")
    return True
"""
STEPS = """
ask:
  salt.function: [{name: test.ping}, {tgt: alpha}]
tell:
  salt.runner: [{name: event.send}, {tag: myco/walk/done}, {require: [{salt: ask}]}]
look:
  salt.wheel: [{name: key.list}, {match: accepted}]
"""


class Walk:
    """All that happens, and what was on the master's bus."""

    def __init__(self, folder: Path) -> None:
        self.network = Network(folder)
        self.http_port = free_port()
        self.events: list[Event] = []

    def run(self) -> None:
        """Do it all; what each step makes happen is waited for, so that the next one finds it."""
        with contextlib.ExitStack() as stack:
            master = self.start_master(stack)
            alpha = self.let_in(stack)
            self.turn_away(stack)
            self.lock_the_keys()
            self.do_jobs(alpha)
            self.refuse_a_job()
            self.call_runners()
            self.create_and_destroy_a_machine()
            self.fill_up(stack, master)
            self.end(stack)
            with Client.connect(self.network.bus) as bus:
                self.events = list(bus.subscribe(since="oldest", until_end=True))

    def start_master(self, stack: contextlib.ExitStack) -> Daemon:
        network, runners = self.network, self.network.master.folder / "runners"
        write(runners / "walk.py", RUNNER)
        write(network.master.folder / "srv" / "walk.sls", STEPS)
        self.configure_master()
        return stack.enter_context(network.master.run("master"))

    def configure_master(self, **options: object) -> None:
        self.network.master.configure(
            "master", id="mars", interface="127.0.0.1", ret_port=self.network.port, presence_events=True,
            loop_interval=1, runner_dirs=f"[{self.network.master.folder / 'runners'}]",
            file_roots=f"{{base: [{self.network.master.folder / 'srv'}]}}", sharedsecret=SECRET,
            rest_cherrypy=f"{{host: 127.0.0.1, port: {self.http_port}, disable_ssl: true}}",
            netapi_enable_clients="[local_async]", external_auth="{sharedsecret: {bob: [test.ping]}}", **options,
        )  # fmt: skip

    def let_in(self, stack: contextlib.ExitStack) -> Node:
        """By hand: its key waits, is accepted, and the minion says that it is there."""
        network = self.network
        modules = network.folder / "modules"
        write(modules / "walk.py", MODULE)
        alpha = network.pinned(
            "alpha", "alpha", start_event_grains="[os, id]", ping_interval="1s", module_dirs=f"[{modules}]",
            beacons="{status: [{loadavg: [1-min]}, {interval: 1}]}",
        )  # fmt: skip
        stack.enter_context(alpha.run("minion"))
        network.sees("salt/auth", "data.act == 'pend' and data.id == 'alpha'")
        network.master("keys", "accept", "alpha", "--yes")
        network.sees("salt/minion/alpha/start")
        return alpha

    def turn_away(self, stack: contextlib.ExitStack) -> None:
        """Another one with the same id, and one that is rejected and forgotten."""
        network = self.network
        with network.pinned("thief", "alpha").run("minion"):
            network.sees("salt/auth", "data.act == 'denied'")
        with network.pinned("beta", "beta", rejected_retry=True).run("minion"):
            network.sees("salt/auth", "data.act == 'pend' and data.id == 'beta'")
            network.master("keys", "reject", "beta", "--yes")
            network.sees("salt/auth", "data.act == 'reject'")
        network.master("keys", "delete", "beta", "--yes")

    def lock_the_keys(self) -> None:
        """Somebody else has the keys in his hands for so long that nothing can be said of one that asks."""
        network = self.network
        path = network.master.folder / "var" / "lib" / "sylvite" / "master" / "keys" / NAME
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as keys:
            keys.execute("BEGIN IMMEDIATE")
            with network.pinned("delta", "delta").run("minion"):
                network.sees("salt/auth", "data.act == 'error'")
                keys.execute("ROLLBACK")

    def refuse_a_job(self) -> None:
        """Over HTTP: what this user may not run, with a jid that was made before."""
        low = {
            "client": "local_async", "tgt": "*", "fun": "cmd.run", "arg": ["id"], "jid": JidMaker().make(time.time_ns()),
            "username": "bob", "password": SECRET, "eauth": "sharedsecret",
        }  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=WITHIN_S)
        with contextlib.closing(connection):
            connection.request("POST", "/run", json.dumps([low]), {"Content-Type": "application/json"})
            assert connection.getresponse().status == 403
        self.network.sees(f"salt/job/{low['jid']}/error")

    def do_jobs(self, alpha: Node) -> None:
        """From the master, with their start and their progress told; and a call on the minion, which tells the master."""
        master = self.network.master
        master("jobs", "run", "alpha", "test.ping")
        master("jobs", "run", "-L", "alpha,nobody", "test.ping", code=None)
        master("jobs", "run", "alpha", "test.arg", "1", "--start-event")
        master("jobs", "run", "alpha", "walk.steps")
        master("jobs", "run", "alpha", "event.send", "myco/from/job", "a=1")
        master("jobs", "run", "alpha", "walk.crash", code=None)
        alpha("call", "test.arg", "1", "b=c")
        alpha("call", "event.send", "myco/mytag", "foo=Foo")
        alpha("call", "event.send", "myco/preload", "{a: 1}", "preload={extra: 1}")
        alpha("call", "event.send", "myco/grains", "with_grains=['id','os_family']")
        alpha("call", "event.fire_master", '{"data":"my event data"}', "tag/fire_master")
        self.network.sees("tag/fire_master")

    def call_runners(self) -> None:
        master = self.network.master
        master("run", "test.arg", "1", "b=c")
        master("run", "event.send", "golden/runner/tag", "{a: 1}")
        master("run", "walk.tells")
        master("run", "walk.fails", code=None)
        master("run", "no.such", code=None)
        master("run", "state.orchestrate", "walk")
        master("wheel", "key.list_all")

    def create_and_destroy_a_machine(self) -> None:
        """At libcloud's own dummy provider."""
        folder, master = self.network.master.folder, self.network.master
        write(folder / "cloud.providers.d" / "here.conf", "here:\n  driver: dummy\n")
        write(
            folder / "cloud.profiles.d" / "small.conf",
            "small:\n  provider: here\n  size: Small\n  image: Ubuntu 9.04\n",
        )
        master("cloud", "create", "small", "web1")
        # One of those that are there always: what was created there ends with the process.
        master("cloud", "destroy", "dummy-1", "--yes")

    def fill_up(self, stack: contextlib.ExitStack, master: Daemon) -> None:
        """The master is told to have no more minions than it has: it reads that anew, and nobody is disturbed."""
        self.configure_master(max_minions=1)
        os.kill(master.pid, signal.SIGHUP)
        until(lambda: "was read again" in master.log.read_text())
        with self.network.pinned("gamma", "gamma").run("minion"):
            self.network.sees("salt/auth", "data.act == 'full'")

    def end(self, stack: contextlib.ExitStack) -> None:
        """The key is taken back, and the minion is lost."""
        self.network.sees("minion_ping")
        self.network.sees("salt/beacon/alpha/")
        self.network.sees("salt/presence/present", "'alpha' in data.present")
        self.network.master("keys", "revoke", "alpha", "--yes")
        lost = self.network.sees("salt/presence/change", "'alpha' in data.lost")
        self.network.sees("salt/presence/present", "data.present == []", after=lost)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o644)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
