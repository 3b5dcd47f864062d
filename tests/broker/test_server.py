"""The listeners and what drives the broker: asyncio around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from sylvite.broker import server as server_module
from sylvite.broker.broker import Broker
from sylvite.broker.server import Server
from sylvite.broker.settings import BrokerSettings
from sylvite.errors import SylviteError
from sylvite.eventlog.eventlog import EventLog, LogSettings
from sylvite.testing.clock import ManualClock
from sylvite.testing.storage import MemoryStorage, Moment, WatchedStorage

WAIT_S = 20.0
SLOW_S = 0.2
"""The disk takes longer than the broker waits for it."""


def test_it_lets_go_of_the_log_once_the_disk_has_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A sync is under way when the time to drain is over: it is waited for, and the broker hears how it went."""
    monkeypatch.setattr(server_module, "DRAIN_S", 0.05)
    is_open, at_the_disk, disk_goes_on = threading.Event(), threading.Event(), threading.Event()

    def watch(moment: Moment, call: str) -> None:
        if is_open.is_set() and (moment, call) == ("before", "sync"):
            at_the_disk.set()
            assert disk_goes_on.wait(WAIT_S)

    async def serve() -> Server:
        log = EventLog(WatchedStorage(MemoryStorage(), watch), LogSettings(keep_free_bytes=0), now_ns=1)

        def make(wanted: Callable[[], None], failed: Callable[[SylviteError], None]) -> Broker:
            return Broker(log, BrokerSettings(), ManualClock(), name="b", wanted=wanted, failed=failed)

        server = Server(make)
        is_open.set()
        server.broker.publish_own("test", {})
        stopping = asyncio.create_task(server.stop())
        assert await asyncio.to_thread(at_the_disk.wait, WAIT_S)
        threading.Timer(SLOW_S, disk_goes_on.set).start()
        await stopping
        assert log.synced == log.end == 1
        return server

    server = asyncio.run(serve())
    assert server.failure is None
    assert not caplog.records
