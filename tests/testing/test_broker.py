"""The broker for tests: it starts, ends, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sylvite import Client, SylviteError
from sylvite.broker.settings import BrokerSettings, Limits
from sylvite.testing.broker import BrokerProcess, broker


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("b")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_broker_runs_inside_the_with_and_not_beyond() -> None:
    """Clients can connect at once; folder and process are gone at the end."""
    with broker() as bus:
        with Client.connect(bus.socket) as client:
            client.publish("t/x")
        pid, where = bus.pid, bus.folder
        assert is_alive(pid)
    assert not is_alive(pid)
    assert not where.exists()


def test_settings_reach_the_broker() -> None:
    settings = BrokerSettings(limits=Limits(event_bytes=500))
    with broker(settings=settings) as bus, Client.connect(bus.socket) as client:
        assert client.welcome.event_bytes_max == 500


def test_what_was_written_outlives_stop_and_kill(folder: Path) -> None:
    """The same folder is the same log; stop says how it ended."""
    with BrokerProcess(folder) as bus:
        for n in range(3):
            with Client.connect(bus.socket) as client:
                assert client.publish("t/x", {"n": n}).offset >= n
            if n % 2:
                bus.kill()
            else:
                assert bus.stop() == 0
            bus.start()
        with Client.connect(bus.socket) as client:
            assert [event.data["n"] for event in client.subscribe("t/", since="oldest", until_end=True)] == [0, 1, 2]
    assert "stopped" in bus.output()


def test_a_paused_broker_does_nothing_until_it_is_resumed(folder: Path) -> None:
    with BrokerProcess(folder) as bus, Client.connect(bus.socket) as client:
        bus.pause()
        with pytest.raises(TimeoutError):
            client.ask("log", timeout_s=0.05)
        bus.resume()
        client.ask("log")
        bus.resume()  # One that runs does not notice.


@pytest.mark.parametrize("error", [None, KeyError])
def test_a_paused_broker_does_not_stay_behind(folder: Path, error: type[Exception] | None) -> None:
    """Whether the test that has paused it fails or not."""
    bus = BrokerProcess(folder)
    try:
        with bus:
            bus.pause()
            if error is not None:
                raise error
    except KeyError:
        pass  # It was ours.
    assert not is_alive(bus.pid)


def test_a_broker_that_does_not_start_says_why(folder: Path) -> None:
    """With what it has printed; and no process is left."""
    bus = BrokerProcess(folder, arguments=("--no-such-option",))
    with pytest.raises(SylviteError, match="no-such-option"), bus:
        raise AssertionError("it must not start")
    assert not is_alive(bus.pid)


def test_two_brokers_do_not_share_a_folder(folder: Path) -> None:
    with BrokerProcess(folder) as first:
        second = BrokerProcess(folder)
        with pytest.raises(SylviteError, match="exit code 75"):
            second.start()
        with Client.connect(first.socket) as client:
            client.publish("t/x")


def test_its_environment_and_command_can_be_set(folder: Path) -> None:
    with BrokerProcess(folder, command=("env", "SYLVITE_TEST=1"), environment={"SYLVITE_TEST_TOO": "2"}) as bus:
        environment = Path(f"/proc/{bus.pid}/environ").read_text().split("\0")
        assert {"SYLVITE_TEST=1", "SYLVITE_TEST_TOO=2"} <= set(environment)


def test_a_broker_behind_another_program_does_not_stay_behind(folder: Path) -> None:
    """Killing ends both: the log is free for the next one."""
    shell = ("sh", "-c", '"$@"; exit $?', "sh")
    with BrokerProcess(folder, command=shell) as bus:
        bus.kill()
        bus.start()
    with BrokerProcess(folder) as bus, Client.connect(bus.socket) as client:
        client.publish("t/x")
