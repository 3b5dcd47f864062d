"""`sylvite bridge salt` on the bus of a real Salt master: nothing is missed, and what is, is said."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from sylvite.client.sync_client import Client
from sylvite.compat.frames import encode_frame
from sylvite.compat.packing import pack_event
from sylvite.testing.broker import BrokerProcess
from tests.compat.places import WITHIN_S, subscriptions, wait_until
from tests.compat.real_salt import RELEASES
from tests.compat.test_sockets import served
from tests.daemons.nodes import free_port

SALT = RELEASES[0]
MANY = (5_000, pytest.param(100_000, marks=pytest.mark.long))
MASTER_S = 120.0


class SaltMaster:
    """A real one, whose files are below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sock_dir = folder, folder / "run"
        ports = "".join(f"{name}: {free_port()}\n" for name in ("publish_port", "ret_port"))
        folder.mkdir()
        (folder / "master").write_text(
            f"root_dir: {folder}\nsock_dir: {self.sock_dir}\ninterface: 127.0.0.1\nworker_threads: 1\nlog_level: error\n"
            f"user: {os.environ.get('USER', 'root')}\nfile_roots: {{}}\n{ports}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [SALT.program("salt-master"), "-c", str(self.folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=SALT.environment(), start_new_session=True,
            )  # fmt: skip
        wait_until(self._listens, f"salt-master listens: {(self.folder / 'log').read_text()}", within_s=MASTER_S)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.sock_dir / "master_event_pull.ipc"))
            except OSError:
                return False
        return True

    def fire(self, prefix: str, count: int) -> None:
        """Fire as its programs do, by one connection."""
        with socket.socket(socket.AF_UNIX) as firing:
            firing.connect(str(self.sock_dir / "master_event_pull.ipc"))
            for start in range(0, count, 500):
                numbers = range(start, min(start + 500, count))
                firing.sendall(
                    b"".join(encode_frame(pack_event(f"{prefix}{n % 7}", {"n": n}), "length") for n in numbers)
                )

    def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                pass  # What is left of it is killed.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def salt() -> Iterator[SaltMaster]:
    SALT.ensure()
    # Not pytest's own folder: with its name, the paths of Salt's sockets are too long.
    with tempfile.TemporaryDirectory(prefix="salt-", ignore_cleanup_errors=True) as folder:
        master = SaltMaster(Path(folder) / "m")
        try:
            yield master
        finally:
            master.stop()


@contextlib.contextmanager
def bridge(broker: BrokerProcess, *arguments: str, is_attached: bool = True) -> Generator[subprocess.Popen[bytes]]:
    """`sylvite bridge salt`, as a process; it ends in order."""
    reading, writing = os.pipe()
    with open(broker.folder / "bridge.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sylvite", "--socket", str(broker.socket), "bridge", "salt", *arguments, "--ready-fd", str(writing)],
            pass_fds=(writing,), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    os.close(writing)
    try:
        if is_attached:
            assert select.select([reading], [], [], WITHIN_S)[0]
            assert os.read(reading, 16), (broker.folder / "bridge.log").read_text()
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(WITHIN_S)
    finally:
        os.close(reading)
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.parametrize("many", MANY)
def test_nothing_is_missed(salt: SaltMaster, tmp_path: Path, many: int) -> None:
    """At the speed of Salt."""
    with BrokerProcess(tmp_path / "bus") as broker, Client.connect(broker.socket) as bus:
        salt.start()
        with (
            bus.subscribe("myco/", "bridge/", exclude="bridge/salt/copying") as events,
            bridge(broker, "--sock-dir", str(salt.sock_dir)),
        ):
            assert next(events).tag == "bridge/salt/attached"
            salt.fire("myco/many/", many)
            got = [next(events) for _ in range(many)]
    assert [event.data["n"] for event in got] == list(range(many))
    assert got[5].tag == "myco/many/5"


def test_a_restart_of_salt_is_told(salt: SaltMaster, tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker, Client.connect(broker.socket) as bus:
        salt.start()
        with (
            bus.subscribe("myco/", "bridge/", exclude="bridge/salt/copying") as events,
            bridge(broker, "--sock-dir", str(salt.sock_dir)) as process,
        ):
            assert next(events).tag == "bridge/salt/attached"
            salt.stop()
            salt.start()
            gap = next(events)
            assert gap.tag == "bridge/salt/gap"
            assert gap.data["since"] < gap.data["until"]
            assert next(events).tag == "bridge/salt/attached"
            salt.fire("myco/after/", 10)
            assert [next(events).data["n"] for _ in range(10)] == list(range(10))
            process.send_signal(signal.SIGTERM)
            assert process.wait(WITHIN_S) == 0, (broker.folder / "bridge.log").read_text()
            assert next(events).tag == "bridge/salt/detached"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A bus with Salt's sockets in front of it, in the place of a Salt."""
    with BrokerProcess(tmp_path / "other") as broker, served(broker, "--sock-dir", str(broker.folder)):
        yield broker


@pytest.mark.parametrize("framing", ["stream", "length"])
def test_all_framings(tmp_path: Path, framing: str) -> None:
    with (
        BrokerProcess(tmp_path / "other") as other,
        served(other, "--sock-dir", str(other.folder), "--framing", framing, "--minion", "web1"),
        BrokerProcess(tmp_path / "bus") as broker,
        Client.connect(other.socket) as theirs,
        Client.connect(broker.socket) as ours,
        ours.subscribe("web1/") as events,
        bridge(broker, "--sock-dir", str(other.folder), "--minion", "web1", "--prefix", "web1/"),
    ):
        wait_until(lambda: bool(subscriptions(theirs)), "it reads")
        theirs.publish("myco/a", {"n": 1, "bytes": b"\xff"})
        got = next(events)
        assert (got.tag, got.data["n"], got.data["bytes"]) == ("web1/myco/a", 1, b"\xff")


def test_what_is_not_taken_is_said(other: BrokerProcess, tmp_path: Path) -> None:
    """With the prefix, this tag is too long for a bus of ours."""
    with (
        BrokerProcess(tmp_path / "bus") as broker,
        Client.connect(broker.socket) as ours,
        ours.subscribe("p/", "bridge/") as events,
        bridge(broker, "--sock-dir", str(other.folder), "--prefix", "p/"),
        Client.connect(other.socket) as theirs,
    ):
        assert next(events).tag == "bridge/salt/attached"
        wait_until(lambda: len(subscriptions(theirs)) == 1, "it reads")
        theirs.publish("x" * 255, {})
        theirs.publish("short", {})
        refused = next(events)
        assert (refused.tag, refused.data["tag"][:4]) == ("bridge/salt/refused", "'xxx")
        assert next(events).tag == "p/short"


def test_a_salt_that_comes_later(tmp_path: Path) -> None:
    with (
        BrokerProcess(tmp_path / "bus") as broker,
        BrokerProcess(tmp_path / "other") as other,
        Client.connect(broker.socket) as ours,
        ours.subscribe("bridge/") as events,
        bridge(broker, "--sock-dir", str(other.folder), is_attached=False),
    ):
        wait_until(lambda: "cannot be reached" in (broker.folder / "bridge.log").read_text(), "it has looked for it")
        with served(other, "--sock-dir", str(other.folder)):
            assert next(events).tag == "bridge/salt/attached", "what was before the first time is no gap"


def test_a_bridge_into_itself_is_noticed(other: BrokerProcess) -> None:
    with bridge(other, "--sock-dir", str(other.folder)) as process, Client.connect(other.socket) as bus:

        def has_ended() -> bool:
            """What is published before the sockets have subscribed for it is none that comes back."""
            bus.publish("myco/again", {})
            return process.poll() is not None

        wait_until(has_ended, "it ends")
        assert process.returncode == 78
    assert "it would copy without end" in (other.folder / "bridge.log").read_text()
