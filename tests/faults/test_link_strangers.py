"""C-08: a master that is not the pinned one; C-11: who speaks older or other versions, of TLS or of the link."""

# pyright: reportPrivateUsage=false
# What a minion has pinned, and the safeguard of TLS, are inside.

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sylvite.auth.enrolment import Pins, Trust, read_pins
from sylvite.auth.keys import KeyPair, make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.core.event import pack_data
from sylvite.link import minion_end, strangers, tls
from sylvite.link.messages import Challenge, Down, Prove, Up, Verdict, encode
from sylvite.link.minion_session import MinionSession
from sylvite.link.tls import PROTOCOL, master_context, minion_context
from tests.faults.link_agents import all_closed
from tests.faults.report import control, report
from tests.link.ends import NONCE
from tests.link.nodes import Node, buses, hurry, play, take, until

SOON_S = 1.0
REPEATS = 3
EVENTS = 20
TOLD = strangers.TAG.format("alpha")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    hurry(monkeypatch)


# -- C-08 ----------------------------------------------------------------------------------------------------------------


class FalseMaster:
    """Shows a key of its own, says what a master would say, and keeps what it hears."""

    def __init__(self, pair: KeyPair) -> None:
        self.port = self.connections = self.heard = 0
        self.fingerprint = pair.fingerprint
        self._pair = pair

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncGenerator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=master_context(self._pair))
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(
            encode(Challenge(1, "master", NONCE)) + encode(Verdict("accepted", 1)) + encode(Down("x", b"\x80"))
        )
        with suppress(OSError):
            while data := await reader.read(4096):
                self.heard += len(data)
        writer.close()


def _meet_strangers(tmp_path: Path, *, without: str | None = None) -> None:
    wrong = ("said_to_a_stranger", "lost", "pinned_unasked", "came_down", "not_told_of", "told_of_again")
    counters: dict[str, float] = dict.fromkeys((*wrong, "strangers_met"), 0.0)

    async def scene(node: Node) -> None:
        stranger = FalseMaster(make_pair())
        async with buses(node) as (master, minion):
            for number in range(EVENTS):
                await node.fire(minion, "load/secret", {"n": number})
            for pins in (read_pins([node.master_pair.fingerprint]), Pins()):
                async with stranger.listening():
                    node.port = stranger.port
                    before = stranger.connections
                    async with node.minion(pins=pins) as end:
                        await until(
                            lambda before=before: stranger.connections >= before + REPEATS or stranger.heard > 0
                        )
                        counters["pinned_unasked"] += end._pins != pins
            counters["said_to_a_stranger"] += stranger.heard
            counters["strangers_met"] = stranger.connections
            counters["came_down"] += len([e async for e in await minion.subscribe("x", since="oldest", until_end=True)])
            subscription = await minion.subscribe(TOLD, since="oldest", until_end=True)
            told = [(event.data["found"], tuple(event.data["pinned"])) async for event in subscription]
            found, pinned = stranger.fingerprint, node.master_pair.fingerprint
            expected = [(found, (pinned,)), (found, ())]
            counters["not_told_of"] = len(set(expected) - set(told))
            counters["told_of_again"] = len(told) - len(set(told))
            node.port = 0
            node.accept()
            async with node.master(), node.minion():
                arrived = await take(master, EVENTS, "load/secret")
                counters["not_told_of"] += len(expected) - len(await take(master, len(told), TOLD))
            counters["lost"] += EVENTS - len({event.data["data"]["n"] for event in arrived})

    play(tmp_path, scene)
    limits: dict[str, float] = dict.fromkeys(wrong, 0.0)
    report("C-08", seed=0, runs=int(counters["strangers_met"]), counters=counters, target=limits, without=without)


def test_a_master_that_is_not_the_pinned_one_hears_nothing(tmp_path: Path) -> None:
    """Another key than the pinned one, which is also what somebody in the middle has; and nothing pinned at all."""
    _meet_strangers(tmp_path)


def test_a_minion_that_trusts_everybody_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""

    def trusts(*_: object) -> Trust:
        return Trust.PINNED

    def keeps(pins: Pins, *_: object) -> Pins:
        return pins

    monkeypatch.setattr(minion_end, "judge_master", trusts)
    monkeypatch.setattr(minion_end, "pins_after_session", keeps)
    with control("C-08", without="looking at the master's key", match='"said_to_a_stranger": [1-9]'):
        _meet_strangers(tmp_path, without="looking at the master's key")


def test_a_first_master_is_trusted_only_where_that_was_asked_for(tmp_path: Path) -> None:
    """And then it is the only one."""

    async def scene(node: Node) -> None:
        node.accept()
        async with buses(node) as (master, minion):
            await node.fire(minion, "load/first")
            async with node.master(), node.minion(pins=Pins(trust_first=True)) as end:
                await take(master, 1, "load/first")
                pins = end._pins
            assert [pin.fingerprint for pin in pins.pins] == [node.master_pair.fingerprint]
            stranger = FalseMaster(make_pair())
            async with stranger.listening():
                node.port = stranger.port
                async with node.minion(pins=pins):
                    await until(lambda: stranger.connections >= REPEATS)
            assert stranger.heard == 0

    play(tmp_path, scene)


# -- C-11 ----------------------------------------------------------------------------------------------------------------


def _client(version: ssl.TLSVersion | None = None, alpn: list[str] | None = None) -> ssl.SSLContext:
    context = minion_context()
    context.set_alpn_protocols([PROTOCOL] if alpn is None else alpn)
    if version is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # That is why it must not work.
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


async def _say(port: int, what: bytes, context: ssl.SSLContext | None) -> bytes:
    """Connect, say something, and hear what comes until the other side ends, or nothing comes any more."""
    heard = b""
    try:
        async with asyncio.timeout(SOON_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except (OSError, ssl.SSLError):
        return heard
    with suppress(OSError, ssl.SSLError):
        writer.write(what)
        async with asyncio.timeout(SOON_S):
            while data := await reader.read(4096):
                heard += data
    writer.close()
    return heard


PLAIN = (
    encode(Prove(1, b"")),
    encode(Up(1, [(0, pack_data({"tag": "load/plain", "data": {}}))])),
    b"GET / HTTP/1.1\r\nHost: master\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.0\r\n",
    b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80" + bytes(32),  # A hello of SSL 2.
    b"\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00" + bytes(39),  # Of SSL 3.
    bytes(64),
    b"\xff" * 64,
)
OLD_TLS = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2)
VERSIONS = (0, 2, 3, 255, 2**31)


def _downgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, without: str | None = None) -> None:
    counters: dict[str, float] = dict.fromkeys(("parsed", "let_in", "resumed", "tickets", "verdicts"), 0.0)
    runs = 0
    feed = MinionSession.feed

    def counted(session: MinionSession, data: bytes | memoryview, now_s: int) -> None:
        if data:
            counters["parsed"] += 1
        feed(session, data, now_s)

    monkeypatch.setattr(MinionSession, "feed", counted)

    async def scene(node: Node) -> None:
        nonlocal runs
        async with node.master() as end, AsyncClient.connect(node.master_broker.socket) as bus:
            prove = encode(Prove(1, b"x"))
            for version in OLD_TLS:
                await _say(node.port, prove, _client(version))
            for plain in PLAIN:
                await _say(node.port, plain, None)
            for alpn in ([], ["http/1.1"], ["sylvite-link/0"], ["h2", "sylvite-link/2"]):
                await _say(node.port, prove, _client(alpn=alpn))
            runs = len(OLD_TLS) + len(PLAIN) + 4
            parsed, counters["parsed"] = counters["parsed"], 0.0
            for version in VERSIONS:
                # Of TLS all is well: the link's own version is the first thing that is read, and the last.
                heard = await _say(node.port, encode(Prove(version, b"x")), _client())
                counters["verdicts"] += heard.count(b"accepted") + heard.count(b"pending")
                runs += 1
            assert counters["parsed"] >= len(VERSIONS)
            counters["parsed"] = parsed
            counters["let_in"] += len(end.sessions) + len(node.keyring.all_keys())
            counters["resumed"], counters["tickets"] = await asyncio.to_thread(_resume, node.port)
            runs += REPEATS
            told = [event async for event in await bus.subscribe("load/", since="oldest", until_end=True)]
            counters["let_in"] += len(told)
            await all_closed()

    play(tmp_path, scene)
    report("C-11", seed=0, runs=runs, counters=counters, without=without)


def _resume(port: int) -> tuple[int, int]:
    """Return how many connections were resumed, and how many tickets came; without one there are no early data either."""
    context, session = minion_context(), None
    resumed = tickets = 0
    for _ in range(REPEATS):
        with (
            socket.create_connection(("127.0.0.1", port), SOON_S * 10) as plain,
            context.wrap_socket(plain, session=session) as connection,
        ):
            connection.recv(4096)  # The challenge; tickets would have come before it.
            resumed += bool(connection.session_reused)
            session = connection.session
            tickets += session is not None and session.has_ticket
    return resumed, tickets


def test_who_speaks_something_older_is_refused_before_it_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS 1.0 to 1.2, SSL, plain text, other protocols of TLS, other versions of the link, tickets."""
    _downgrade(tmp_path, monkeypatch)


def test_a_master_that_speaks_older_versions_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    strict = tls._strict

    def kind(context: ssl.SSLContext) -> None:
        strict(context)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1_2

    monkeypatch.setattr(tls, "_strict", kind)
    with control("C-11", without="TLS 1.3 alone", match='"parsed": [1-9]'):
        _downgrade(tmp_path, monkeypatch, without="TLS 1.3 alone")
