"""Event objects of Salt's: forks, event loops, restarts of the bus, and what is ours on top."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from sylvite.client.sync_client import Client
from sylvite.compat.event import LocalClientEvent, MasterEvent, MinionEvent, SaltEvent, get_event, get_master_event
from sylvite.compat.exceptions import SaltDeserializationError
from sylvite.compat.fired import NamespacedEvent, StateFire, fire_args
from sylvite.testing.broker import BrokerProcess


def test_the_kinds_of_objects(broker: BrokerProcess) -> None:
    folder = str(broker.folder)
    with get_event("master", folder, {}, listen=False) as master, get_event("minion", folder, {}, False) as minion:
        assert type(master) is MasterEvent
        assert type(minion) is SaltEvent
        assert (master.node, minion.node) == ("master", "minion")
        assert not master.cpub
        assert not master.cpush
        assert master.fire_event({}, "a/b")
        assert master.cpush
    assert not master.cpush, "leaving it closes it"
    with get_master_event({"sock_dir": folder}, folder, listen=False) as master, LocalClientEvent(folder) as local:
        assert master.node == local.node == "master"
        assert local.cpub
    with pytest.raises(TypeError):
        get_event("master")


def test_a_child_has_connections_of_its_own(broker: BrokerProcess) -> None:
    with MasterEvent(str(broker.folder)) as event:
        assert event.fire_event({"n": 1}, "fork/before")
        child = os.fork()
        if not child:
            ok = not event.cpub or (event.fire_event({"n": 2}, "fork/child") and event.cpush)
            os._exit(0 if ok else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0
        assert event.fire_event({"n": 3}, "fork/after")
        got = [event.get_event(full=True, tag="fork/", wait=30) for _ in range(3)]
    assert [one and one["tag"] for one in got] == ["fork/before", "fork/child", "fork/after"]


def test_nothing_is_missed_over_a_restart_of_the_bus(tmp_path: Path) -> None:
    """More than Salt, which loses what is fired meanwhile and has to be told to connect again."""
    with BrokerProcess(tmp_path / "bus") as broker, MasterEvent(str(broker.folder)) as event:
        assert event.fire_event({"n": 1}, "r/1")
        broker.kill()
        assert event.fire_event({"n": 0}, "r/nobody", timeout=200) is False
        assert event.get_event(tag="r/", wait=0.5) is not None
        assert event.get_event(tag="r/", wait=0.2) is None
        broker.start()
        with Client.connect(broker.socket) as bus:
            bus.publish("r/2", {"n": 2})
        assert event.fire_event({"n": 3}, "r/3", timeout=30_000)
        got = [event.get_event(tag="r/", full=True, wait=30) for _ in range(2)]
        assert [one and one["tag"] for one in got] == ["r/2", "r/3"]


def test_what_was_published_without_a_stamp_has_that_of_the_bus(broker: BrokerProcess, bus: Client) -> None:
    with MasterEvent(str(broker.folder)) as event:
        bus.publish("s/a", {"n": 1})
        got = event.get_event()
    assert got is not None
    assert sorted(got) == ["_stamp", "n"]


def test_iter_events_can_begin_in_the_past(broker: BrokerProcess, bus: Client) -> None:
    for number in range(3):
        bus.publish("past/a", {"n": number})
    with MasterEvent(str(broker.folder), listen=False) as event:
        events = event.iter_events(tag="past/", since="oldest")
        assert [next(events)["n"] for _ in range(3)] == [0, 1, 2]
        events.close()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] - it is a generator


def test_events_of_other_proxies_are_not_seen(broker: BrokerProcess, bus: Client) -> None:
    with MasterEvent(str(broker.folder), {"subproxy": True, "id": "p1"}) as event:
        bus.publish("p/a", {"proxy_target": "p2"})
        assert event.fire_event({}, "p/b")
        got = event.get_event(tag="p/", full=True)
    assert got is not None
    assert (got["tag"], got["data"]["proxy_target"]) == ("p/b", "p1")


def test_an_interrupt_is_an_event(broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    with MasterEvent(str(broker.folder)) as event:

        def interrupted(timeout_s: float | None) -> None:
            raise KeyboardInterrupt

        assert event.subscriber is not None
        monkeypatch.setattr(event.subscriber, "next", interrupted)
        assert event.get_event() == {}
        assert event.get_event(full=True) == {"tag": "salt/event/exit", "data": {}}


def test_wait_none_is_no_time(broker: BrokerProcess) -> None:
    with MasterEvent(str(broker.folder)) as event, pytest.raises(TypeError):
        event.get_event(wait=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - that is what is tried


def test_an_object_that_was_not_closed_says_so(broker: BrokerProcess) -> None:
    event = MasterEvent(str(broker.folder))
    with pytest.warns(ResourceWarning, match="unclosed MasterEvent"):
        del event


def test_integer_keys_at_the_top_become_text(broker: BrokerProcess) -> None:
    with MasterEvent(str(broker.folder)) as event:
        assert event.fire_event({1: "a", "b": {2: "c"}}, "k/a")  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType] - Salt takes it
        got = event.get_event()
    assert got is not None
    assert (got["1"], got["b"]) == ("a", {2: "c"})


def test_firing_below_a_tag(broker: BrokerProcess) -> None:
    printed: list[tuple[str, Any]] = []
    with MasterEvent(str(broker.folder)) as event:
        named = NamespacedEvent(event, "salt/run/2026", lambda tag, data: printed.append((tag, data["n"])))
        named.fire_event({"n": 1}, "progress")
        got = event.get_event(full=True)
    assert got is not None
    assert got["tag"] == "salt/run/2026/progress"
    assert printed == [("progress", 1)]


def test_arguments_of_a_job_and_states(broker: BrokerProcess, tmp_path: Path) -> None:
    opts = {"sock_dir": str(broker.folder)}
    with MasterEvent(str(broker.folder)) as event:
        fire_args(opts, "20261123224730771814", {"fun": "test.ping"}, "run")
        fire_args({"sock_dir": str(tmp_path)}, "1", {})
        first = event.get_event(full=True)
        assert first is not None
        assert first["tag"] == "salt/run/20261123224730771814/args"
        assert StateFire(opts).fire_master({"a": 1}, "my/tag", {"x": 2}) is True
        sent = event.get_event(tag="fire_master")
        assert sent is not None
        assert {"tag": "my/tag", "data": {"a": 1}, "x": 2}.items() <= sent.items()
        event.fire_ret_load(
            {
                "fun": "state.sls", "retcode": 2, "jid": "20261123224730771814", "id": "alpha",
                "return": {"pkg_|-x_|-x_|-installed": {"result": False}, "file_|-y_|-y_|-managed": {"result": True}},
            }
        )  # fmt: skip
        old, new = event.get_event(full=True), event.get_event(full=True)
        assert old is not None
        assert new is not None
        assert old["tag"] == "pkg.installed"
        assert new["tag"] == "salt/job/20261123224730771814/sub/alpha/error/state.sls"
        assert new["data"]["return"] == "Error: pkg.installed"


def test_packed_events_that_cannot_be_read() -> None:
    for raw in (b"no end", b"tag\n\n\xc1", b"\xff\n\n\x80", b"tag\n\n\x01"):
        with pytest.raises(SaltDeserializationError):
            SaltEvent.unpack(raw)


def test_in_an_event_loop(broker: BrokerProcess) -> None:
    """With io_loop: handlers get packed events, and firing does not block."""

    async def listen() -> list[tuple[str, Any]]:
        loop = asyncio.get_running_loop()
        got: asyncio.Queue[bytes] = asyncio.Queue()
        event = SaltEvent("master", str(broker.folder), {}, listen=False, io_loop=loop)
        with pytest.raises(AssertionError):
            event.get_event()
        event.set_event_handler(got.put)
        seen: list[bytes] = []
        while not seen:  # Until the subscription stands, what is fired is not for it.
            assert await event.fire_event_async({"n": 1}, "loop/async") is None
            try:
                seen.append(await asyncio.wait_for(got.get(), 0.2))
            except TimeoutError:
                continue
        event.set_event_handler(lambda raw: seen.append(raw))
        assert event.fire_event({"n": 2}, "loop/sync") is True
        deadline = time.monotonic() + 30
        while SaltEvent.unpack(seen[-1])[0] != "loop/sync" and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert event.cpub
        assert event.cpush
        event.destroy()
        assert not event.cpub
        await asyncio.sleep(0.05)  # What was started for closing ends.
        return [SaltEvent.unpack(raw) for raw in (seen[0], seen[-1])]

    first, last = asyncio.run(listen())
    assert first[0] == "loop/async"
    assert (last[0], last[1]["n"]) == ("loop/sync", 2)


def test_firing_from_a_coroutine_without_a_loop_of_its_own(broker: BrokerProcess, tmp_path: Path) -> None:
    async def fire(folder: Path) -> bool | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            with MinionEvent({"sock_dir": str(folder)}, listen=False) as event:
                return await event.fire_event_async({}, "c/a", cb=called.append, timeout=200)

    called: list[Any] = []
    assert asyncio.run(fire(broker.folder)) is None
    assert called == [None]
    assert asyncio.run(fire(tmp_path)) is False
