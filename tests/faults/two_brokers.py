"""Two brokers that meet: a first one that serves and must stay unharmed, and a second one."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.forked_brokers import Forks, Start, Started, broker_output

SETTINGS = BrokerSettings(log=LogSettings(keep_free_bytes=0))
TRY_AGAIN, CONFIGURATION = 75, 78
REFUSED_WITHIN_S = 5.0
"""The target is 1 s; a machine that is busy with other tests is given more."""


class Case:
    """A first broker in `first`, and room for a second one in `second`."""

    def __init__(self, forks: Forks, folder: Path) -> None:
        self.forks, self.folder = forks, folder
        self.first, self.second = folder / "first", folder / "second"
        self.second.mkdir(mode=0o700)
        self.refusals_s: list[float] = []

    def start(
        self, place: Path, *, log: Path | None = None, at: Path | None = None, tcp: bool = False,
        without: str | None = None,
    ) -> Started:  # fmt: skip
        log_folder, path = str(log) if log else None, str(at) if at else None
        return self.forks.start(Start(str(place), SETTINGS, path, log_folder, without=without, tcp=tcp))

    @contextmanager
    def running(self, *, tcp: bool = False) -> Generator[Started]:
        """The first broker, which has one event, and is unharmed at the end."""
        started = self.start(self.first, tcp=tcp)
        assert started.ready, broker_output(self.first)
        with Client.connect(self.first / "bus.sock") as client:
            client.publish("load/one", {"n": 0})
        try:
            yield started
        finally:
            os.kill(started.pid, signal.SIGCONT)
        with Client.connect(self.first / "bus.sock") as client:
            assert client.welcome.broker == f"broker:{started.pid}"
            client.publish("load/one", {"n": 1})
            with client.subscribe("load/", since="oldest", until_end=True) as subscription:
                assert [event.data["n"] for event in subscription] == [0, 1]
        assert self.forks.stop(started.pid) == 0, broker_output(self.first)

    def refused(
        self, place: Path, code: int, *, log: Path | None = None, at: Path | None = None, tcp: bool = False,
        without: str | None = None,
    ) -> None:  # fmt: skip
        """Start another one, which must end by itself with that code, and soon."""
        began = time.monotonic()
        started = self.start(place, log=log, at=at, tcp=tcp, without=without)
        if started.ready:
            self.forks.kill(started.pid)
            raise AssertionError("a second broker serves")
        assert self.forks.ended(started.pid) == code, broker_output(place)
        self.refusals_s.append(time.monotonic() - began)
        assert "Traceback" not in broker_output(place), broker_output(place)

    def serves(
        self, place: Path, *, events: int, log: Path | None = None, at: Path | None = None, tcp: bool = False
    ) -> None:
        """Start one that must serve, with so many events in its log."""
        started = self.start(place, log=log, at=at, tcp=tcp)
        assert started.ready, broker_output(place)
        with Client.connect(place / "bus.tcp" if tcp else at or place / "bus.sock") as client:
            client.publish("load/one", {"n": -1})
            with client.subscribe("load/", since="oldest", until_end=True) as subscription:
                assert len(list(subscription)) == events + 1
        assert self.forks.stop(started.pid) == 0


def leave_socket(path: Path) -> None:
    """A socket file that nobody listens at."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
