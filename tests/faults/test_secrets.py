"""D-10: canaries in all that is given to a broker and its clients, looked for in all that they say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from sylvite.auth.policy import LevelRule, PolicySettings
from sylvite.broker.settings import BrokerSettings
from sylvite.client.address import read_tcp
from sylvite.client.sync_client import Client
from sylvite.errors import SylviteError
from sylvite.eventlog.eventlog import LogSettings
from sylvite.wire.frame import encode_frame
from sylvite.wire.messages import VERSION, Ask, Hello, Publish, encode
from tests.faults.forked_brokers import DiskFault, Forks, Start, broker_output, faults_that_happened, forked_brokers
from tests.faults.raw_peer import RawPeer
from tests.faults.report import report

CANARY = "c4n4ry-7f3e9a"
"""Its beginning is looked for too: what is cut short is told all the same."""
SETTINGS = BrokerSettings(
    log=LogSettings(keep_free_bytes=0, segment_bytes=256 * 1024),
    policy=PolicySettings(levels=(LevelRule(tags=("strict/",), level="synced"),)),
)
FAULTS = {
    "none": None,
    "syncs fail": DiskFault("sync", 3, 5, sticky=True),
    "the disk is full": DiskFault("write", 6, 28, sticky=True),
    "writes fail": DiskFault("write", 6, 5, sticky=True),
}


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


@pytest.fixture(autouse=True)
def canary_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SYLVITE_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"):
        monkeypatch.setenv(name, f"{CANARY}-{name}")


SECRET: dict[str, object] = {
    "password": f"{CANARY}-data",
    "nested": [{"key": f"{CANARY}-nested"}],
    f"{CANARY}-key": True,
}


class Said:
    """All that was said, by source."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, source: str, text: str | bytes) -> None:
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        self.texts[source] = self.texts.get(source, "") + shown

    def try_(self, source: str, client: Client, tag: str, data: dict[str, object], level: str) -> None:
        try:
            client.publish(tag, data, level=level, timeout_s=5.0)
        except SylviteError as error:
            self.add(source, f"{error!r} {error} {vars(error).keys()}")

    def found(self) -> list[str]:
        return [source for source, text in self.texts.items() if CANARY in text or CANARY[:9] in text]


def _say_wrong_things(said: Said, place: Path, token: str) -> None:
    """What is refused and what cannot be read: each with the canary inside."""
    block = msgspec.msgpack.encode(SECRET)
    hello = encode(Hello(VERSION, "raw", 3, token))
    for wrong in (
        (
            encode(Publish(9, 0, block)), encode(Publish(0, 0, block)), encode_frame(3, block), encode_frame(7, block),
            encode(Ask(1, "stats", SECRET)), encode(Ask(1, "prune", SECRET)), encode_frame(200, block), CANARY.encode() * 20,
        )
    ):  # fmt: skip
        with RawPeer(place) as peer, suppress(OSError):
            peer.socket.sendall(hello + wrong)
            peer.socket.shutdown(1)
            peer.hear_out()
    with RawPeer(place) as peer, suppress(OSError):
        peer.socket.sendall(encode(Hello(VERSION, "raw", 3, f"{CANARY}-token")))
        peer.socket.shutdown(1)
        while answer := peer.socket.recv(65_536):
            said.add("answer to a wrong token", answer)


def _own_events(place: Path) -> str:
    with Client.connect(place) as client, client.subscribe("sylvite/", since="oldest", until_end=True) as events:
        found: list[str] = []
        while (event := events.next(5.0)) is not None:
            found.append(repr(event.envelope()))
        return "\n".join(found)


def _command_line(said: Said, place: Path, folder: Path) -> None:
    """The commands with everything switched on; the data comes from a file or stdin, as secrets should."""
    secret = folder / "secret.json"
    secret.write_bytes(msgspec.json.encode(SECRET))
    for number, (arguments, given) in enumerate(
        (
            (["publish", "a/b", f"@{secret}"], b""), (["publish", "a/b", "-"], secret.read_bytes()),
            (["publish", "a/b", "-"], secret.read_bytes()[:-4]), (["publish", "bad\ntag", f"@{secret}"], b""),
            (["status"], b""), (["cursors", "list"], b""),
        )
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "sylvite", "--debug", "--verbose", "--socket", str(place), *arguments],
            input=given, capture_output=True, check=False, timeout=60, cwd=folder,
        )  # fmt: skip
        said.add(f"command {number}", done.stdout + done.stderr)


def _look(forks: Forks, folder: Path, fault: str, *, tcp: bool, without: str | None = None) -> None:
    started = forks.start(Start(str(folder), SETTINGS, tcp=True, debug=True, fault=FAULTS[fault], without=without))
    assert started.ready, broker_output(folder)
    said = Said()
    place = folder / ("bus.tcp" if tcp else "bus.sock")
    token = read_tcp(folder / "bus.tcp").token
    with suppress(SylviteError), Client.connect(place, reconnect_s=0.0) as client:
        for level in ("none", "written", "synced") * 3:
            said.try_(f"error at {level}", client, "strict/one", SECRET, level)
        for wrong in ({"x": object(), **SECRET}, {1: CANARY}, {"x": 2**70, **SECRET}, {"x": CANARY * 200_000}):
            said.try_("error about data", client, "a/b", wrong, "written")  # pyright: ignore[reportArgumentType]
        said.add("stats", repr(client.ask("stats")))
    with suppress(OSError, SylviteError):
        _say_wrong_things(said, place, token)
        said.add("own events", _own_events(folder / "bus.sock"))
    if fault == "none":
        _command_line(said, place, folder)
    with suppress(OSError):
        said.add("arguments", Path(f"/proc/{started.pid}/cmdline").read_bytes())
        said.add("title", Path(f"/proc/{started.pid}/comm").read_bytes())
    forks.stop(started.pid)
    output = broker_output(folder)
    said.add("output of the broker", output)
    assert "everything is said" in output, "it does not say everything"
    assert fault == "none" or faults_that_happened(folder), "the fault did not happen"
    for name in ("LOG", "lock", "cursors"):
        if (folder / "log" / name).exists():
            said.add(name, (folder / "log" / name).read_bytes())
    tokens = [source for source, text in said.texts.items() if token in text]
    found = [*said.found(), *(f"token in {source}" for source in tokens)]
    if found:
        print(found)  # noqa: T201 - beside the row that fails
    report("D-10", seed=0, runs=len(said.texts), counters={"found": len(found)}, without=without)


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_secret_is_told(forks: Forks, tmp_path_factory: pytest.TempPathFactory, fault: str, tcp: bool) -> None:
    _look(forks, tmp_path_factory.mktemp("d10"), fault, tcp=tcp)


def test_a_broker_that_logs_what_it_takes_is_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control."""
    with pytest.raises(AssertionError, match='"row": "D-10"'):
        _look(forks, tmp_path_factory.mktemp("d10"), "none", tcp=False, without="silence about data")


def test_the_environment_holds_it() -> None:
    assert CANARY in os.environ["PGPASSWORD"]
