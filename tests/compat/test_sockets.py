"""Salt's sockets, by real processes: what is written there is on our bus, and what is on our bus can be read there."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sylvite.client.sync_client import Client
from sylvite.compat.endpoints import master_endpoints, minion_endpoints
from sylvite.compat.frames import FrameDecoder, Framing, encode_frame
from sylvite.compat.packing import pack_event, unpack_event
from sylvite.compat.tcp_owner import owner_of
from sylvite.errors import InvalidSetting
from sylvite.testing.broker import BrokerProcess
from tests.compat.places import GOLDEN, WITHIN_S, subscriptions, wait_until
from tests.faults.other_user import needs_root, other_user

SHUT_S = 30.0


class Served:
    """`sylvite salt-sockets`, as a process.  `said`: its line once it is ready."""

    def __init__(self, bus: Path, *arguments: str, log: Path) -> None:
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "sylvite", "--socket", str(bus), "salt-sockets", *arguments]
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                [*command, "--ready-fd", str(writing)], pass_fds=(writing,), stdin=subprocess.DEVNULL, stdout=file,
                stderr=file,
            )  # fmt: skip
        os.close(writing)
        ready, _, _ = select.select([reading], [], [], WITHIN_S)
        self.said = os.read(reading, 64).decode().strip() if ready else ""
        os.close(reading)
        self.log = log

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(SHUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextlib.contextmanager
def served(broker: BrokerProcess, *arguments: str) -> Generator[Served]:
    found = Served(broker.socket, *arguments, log=broker.folder / "salt-sockets.log")
    try:
        assert found.said, found.log.read_text()
        yield found
    finally:
        if found.process.poll() is None:
            assert found.stop() == 0


@pytest.fixture(scope="module")
def sockets(broker: BrokerProcess) -> Iterator[Path]:
    with served(broker, "--sock-dir", str(broker.folder)):
        yield broker.folder


Place = Path | int
"""Of a socket: its path, or its port on the loopback."""


class Ends(NamedTuple):
    """Where one reads, and where one fires."""

    pub: Place
    pull: Place


@pytest.fixture(scope="module", params=["unix", "tcp"])
def ends(request: pytest.FixtureRequest, broker: BrokerProcess) -> Iterator[Ends]:
    if request.param == "unix":
        folder: Path = request.getfixturevalue("sockets")
        yield Ends(folder / "master_event_pub.ipc", folder / "master_event_pull.ipc")
    else:
        with served(broker, "--tcp", "0", "0") as found:
            yield Ends(*map(int, found.said.split()))


def connect(place: Place) -> socket.socket:
    found = socket.socket(socket.AF_INET if isinstance(place, int) else socket.AF_UNIX, socket.SOCK_STREAM)
    found.settimeout(WITHIN_S)
    found.connect(("127.0.0.1", place) if isinstance(place, int) else str(place))
    return found


@contextlib.contextmanager
def reader(bus: Client, place: Place) -> Generator[socket.socket]:
    """A reader that the bus knows of."""
    before = subscriptions(bus)
    with connect(place) as found:
        wait_until(lambda: bool(subscriptions(bus) - before), "the reader is subscribed")
        yield found
    wait_until(lambda: not subscriptions(bus) - before, "the reader has been let go")


def read_events(connected: socket.socket, count: int) -> list[tuple[str, dict[str, object]]]:
    decoder, found = FrameDecoder(), list[tuple[str, dict[str, object]]]()
    while len(found) < count:
        data = connected.recv(65536)
        assert data, f"it was closed after {found}"
        decoder.feed(data)
        found += map(unpack_event, decoder.events())
    return found


def test_files(sockets: Path) -> None:
    ends = master_endpoints(sockets)
    assert stat.filemode(ends.pub.stat().st_mode) == "srw-rw----"
    assert stat.filemode(ends.pull.stat().st_mode) == "srw-------"


def test_the_recorded_bytes(ends: Ends, bus: Client) -> None:
    """What a program of Salt has written is taken, and comes out as its broker has written it."""
    with reader(bus, ends.pub) as listening, bus.subscribe("golden/") as events:
        with connect(ends.pull) as firing:
            firing.sendall((GOLDEN / "raw_master_event_pull.bin").read_bytes())
            got = [next(events) for _ in range(2)]
        assert [(event.tag, event.data["k"]) for event in got] == [("golden/raw", "v"), ("golden/raw", "w")]
        raw = b""
        while len(raw) < 2 * len((GOLDEN / "raw_master_event_pub.bin").read_bytes()):
            raw += listening.recv(65536)
    decoder = FrameDecoder()
    decoder.feed((GOLDEN / "raw_master_event_pull.bin").read_bytes())
    assert raw == b"".join(encode_frame(packed, "stream") for packed in decoder.events())


@pytest.mark.parametrize("framing", ["stream", "length"])
def test_all_framings_of_who_fires(ends: Ends, bus: Client, framing: Framing) -> None:
    """Older releases write without lengths: it is seen frame by frame."""
    with bus.subscribe("framing/") as events, connect(ends.pull) as firing:
        for number in range(3):
            firing.sendall(encode_frame(pack_event(f"framing/{framing}", {"n": number}), framing))
        assert [next(events).data["n"] for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_lengths_for_who_reads(broker: BrokerProcess, bus: Client, kind: str) -> None:
    folder = broker.folder / "length"
    where = ("--sock-dir", str(folder)) if kind == "unix" else ("--tcp", "0", "0")
    with (
        served(broker, *where, "--framing", "length") as found,
        reader(bus, folder / "master_event_pub.ipc" if kind == "unix" else int(found.said.split()[0])) as listening,
    ):
        bus.publish("length/a", {"_stamp": "x", "n": 1})
        expected = encode_frame(pack_event("length/a", {"_stamp": "x", "n": 1}), "length")
        assert expected[0] == 0
        assert listening.recv(65536) == expected


def test_who_connects_and_then_fires_sees_what_it_has_fired(ends: Ends) -> None:
    for number in range(20):
        with (
            connect(ends.pub) as listening,
            connect(ends.pull) as firing,
        ):
            firing.sendall(encode_frame(pack_event("order/a", {"n": number}), "length"))
            assert read_events(listening, 1)[0][1]["n"] == number


def test_a_reader_that_does_not_read_is_not_dropped(ends: Ends, bus: Client, broker: BrokerProcess) -> None:
    """100 MiB behind, it costs neither the others anything nor us memory, and gets all of it in the end."""
    count, text = 20_000, "x" * 4096
    with reader(bus, ends.pub) as slow, reader(bus, ends.pub) as fast:
        before = memory_bytes(broker)
        bus.publish_many((f"slow/{number}", {"n": number, "text": text}) for number in range(count))
        seen = read_events(fast, count)
        assert [data["n"] for tag, data in seen if tag.startswith("slow/")] == list(range(count))
        assert memory_bytes(broker) - before < 32 * 1024 * 1024
        assert [data["n"] for tag, data in read_events(slow, count) if tag.startswith("slow/")] == list(range(count))


def memory_bytes(broker: BrokerProcess) -> int:
    """Of the broker and of what serves the sockets, together."""
    servers = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_server_of(pid, broker)]
    assert servers
    return sum(_resident(pid) for pid in (broker.pid, *servers))


def _is_server_of(pid: int, broker: BrokerProcess) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False
    return "salt-sockets" in words and str(broker.socket) in words


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_is_no_event_is_passed_over_and_what_is_no_frame_ends_the_connection(ends: Ends, bus: Client) -> None:
    with bus.subscribe("bad/") as events, connect(ends.pull) as firing:
        for packed in (
            b"no end",
            b"bad/\n\n\xc1",
            b"bad/\x01\n\n\x80",
            b"bad/a\n\n\x01",
            b"",
            pack_event("bad/good", {1: 2}),
        ):
            firing.sendall(encode_frame(packed, "length"))
        assert [(event.tag, event.data["1"]) for event in [next(events)]] == [("bad/good", 2)]
        firing.sendall(b"\xc1\xc1\xc1\xc1 GET / HTTP/1.1")
        with contextlib.suppress(ConnectionResetError):
            assert firing.recv(1) == b""
    with connect(ends.pull) as firing, bus.subscribe("bad/") as events:
        firing.sendall(encode_frame(pack_event("bad/others", {}), "length"))
        assert next(events).tag == "bad/others"


def test_what_a_reader_writes_is_of_no_meaning(ends: Ends, bus: Client) -> None:
    with reader(bus, ends.pub) as listening:
        listening.sendall(b"\xc1nonsense" * 100)
        bus.publish("reader/writes", {"n": 1})
        assert read_events(listening, 1)[0][0] == "reader/writes"


def test_over_a_restart_of_the_bus(tmp_path: Path) -> None:
    """Who reads stays connected, and misses nothing; who fires waits until the bus is back."""
    with (
        BrokerProcess(tmp_path / "bus") as broker,
        served(broker, "--sock-dir", str(broker.folder)),
        Client.connect(broker.socket) as bus,
        reader(bus, broker.folder / "master_event_pub.ipc") as listening,
        connect(broker.folder / "master_event_pull.ipc") as firing,
    ):
        firing.sendall(encode_frame(pack_event("r/1", {}), "length"))
        assert read_events(listening, 1)[0][0] == "r/1"
        broker.kill()
        firing.sendall(encode_frame(pack_event("r/2", {}), "length"))
        broker.start()
        firing.sendall(encode_frame(pack_event("r/3", {}), "length"))
        assert [tag for tag, _ in read_events(listening, 2)] == ["r/2", "r/3"]


def test_a_gap_is_an_event(tmp_path: Path) -> None:
    with (
        BrokerProcess(tmp_path / "bus", arguments=("--segment", "1MiB")) as broker,
        served(broker, "--sock-dir", str(broker.folder)),
        Client.connect(broker.socket) as bus,
        reader(bus, broker.folder / "master_event_pub.ipc") as listening,
    ):
        bus.publish_many(("g/a", {"text": "x" * 10_000}) for _ in range(1000))
        bus.ask("prune", before=900)
        bus.publish("g/last", {})
        tags: list[str] = []
        decoder = FrameDecoder()
        while "g/last" not in tags:
            decoder.feed(listening.recv(65536))
            tags += [unpack_event(packed)[0] for packed in decoder.events()]
    assert tags.count("sylvite/gap") == 1


def test_on_tcp(broker: BrokerProcess, bus: Client) -> None:
    with served(broker, "--tcp", "0", "0") as found:
        pub, pull = map(int, found.said.split())
        before = subscriptions(bus)
        with socket.create_connection(("127.0.0.1", pub)) as listening:
            wait_until(lambda: bool(subscriptions(bus) - before), "the reader is subscribed")
            with socket.create_connection(("127.0.0.1", pull)) as firing:
                assert owner_of(firing.getsockname(), firing.getpeername()) == os.getuid()
                firing.sendall(encode_frame(pack_event("tcp/a", {"n": 1}), "length"))
                assert read_events(listening, 1)[0][0] == "tcp/a"


@needs_root
def test_on_tcp_others_are_not_let_in(broker: BrokerProcess) -> None:
    with served(broker, "--tcp", "0", "0") as found:
        pub, _ = map(int, found.said.split())

        def read(wanted: Callable[[], bool]) -> str:
            with socket.create_connection(("127.0.0.1", pub), 30) as connected:
                try:
                    return repr(connected.recv(1))
                except ConnectionResetError:
                    return "reset"

        with other_user(read, Path("/")) as other:
            assert other.result() in ("b''", "reset")
        assert "is of uid 65534" in found.log.read_text()


def test_whom_a_connection_belongs_to_is_not_guessed() -> None:
    assert owner_of(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
    assert owner_of(("::1", 1), ("::1", 2)) is None
    assert owner_of(("nowhere", 1), ("::1", 2)) is None


def test_the_sockets_of_a_minion() -> None:
    assert minion_endpoints(Path("/run"), "alpha").pub == Path("/run/minion_event_8ed3f6ad68_pub.ipc")
    assert minion_endpoints(Path("/run"), "alpha", "md5").pull == Path("/run/minion_event_2c1743a391_pull.ipc")
    with pytest.raises(InvalidSetting, match="is no hash"):
        minion_endpoints(Path("/run"), "alpha", "crc")
    with pytest.raises(InvalidSetting, match="too long for Salt's sockets"):
        minion_endpoints(Path("/run") / ("x" * 80), "alpha").check()


def test_a_place_that_is_taken(broker: BrokerProcess, sockets: Path) -> None:
    other = Served(broker.socket, "--sock-dir", str(sockets), log=broker.folder / "second.log")
    assert other.said == ""
    assert other.process.wait(SHUT_S) != 0
    assert "is in use" in other.log.read_text()


def test_files_are_gone_after_a_stop(broker: BrokerProcess) -> None:
    folder = broker.folder / "gone"
    with served(broker, "--sock-dir", str(folder)):
        assert len(list(folder.iterdir())) == 4
    assert list(folder.iterdir()) == []


def test_a_stop_does_not_wait_for_readers(broker: BrokerProcess, bus: Client) -> None:
    folder = broker.folder / "stop"
    with (
        served(broker, "--sock-dir", str(folder)) as found,
        reader(bus, folder / "master_event_pub.ipc") as listening,
    ):
        bus.publish_many(("stop/a", {"text": "x" * 10_000}) for _ in range(1000))
        began = time.monotonic()
        assert found.stop() == 0
        assert time.monotonic() - began < SHUT_S
        with contextlib.suppress(ConnectionResetError):
            while listening.recv(65536):
                pass
