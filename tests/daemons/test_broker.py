"""The broker as a process: signals, readiness, the socket and who may use it, limits of the system."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sylvite import AckUnknown, Client, NotAllowed
from sylvite.auth.policy import PolicySettings, Rule
from sylvite.broker.settings import BrokerSettings
from sylvite.errors import BrokerNotReachable, ConnectionLost, Overloaded
from sylvite.testing.broker import BrokerProcess

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def as_nobody(step: Callable[[], str]) -> str:
    """Return what a function returns in a process of another user."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            said = step()
        except BaseException as error:  # noqa: BLE001 - whatever goes wrong there is to be read here
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@pytest.fixture
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that others can pass through to the socket."""
    folder = tmp_path_factory.mktemp("open")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    return folder


def test_sigterm_ends_it_with_everything_acknowledged_and_a_goodbye(sylvite_broker: BrokerProcess) -> None:
    with Client.connect(sylvite_broker.socket, reconnect_s=0) as client:
        subscription = client.subscribe()
        publisher = client.publisher()
        for number in range(5000):
            publisher.publish("a", {"n": number})
        publisher.flush()
        assert sylvite_broker.stop() == 0
        assert publisher.acknowledged == 5000
        got = 0
        with pytest.raises(ConnectionLost):
            while subscription.next(10.0) is not None:
                got += 1
        assert got == 5000
    assert not sylvite_broker.socket.exists()
    assert "Traceback" not in sylvite_broker.output()
    assert "stopped; the log ends before @5000" in sylvite_broker.output()


def test_it_stops_although_a_reader_does_not_read(sylvite_broker: BrokerProcess) -> None:
    with Client.connect(sylvite_broker.socket) as writer, Client.connect(sylvite_broker.socket) as reader:
        reader.subscribe(credit_bytes=16 * 1024 * 1024)
        writer.publish_many(("a", {"pad": "x" * 1000}) for _ in range(5000))
        assert sylvite_broker.stop() == 0


def test_it_tells_systemd_when_clients_can_connect_and_when_it_stops(tmp_path: Path) -> None:
    place = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(place)
        listening.settimeout(20)
        process = BrokerProcess(tmp_path / "b", environment={"NOTIFY_SOCKET": place})
        process.spawn()
        assert listening.recv(100) == b"READY=1"
        with Client.connect(process.socket) as client:
            client.publish("a")
        process.wait_ready()
        assert process.stop() == 0
        assert listening.recv(100) == b"STOPPING=1"


def test_its_socket_and_its_files_are_its_users_alone(sylvite_broker: BrokerProcess) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    with Client.connect(sylvite_broker.socket) as client:
        client.publish("a")
    assert mode(sylvite_broker.socket) == 0o600
    assert mode(sylvite_broker.folder / "log") == 0o700
    assert {mode(path) for path in (sylvite_broker.folder / "log").iterdir()} == {0o600}


@needs_root
def test_another_user_may_do_what_the_policy_names_and_sighup_changes_it(open_folder: Path) -> None:
    rules = (Rule(users=(NOBODY,), publish=("myco/",), subscribe=("myco/",)),)
    path = open_folder / "b" / "bus.sock"

    def try_both() -> str:
        with Client.connect(path) as client:
            sender = client.welcome.sender
            client.publish("myco/a", {})
            try:
                client.publish("other", {})
            except NotAllowed as error:
                return f"{sender}: {error}"
        return "both were taken"

    def try_it() -> str:
        try:
            return try_both()
        except NotAllowed as error:
            return f"not even connected: {error}"

    with BrokerProcess(open_folder / "b", settings=BrokerSettings(policy=PolicySettings(rules=rules))) as process:
        process.folder.chmod(0o755)
        assert as_nobody(try_it) == "uid:65534: uid:65534 may not publish 'other'"
        (process.folder / "broker.yaml").write_text("policy:\n  rules: []\n")
        with Client.connect(process.socket) as client:
            os.kill(process.pid, signal.SIGHUP)
            # It reads its configuration in the loop that answers us: once it has answered, it may still be to come.
            for _ in range(1000):
                client.ask("log")
                if "policy read again" in process.output():
                    break
        assert as_nobody(try_it).startswith("not even connected: uid:65534 may not use this bus")
        (process.folder / "broker.yaml").write_text("polcy: {}\n")
        with Client.connect(process.socket) as client:
            os.kill(process.pid, signal.SIGHUP)
            for _ in range(1000):
                client.ask("log")
                if "did you mean 'policy'" in process.output():
                    break
        assert "the configuration stays as it was" in process.output()


@needs_root
def test_without_a_policy_another_user_does_not_reach_the_socket(open_folder: Path) -> None:
    def try_it() -> str:
        try:
            Client.connect(open_folder / "b" / "bus.sock")
        except BrokerNotReachable as error:
            return error.reason
        return "connected"

    with BrokerProcess(open_folder / "b") as process:
        process.folder.chmod(0o755)
        assert as_nobody(try_it) == "permission denied"


def test_it_takes_no_more_connections_than_the_system_lets_it_open_files(tmp_path: Path) -> None:
    """And the log, which needs files too, goes on."""
    limit = ("prlimit", "--nofile=320:320")
    with BrokerProcess(tmp_path / "b", command=limit) as process:
        assert "at most 160 connections" in process.output()
        with Client.connect(process.socket) as first:
            clients: list[Client] = []
            with pytest.raises(Overloaded) as caught:
                while len(clients) < 400:
                    clients.append(Client.connect(process.socket))
            assert "160 connections" in str(caught.value)
            for _ in range(10):
                first.publish("a", {"pad": "x" * 900_000})
            for client in clients:
                client.close()
            Client.connect(process.socket).close()
        assert "Traceback" not in process.output()


def test_the_limit_of_open_files_is_raised_as_far_as_the_system_lets_it(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = min(4096 + 256, hard)
    with BrokerProcess(tmp_path / "b", command=("prlimit", f"--nofile=256:{hard}")) as process:
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        soft = next(line.split()[3] for line in limits.splitlines() if line.startswith("Max open files"))
        assert int(soft) == wanted


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("polcy: {}", "did you mean 'policy'"),
        ("log: {segment_bytes: many}", "segment_bytes"),
        ("policy: {rules: [{users: [no-such-user]}]}", "'no-such-user' is not a user"),
        ("policy: {levels: [{tags: [a], level: safest}]}", "'safest' is not a level"),
        ("[1, 2]", "must be a map"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_configuration_ends_it_before_anything_is_made(tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "broker.yaml").write_text(content)
    command = [sys.executable, "-m", "sylvite", "broker", "--dir", "b", "--config", "broker.yaml", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert part in json.loads(done.stderr)["error"]["message"]
    assert not (tmp_path / "b" / "bus.sock").exists()


def test_a_mistake_of_ours_in_a_flush_stops_it_with_its_own_exit_code(tmp_path: Path) -> None:
    """Rather than going on with events that nobody is told of."""
    (tmp_path / "broken.py").write_text(
        "import sys\n"
        "from sylvite.broker.broker import Broker\n"
        "def broken(self, now_ns):\n"
        "    raise RuntimeError('a mistake')\n"
        "Broker._append = broken\n"
        "from sylvite.cli.main import main\n"
        "sys.exit(main())\n"
    )
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, tmp_path / "broken.py", "broker", "--dir", tmp_path / "b", "--ready-fd", str(writing)],
        pass_fds=[writing], stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        os.close(writing)
        with os.fdopen(reading) as ready:
            assert ready.readline() == "ready\n"
        with Client.connect(tmp_path / "b" / "bus.sock", reconnect_s=0) as client, pytest.raises(AckUnknown):
            client.publish("a", {})
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 70
        assert "internal error: RuntimeError('a mistake')" in errors
