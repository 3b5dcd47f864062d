"""`Caller`, `RunnerClient`, `WheelClient` and those for asyncio, over a real bus; and what they leave on it."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sylvite
from sylvite import AsyncCaller, AsyncRunnerClient, AsyncWheelClient, Caller, Client, RunnerClient, WheelClient
from sylvite.errors import BrokerNotReachable, InvalidJid, InvalidSetting, WaitTimeout
from sylvite.functions import async_clients, clients
from sylvite.functions.errors import FunctionFailed, FunctionNotAvailable, InvalidArguments
from sylvite.functions.low import InvalidLow
from sylvite.testing.broker import BrokerProcess
from tests.functions.conftest import Write

WITHIN_S = 60.0


def wait_for_runs(broker: BrokerProcess) -> None:
    """Wait until no run in a process of its own has the bus any more: it ends by itself, and is nobody's child."""
    with Client.connect(broker.socket, name="waiting") as bus:
        deadline, names = time.monotonic() + WITHIN_S, list[str]()
        while time.monotonic() < deadline:
            names = [client["client"] for client in bus.ask("stats")["clients"]]
            if not any(name.startswith(("runner ", "wheel ")) for name in names):
                return
    raise AssertionError(f"runs that go on: {names}")


@pytest.fixture
def master(sylvite_broker: BrokerProcess, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The options of a master with that bus, from a file.  All its runs have ended behind it."""
    path = tmp_path / "master"
    path.write_text(
        f"id: mars\nsock_dir: {sylvite_broker.socket.parent}\ndata_dir: {tmp_path / 'data'}\nrunner_dirs: [{tmp_path / 'runners'}]\n"
    )
    yield sylvite.master_opts(path)
    wait_for_runs(sylvite_broker)


@pytest.fixture
def minion(sylvite_broker: BrokerProcess, tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "minion"
    path.write_text(f"id: alpha\nsock_dir: {sylvite_broker.socket.parent}\n")
    return sylvite.minion_opts(path)


def events(broker: BrokerProcess, *patterns: str) -> list[tuple[str, dict[str, Any]]]:
    with Client.connect(broker.socket) as client:
        found = client.subscribe(*(patterns or ("",)), since="oldest", until_end=True)
        return [(event.tag, event.data) for event in found if not event.tag.startswith("sylvite/")]


def wait_for(broker: BrokerProcess, tag: str) -> dict[str, Any]:
    with Client.connect(broker.socket) as client:
        return client.wait(tag, since="oldest", timeout_s=WITHIN_S).data


# -- Caller -----------------------------------------------------------------------------------------------------------


def test_a_program_that_sends_an_event(minion: dict[str, Any], sylvite_broker: BrokerProcess) -> None:
    """The transcript py_caller_cmd_event_send: by the bus of the minion, with a `pretag`, and no keys of a publication."""
    with Caller(minion) as caller:
        sent = caller.cmd("event.send", "myco/event/success", {"success": True, "message": "It works!"})
    assert sent is True
    ((tag, data),) = events(sylvite_broker)
    del data["_stamp"]
    content = {"success": True, "message": "It works!"}
    assert (tag, data) == (
        "fire_master",
        {"tag": "myco/event/success", "data": content, "events": None, "pretag": None},
    )


def test_arguments_of_a_caller(minion: dict[str, Any], tmp_path: Path) -> None:
    """`cmd` takes them as they are, `function` reads texts."""
    with Caller({**minion, "sock_dir": str(tmp_path)}) as caller:
        assert caller.cmd("test.arg", "5", "a=1", b="[1]") == {"args": ("5", "a=1"), "kwargs": {"b": "[1]"}}
        found = caller.function("test.arg", "5", "a=1", b="[1]")
        assert found == {"args": (5,), "kwargs": {"a": 1, "b": "[1]"}}
        assert caller.cmd("grains.get", "id") == "alpha"
        with pytest.raises(FunctionNotAvailable):
            caller.cmd("no.such")
        with pytest.raises(InvalidArguments):
            caller.cmd("test.echo")
        with pytest.raises(FunctionFailed):
            caller.cmd("test.exception", "oh no")
        assert caller.cmd("event.send", "myco/a") is False


def test_options_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "minion"
    path.write_text("id: a/b\n")
    with pytest.raises(InvalidSetting, match="minion:1: id"):
        sylvite.minion_opts(path)


# -- Runs in this process ---------------------------------------------------------------------------------------------


def test_a_runner_is_told_on_the_bus(master: dict[str, Any], sylvite_broker: BrokerProcess) -> None:
    with RunnerClient(master) as runners:
        assert runners.cmd("test.arg", ["x", "1"], kwarg={"y": "2"}) == {"args": ("x", 1), "kwargs": {"y": "2"}}
        full = runners.cmd("test.arg", ["x"], {"jid": "20261123224727940211", "user": "alice"}, full_return=True)
    assert full == {
        "fun": "runner.test.arg", "jid": "20261123224727940211", "user": "alice", "fun_args": ["x"],
        "return": {"args": ("x",), "kwargs": {}}, "success": True,
    }  # fmt: skip
    tags = [tag.rpartition("/")[2] for tag, _ in events(sylvite_broker, "salt/run/")]
    assert tags == ["new", "ret", "new", "ret"]
    assert events(sylvite_broker)[-1][1]["user"] == "alice"


def test_runs_in_this_process_raise(master: dict[str, Any], tmp_path: Path) -> None:
    with RunnerClient(master) as runners:
        with pytest.raises(FunctionNotAvailable):
            runners.cmd("no.such")
        with pytest.raises(FunctionFailed, match="oh no"):
            runners.cmd("test.exception", ["oh no"])
        with pytest.raises(InvalidArguments):
            runners.cmd("event.send")
    with RunnerClient({**master, "sock_dir": str(tmp_path)}) as runners, pytest.raises(BrokerNotReachable):
        runners.cmd("test.arg")


def test_what_a_run_fires_can_be_watched(master: dict[str, Any]) -> None:
    seen: list[str] = []
    with RunnerClient(master) as runners:
        runners.cmd("test.stream", [2], watch=lambda tag, data: seen.append(f"{tag} {data['message']}"))
    assert seen == ["progress Runner is 50% done", "progress Runner is 100% done"]


def test_wheel_functions_are_runs_too(master: dict[str, Any], sylvite_broker: BrokerProcess, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "keys").mkdir(mode=0o700)
    with WheelClient(master) as wheel:
        found = wheel.cmd("key.list_all", full_return=True)
    lists: dict[str, Any] = {
        "minions_pre": [],
        "minions_rejected": [],
        "minions": [],
        "minions_denied": [],
        "local": [],
    }
    assert (found["fun"], found["return"], found["success"]) == ("wheel.key.list_all", lists, True)
    (first, new), (second, ret) = events(sylvite_broker)
    assert (first, second) == (f"salt/wheel/{found['jid']}/new", f"salt/wheel/{found['jid']}/ret")
    assert list(new) == ["fun", "jid", "user", "fun_args", "_stamp"]
    assert list(ret) == ["fun", "jid", "user", "fun_args", "return", "success", "_stamp"]


# -- Runs in processes of their own -----------------------------------------------------------------------------------


def test_a_run_goes_on_without_whoever_has_started_it(
    master: dict[str, Any], sylvite_broker: BrokerProcess, write: Write
) -> None:
    """It returns at once, the run has another parent, and its events are all there."""
    write("runners/mine.py", "import os\ndef who():\n    return [os.getpid(), os.getsid(0), os.getppid()]\n")
    with RunnerClient(master) as runners:
        ticket = runners.cmd_async({"fun": "mine.who"})
    assert ticket["tag"] == f"salt/run/{ticket['jid']}"
    data = wait_for(sylvite_broker, f"{ticket['tag']}/ret")
    pid, session, parent = data["return"]
    assert (data["fun"], data["success"], session) == ("runner.mine.who", True, pid)
    assert os.getpid() not in (pid, parent)
    assert [tag for tag, _ in events(sylvite_broker, ticket["tag"])] == [f"{ticket['tag']}/new", f"{ticket['tag']}/ret"]


def test_ways_to_ask_for_a_run(master: dict[str, Any], sylvite_broker: BrokerProcess) -> None:
    """As Salt's clients and its REST API do: positional, by name, flat; credentials are no arguments."""
    with RunnerClient(master) as runners:
        flat = {"client": "runner", "fun": "test.arg", "arg": "1", "a": "2", "token": "t", "__user__": "alice"}
        assert runners.cmd_sync(flat) == {"args": [1], "kwargs": {"a": "2"}}
        listed = {"fun": "test.arg", "arg": ["x", "n=1"], "kwarg": {"b": [1]}}
        found = runners.cmd_sync(listed, full_return=True)
        assert found["return"] == {"args": ["x"], "kwargs": {"n": 1, "b": [1]}}
        assert found["fun_args"] == ["x", {"n": 1, "b": [1]}]
        ticket = runners.asynchronous("test.arg", {"arg": [5], "__jid__": "20261123224727940211"}, user="Reactor")
        assert ticket["jid"] == "20261123224727940211"
        data = wait_for(sylvite_broker, "salt/run/20261123224727940211/ret")
        assert (data["user"], data["fun_args"]) == ("Reactor", [5])
        assert events(sylvite_broker, "salt/run/")[0][1]["user"] == "alice"
        for wrong in ({}, {"fun": ""}, {"fun": "test.arg", "kwarg": 5}):
            with pytest.raises(InvalidLow):
                runners.cmd_async(wrong)
        with pytest.raises(InvalidJid):
            runners.cmd_async({"fun": "test.arg", "__jid__": "../key"})


def test_what_goes_wrong_with_a_run_elsewhere(master: dict[str, Any], tmp_path: Path) -> None:
    with RunnerClient(master) as runners:
        with pytest.raises(FunctionFailed, match="oh no"):
            runners.cmd_sync({"fun": "test.exception", "arg": ["oh no"]})
        with pytest.raises(FunctionFailed, match=r"'no\.such' is not available"):
            runners.cmd_sync({"fun": "no.such"})
        failed = runners.cmd_sync({"fun": "no.such"}, full_return=True)
        assert (failed["success"], failed["retcode"]) == (False, 254)
        with pytest.raises(WaitTimeout, match="it goes on as salt/run/"):
            runners.cmd_sync({"fun": "test.sleep", "arg": [2]}, timeout=0.01)
    with RunnerClient({**master, "sock_dir": str(tmp_path)}) as runners:
        for start in (runners.cmd_async, runners.cmd_sync):
            with pytest.raises(BrokerNotReachable):
                start({"fun": "test.arg"})


def test_a_run_that_is_ended_from_outside_is_told(
    master: dict[str, Any], sylvite_broker: BrokerProcess, write: Write
) -> None:
    """By SIGTERM, as whoever shuts the machine down does it."""
    write(
        "runners/mine.py",
        "import os, signal\ndef end():\n    os.kill(os.getpid(), signal.SIGTERM)\n    signal.pause()\n",
    )
    with RunnerClient(master) as runners:
        ticket = runners.cmd_async({"fun": "mine.end"})
    data = wait_for(sylvite_broker, f"{ticket['tag']}/ret")
    assert (data["success"], data["retcode"]) == (False, 1)
    assert data["return"] == "Exception occurred in runner mine.end: KeyboardInterrupt"


def test_files_that_lie_where_it_is_started_are_not_run(
    master: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns that folder could otherwise do what the caller may."""
    for name in ("msgspec", "yaml", "sylvite"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    with RunnerClient(master) as runners:
        assert runners.cmd_sync({"fun": "test.arg"}) == {"args": [], "kwargs": {}}


def test_a_run_outlives_the_bus_too(master: dict[str, Any], sylvite_broker: BrokerProcess, write: Write) -> None:
    """Its end is told when the bus is there again."""
    write(
        "runners/mine.py",
        "import pathlib\ndef until(path):\n    while not pathlib.Path(path).exists(): pass\n    return 7\n",
    )
    end = sylvite_broker.socket.parent / "end"
    with RunnerClient(master) as runners:
        ticket = runners.cmd_async({"fun": "mine.until", "path": str(end)})
    wait_for(sylvite_broker, f"{ticket['tag']}/new")
    sylvite_broker.stop()
    end.touch()
    sylvite_broker.start()
    assert wait_for(sylvite_broker, f"{ticket['tag']}/ret")["return"] == 7


# -- asyncio ----------------------------------------------------------------------------------------------------------


def test_the_clients_for_asyncio(master: dict[str, Any], minion: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "keys").mkdir(mode=0o700)

    async def use() -> None:
        async with (
            AsyncRunnerClient(master) as runners,
            AsyncWheelClient(master) as wheel,
            AsyncCaller(minion) as caller,
        ):
            assert await caller.cmd("test.echo", "5") == "5"
            assert await caller.function("test.echo", "5") == 5
            assert await runners.cmd("test.arg", ["x"], kwarg={"y": 1}) == {"args": ("x",), "kwargs": {"y": 1}}
            several = [runners.cmd_sync({"fun": "test.arg", "arg": [number]}) for number in range(3)]
            assert [found["args"] for found in await asyncio.gather(*several)] == [[0], [1], [2]]
            assert (await wheel.cmd_sync({"fun": "key.list", "match": "acc"})) == {"minions": []}
            assert set(await runners.cmd_async({"fun": "test.arg"})) == {"tag", "jid"}
            assert set(await runners.asynchronous("test.arg", {})) == {"tag", "jid"}
            with pytest.raises(FunctionFailed):
                await runners.cmd_sync({"fun": "no.such"})
            with pytest.raises(WaitTimeout):
                await runners.cmd_sync({"fun": "test.sleep", "arg": [2]}, timeout=0.01)

    asyncio.run(asyncio.wait_for(use(), WITHIN_S))


@pytest.mark.parametrize(
    ("blocking", "other"),
    [
        (clients.TaskClient, async_clients.AsyncRunnerClient),
        (clients.TaskClient, async_clients.AsyncWheelClient),
        (clients.Caller, async_clients.AsyncCaller),
    ],
)
def test_both_have_the_same_names(blocking: type, other: type) -> None:
    """Those for asyncio take the same arguments, under the same names."""

    def methods(kind: type) -> dict[str, Callable[..., Any]]:
        return {name: member for name, member in inspect.getmembers(kind, inspect.isfunction) if name[0] != "_"}

    for name, member in methods(other).items():
        mine = list(inspect.signature(member).parameters.values())
        theirs = list(inspect.signature(methods(blocking)[name]).parameters.values())
        assert [(each.name, each.kind, each.default) for each in mine] == [
            (each.name, each.kind, each.default) for each in theirs
        ], name
