"""A bus with its interface and what posts its events, as processes that a test kills and starts again."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.eventlog.eventlog import LogSettings
from tests.api.hooking import HOOKS, configure
from tests.daemons.nodes import WITHIN_S, free_port
from tests.faults.forked_brokers import Forks, broker_output
from tests.faults.hook_parent import HookStart

SETTINGS = BrokerSettings(log=LogSettings(keep_free_bytes=0))


class HookSite:
    """`parts`: what runs, by name: `broker`, `api`, `webhooks`."""

    def __init__(
        self, forks: Forks, folder: Path, *, without: str | None = None, hooks: dict[str, dict[str, Any]] = HOOKS,
        names: dict[str, list[list[str]]] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        """`options`: others of the master's file."""
        self.forks, self.folder, self.port = forks, folder / "bus", free_port()
        self.parts: dict[str, int] = {}
        self._without, self._names = without, names or {}
        self._options = configure(folder, hooks, **options)
        self._connection: http.client.HTTPConnection | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "bus.sock"

    def start(self, *names: str) -> None:
        for name in names:
            started = self.forks.start(
                HookStart(
                    str(self.folder), SETTINGS, part=name, port=self.port, options=str(self._options), names=self._names,
                    without=self._without if name != "broker" else None,
                )
            )  # fmt: skip
            assert started.ready, broker_output(self.folder)
            self.parts[name] = started.pid

    def shoot(self, *names: str) -> None:
        """Send the signal alone; `kill` waits for their end.  From any thread."""
        for name in names:
            os.kill(self.parts[name], signal.SIGKILL)

    def kill(self, *names: str) -> None:
        """End them as a crash would, all in the same moment."""
        self.shoot(*names)
        pids = [self.parts.pop(name) for name in names]
        for pid in pids:
            self.forks.ended(pid)
        self._hang_up()

    def close(self) -> None:
        self._hang_up()
        for name in ("webhooks", "api", "broker"):
            if name in self.parts:
                self.forks.stop(self.parts.pop(name))

    def post(self, hook: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Post a delivery; return the status and the body of the answer.  Raises OSError, HTTPException: none came."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN_S)
        try:
            self._connection.request("POST", f"/v1/hooks/{hook}", body, dict(headers))
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ids(self) -> list[str]:
        """Return the ids of all deliveries in the log, in its order."""
        with (
            Client.connect(self.socket) as client,
            client.subscribe(startswith="hooks/", since="oldest", until_end=True) as events,
        ):
            return [event.data["id"] for event in events]

    def tracebacks(self) -> int:
        return broker_output(self.folder).count("Traceback (most recent call last)")
