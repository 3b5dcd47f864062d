"""F-02: a master that is paused while a role is its own does nothing twice when it goes on."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sylvite.cluster.dev import DevCluster
from sylvite.cluster.tenure import Fence, Guard
from sylvite.errors import LeaseLost
from tests.cluster.conftest import nats, nats_servers
from tests.cluster.servers import is_paused
from tests.faults.report import control, report

__all__ = ["nats", "nats_servers"]
WITHIN_S = 60.0
STAND_AT = 10
NEVER = sys.maxsize
PROJECT = Path(__file__).parents[2]


class Deeds:
    """The place where deeds are done: it knows who asks, what was done, and refuses whose tenure is over."""

    def __init__(self, *, guarded: bool) -> None:
        self.done: list[tuple[str, int]] = []
        self.refused: Counter[str] = Counter()
        self.ready: set[str] = set()
        self.changed = threading.Condition()
        self._guard = Guard()
        self._guarded = guarded

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        with self.changed:
            self.changed.notify_all()
            node = asked["node"]
            if asked["what"] == "ready":
                self.ready.add(node)
            elif asked["what"] == "next":
                return {"number": 1 + max((number for _, number in self.done), default=0)}
            elif asked["what"] == "do":
                try:
                    self._guard.check("deeds", Fence(*asked["fence"]))
                except LeaseLost:
                    self.refused[node] += 1
                    if self._guarded:
                        return {"done": False}
                self.done.append((node, asked["number"]))
            return {"done": True}

    def by(self, node: str) -> int:
        return sum(who == node for who, _ in self.done)

    def wait_until(self, is_so: Any) -> None:
        with self.changed:
            assert self.changed.wait_for(is_so, WITHIN_S), (self.done[-5:], self.refused, self.ready)

    @property
    def doubles(self) -> int:
        return sum(count - 1 for count in Counter(number for _, number in self.done).values())


@contextmanager
def served(deeds: Deeds) -> Generator[int]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(json.dumps(deeds.answer(json.loads(line))).encode() + b"\n")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def master(servers: DevCluster, node: str, life_s: float, port: int, stand_at: int) -> Generator[int]:
    words = (node, ",".join(servers.urls), str(servers.credentials("master")), str(life_s), str(port), str(stand_at))
    process = subprocess.Popen((sys.executable, "-m", "tests.faults.lease_program", *words), cwd=PROJECT)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def _row(servers: DevCluster, *, life_s: float, paused_s: float, guarded: bool = True) -> None:
    deeds = Deeds(guarded=guarded)
    with ExitStack() as stack:
        port = stack.enter_context(served(deeds))
        first = stack.enter_context(master(servers, "mars", life_s, port, STAND_AT))
        deeds.wait_until(lambda: deeds.by("mars") >= 2)
        stack.enter_context(master(servers, "venus", life_s, port, NEVER))
        deeds.wait_until(lambda: "venus" in deeds.ready)
        deeds.wait_until(lambda: deeds.by("venus") >= 3)
        assert is_paused(first), "venus has taken over from one that stands still"
        if paused_s:
            # The whole of it goes by while the other one works on.
            with deeds.changed:
                deeds.changed.wait_for(lambda: False, paused_s)
        count = deeds.by("venus")
        os.kill(first, signal.SIGCONT)
        deeds.wait_until(lambda: deeds.refused["mars"] >= 1 or deeds.doubles)
        deeds.wait_until(lambda: deeds.by("venus") >= count + 3)
    late = deeds.done.index(("venus", STAND_AT)) if ("venus", STAND_AT) in deeds.done else len(deeds.done)
    counters = {
        "double": deeds.doubles,
        "stale deeds": sum(node == "mars" for node, _ in deeds.done[late:]),
        "deeds left out": len(set(range(1, 1 + max(number for _, number in deeds.done))) - {number for _, number in deeds.done}),
    }  # fmt: skip
    report("F-02", seed=0, runs=1, counters=counters, without=None if guarded else "the guard")


def test_a_master_that_stood_still_does_nothing_twice(nats: DevCluster) -> None:
    _row(nats, life_s=1.0, paused_s=0.0)


@pytest.mark.long
def test_a_master_that_stood_still_for_a_minute(nats: DevCluster) -> None:
    _row(nats, life_s=10.0, paused_s=60.0)


def test_without_a_guard_it_does(nats: DevCluster) -> None:
    with control("F-02", without="the fence", match='"double": 1'):
        _row(nats, life_s=1.0, paused_s=0.0, guarded=False)
