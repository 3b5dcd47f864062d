"""D-09: who a peer is, by the kernel's word at the moment of connect, whatever it says or does afterwards."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sylvite.auth.policy import PolicySettings, Rule
from sylvite.broker.settings import BrokerSettings
from sylvite.client.sync_client import Client
from sylvite.core.level import Level
from sylvite.eventlog.eventlog import LogSettings
from sylvite.wire.frame import FrameDecoder
from sylvite.wire.messages import VERSION, Hello, Refuse, Welcome, decode, encode
from tests.faults.chosen_pid import IdTaken, process_with_id
from tests.faults.forked_brokers import Forks, Start, broker_output, forked_brokers
from tests.faults.other_user import NOBODY, IsWanted, needs_root, other_user
from tests.faults.raw_peer import WITHIN_S, RawPeer, publish
from tests.faults.report import report

pytestmark = needs_root
GUEST, MEMBER, STRANGER, GROUP = NOBODY, 2222, 3333, 4321
RULE = Rule(users=(GUEST,), groups=(GROUP,), publish=("load/",), subscribe=("load/",))
SETTINGS = BrokerSettings(log=LogSettings(keep_free_bytes=0), policy=PolicySettings(rules=(RULE,)))
HERE = Path("bus.sock")
ATTEMPTS = 20


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers() as parent:
        yield parent


class Bus:
    """A broker whose socket is open to all, and what it took its peers for."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.pid, self.folder = pid, folder
        self.socket = folder / "bus.sock"
        self.asked = self.wrong = 0
        self.first_wrong = ""

    def expect(self, found: str, wanted: str) -> None:
        self.asked += 1
        self.wrong += found != wanted
        self.first_wrong = self.first_wrong or ("" if found == wanted else f"{found}, not {wanted}")

    def senders(self, tag: str) -> list[str]:
        with (
            Client.connect(self.socket) as client,
            client.subscribe(tag, since="oldest", until_end=True) as subscription,
        ):
            found: list[str] = []
            while (event := subscription.next(WITHIN_S)) is not None:
                found.append(event.sender)
            return found


@contextmanager
def _bus(forks: Forks, folder: Path, without: str | None = None) -> Generator[Bus]:
    public = folder / "public"
    public.mkdir(mode=0o755)
    started = forks.start(
        Start(str(folder / "private"), SETTINGS, socket=str(public / "bus.sock"), without=without)
    )  # fmt: skip
    assert started.ready, broker_output(folder / "private")
    bus = Bus(started.pid, public)
    try:
        yield bus
    finally:
        forks.stop(started.pid)
    if bus.first_wrong:
        print(bus.first_wrong)  # noqa: T201 - beside the row that fails
    counters = {"wrong_identity": bus.wrong, "asked": bus.asked}
    report("D-09", seed=1, runs=bus.asked, counters=counters, target={"wrong_identity": 0}, without=without)


def who(peer: RawPeer, name: str = "raw") -> str:
    """Say hello; return who the broker takes this peer for, or the code of its refusal."""
    peer.socket.sendall(encode(Hello(VERSION, name, 1)))
    decoder = FrameDecoder()
    while data := peer.socket.recv(65_536):
        decoder.feed(data)
        for kind, body in decoder.frames():
            message = decode(kind, body)
            if isinstance(message, Welcome):
                return message.sender
            if isinstance(message, Refuse):
                return message.code
    return "nothing"


def _packed(peer: RawPeer) -> bytes:
    return peer.socket.fileno().to_bytes(4, sys.byteorder)


def ask_who(_: IsWanted) -> str:
    with RawPeer(HERE) as peer:
        return who(peer)


def claim_to_be_root(_: IsWanted) -> str:
    with RawPeer(HERE) as peer:
        return who(peer, "uid:0")


def _users(bus: Bus) -> None:
    with RawPeer(bus.socket) as peer:
        bus.expect(who(peer), "uid:0")
    for uid, gid, groups, wanted in (
        (GUEST, GUEST, (), f"uid:{GUEST}"), (MEMBER, GROUP, (), f"uid:{MEMBER}"), (MEMBER, MEMBER, (GROUP,), f"uid:{MEMBER}"),
        (STRANGER, STRANGER, (), "not_allowed"), (STRANGER, 0, (0,), "not_allowed"),
    ):  # fmt: skip
        with other_user(ask_who, bus.folder, uid=uid, gid=gid, groups=groups) as user:
            bus.expect(user.result(), wanted)
    with other_user(claim_to_be_root, bus.folder, uid=GUEST) as user:
        bus.expect(user.result(), f"uid:{GUEST}")


def _passed_on(bus: Bus) -> None:
    """A connection is its connector's, whoever speaks on it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)

    def speak_on_it(_: IsWanted) -> str:
        descriptors = socket.recv_fds(theirs, 1, 1)[1]
        peer = RawPeer.__new__(RawPeer)
        peer.socket = socket.socket(fileno=descriptors[0])
        peer.socket.settimeout(30)  # Whether it waits is a flag that both processes share.
        with peer:
            return who(peer)

    def pass_it_on(_: IsWanted) -> None:
        with RawPeer(HERE) as peer:
            theirs.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _packed(peer))])

    with ours, theirs:
        with other_user(speak_on_it, bus.folder, uid=GUEST) as user, RawPeer(bus.socket) as peer:
            ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _packed(peer))])
            bus.expect(user.result(), "uid:0")
        with other_user(pass_it_on, bus.folder, uid=GUEST) as user:
            user.result()
        descriptors = socket.recv_fds(ours, 1, 1)[1]
        peer = RawPeer.__new__(RawPeer)
        peer.socket = socket.socket(fileno=descriptors[0])
        peer.socket.settimeout(WITHIN_S)
        with peer:
            bus.expect(who(peer), f"uid:{GUEST}")


def _other_user_after_connect(bus: Bus) -> None:
    """What counts is who connected, and that is the effective user."""

    def change_and_ask(_: IsWanted) -> list[str]:
        with RawPeer(HERE) as before:
            os.seteuid(GUEST)
            with RawPeer(HERE) as after:
                return [who(before), who(after)]

    with other_user(change_and_ask, bus.folder, uid=0, gid=0) as user:
        before, after = user.result()
    bus.expect(before, "uid:0")
    bus.expect(after, f"uid:{GUEST}")


def _gone(bus: Bus) -> None:
    """A peer that has said everything and is gone before the broker looks; its process id is root's by then.

    With another peer, if something else on this machine is given the id in between.
    """
    for attempt in range(ATTEMPTS):
        tag = f"load/gone/{attempt}"
        try:
            _gone_once(bus, tag)
        except IdTaken:
            continue
        found = bus.senders(tag)
        bus.expect(found[0] if found else "lost", f"uid:{GUEST}")
        return
    raise AssertionError(f"others were given the id of a peer that is gone, {ATTEMPTS} times")


def _gone_once(bus: Bus, tag: str) -> None:
    def publish_and_leave(_: IsWanted) -> None:
        with RawPeer(HERE) as peer:
            peer.say(Hello(VERSION, "raw", 5), publish(tag, {}, Level.WRITTEN))

    os.kill(bus.pid, signal.SIGSTOP)
    try:
        with other_user(publish_and_leave, bus.folder, uid=GUEST) as user:
            user.result()
        with process_with_id(user.pid):
            os.kill(bus.pid, signal.SIGCONT)
            with RawPeer(bus.socket) as peer:
                who(peer)
    finally:
        os.kill(bus.pid, signal.SIGCONT)


def _many(bus: Bus) -> None:
    """Many at the same time: each event carries the one who published it."""
    rng = random.Random(1)
    uids = [GUEST, *(rng.randrange(5000, 6000) for _ in range(5))]

    def publish_my_own(is_wanted: IsWanted) -> int:
        for number in range(30):
            with RawPeer(HERE) as peer:
                peer.say(Hello(VERSION, "raw", number), publish(f"load/{os.getuid()}", {}, Level.WRITTEN))
                peer.socket.shutdown(socket.SHUT_WR)
                peer.hear_out()
        return 30

    with ExitStack() as stack:
        users = [stack.enter_context(other_user(publish_my_own, bus.folder, uid=uid, gid=GROUP)) for uid in uids]
        assert [user.result() for user in users] == [30] * len(uids)
    for uid in set(uids):
        senders = bus.senders(f"load/{uid}")
        assert len(senders) >= 30
        for sender in senders:
            bus.expect(sender, f"uid:{uid}")


CASES: dict[str, Callable[[Bus], None]] = {
    "users": _users, "passed on": _passed_on, "another user after connect": _other_user_after_connect, "gone": _gone, "many": _many,
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_peer_is_who_connected(forks: Forks, tmp_path_factory: pytest.TempPathFactory, case: str) -> None:
    with _bus(forks, tmp_path_factory.mktemp("d09")) as bus:
        CASES[case](bus)


def test_asking_for_the_process_is_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control: a broker that looks up the process id of its peer."""
    with (
        pytest.raises(AssertionError, match='"row": "D-09"'),
        _bus(forks, tmp_path_factory.mktemp("d09"), without="the kernel's word of a peer") as bus,
    ):
        _gone(bus)
