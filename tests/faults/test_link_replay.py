"""C-10: what a minion has said is said again: by itself, by another minion, as recorded bytes, and after it has lost its log."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from sylvite.auth.keyring_values import State
from sylvite.auth.keys import make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.errors import ConnectionLost
from sylvite.link.master_end import MasterEnd
from sylvite.link.messages import Prove, Up, decode, encode
from sylvite.wire.frame import FrameDecoder
from tests.faults.link_agents import Agent, all_closed
from tests.faults.link_controls import another_source_each_time
from tests.faults.report import control, report
from tests.faults.test_link_keys import until_let_in
from tests.link.nodes import Node, hurry, play, until

EVENTS = 20
TAG = "load/replayed"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    hurry(monkeypatch)


class Recorded(Agent):
    """Keeps the frames that it has sent."""

    def __init__(self, node: Node, id_: str, *, epoch: int | None = None) -> None:
        pair = node.minion_pair if id_ == "alpha" else make_pair()
        super().__init__(id_, pair, node.master_pair.fingerprint)
        self.frames: list[bytes] = []
        self.epoch = self.epoch if epoch is None else epoch

    def write(self) -> None:
        if self._transport is not None:
            parts = self.uplink.take_bytes()
            self.frames += parts
            self._transport.writelines(parts)

    def fire_all(self, tag: str = TAG) -> None:
        for number in range(EVENTS):
            self.fire(tag, {"n": number})

    def said(self, kind: type[Prove] | type[Up]) -> bytes:
        """Return what it has said of a kind."""
        frames = FrameDecoder()
        frames.feed(b"".join(self.frames))
        found = [decode(number, body) for number, body in frames.frames()]
        return b"".join(encode(message) for message in found if isinstance(message, kind))


class Repeater(Agent):
    """Says what somebody else has said, instead of a proof of its own."""

    said = b""

    def data_received(self, data: bytes) -> None:
        self.raw(self.said)


async def _count(bus: AsyncClient, tag: str = TAG) -> int:
    return len([event async for event in await bus.subscribe(tag, since="oldest", until_end=True)])


async def _sessions(end: MasterEnd) -> int:
    """Return how many are in, once those that have gone are."""
    with suppress(TimeoutError):
        await until(lambda: not end.sessions)
    return len(end.sessions)


async def _record_bytes(node: Node, agent: Recorded) -> bytes:
    """Let it speak to its master through a proxy; return what has gone up, as it was on the network."""
    up = bytearray()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if kept is not None:
                    kept += data
                writer.write(data)
        writer.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, beyond = await asyncio.open_connection("127.0.0.1", node.port)
        await asyncio.gather(carry(reader, beyond, up), carry(there, writer, None))

    proxy = await asyncio.start_server(between, "127.0.0.1", 0)
    await agent.connect(int(proxy.sockets[0].getsockname()[1]))
    agent.fire_all()
    await agent.all_taken()
    agent.leave()
    proxy.close()
    return bytes(up)


async def _send_bytes(port: int, recorded: bytes) -> None:
    """Send what was recorded on a new connection, and hear what comes until the other side ends."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(recorded)
            while await reader.read(65536):
                pass
            writer.close()


def _replay(tmp_path: Path, *, without: str | None = None) -> None:
    counters: dict[str, float] = {}

    async def scene(node: Node) -> None:
        node.accept()
        async with node.master() as end, AsyncClient.connect(node.master_broker.socket) as bus:
            first = Recorded(node, "alpha")
            await until_let_in(first, node.port)
            first.fire_all()
            await first.all_taken()
            first.leave()
            assert await _count(bus) == EVENTS
            # The same frames, in a new session of the same minion: twice.
            for _ in range(2):
                again = Recorded(node, "alpha", epoch=first.epoch)
                await until_let_in(again, node.port)
                again.fire_all()
                await again.all_taken()
                again.leave()
            counters["stored_again"] = await _count(bus) - EVENTS
            # A proof, with all that followed it, on another connection.
            liar = Repeater("alpha", first.pair, node.master_pair.fingerprint)
            liar.said = first.said(Prove) + first.said(Up)
            with suppress(ConnectionLost, OSError):
                await liar.connect(node.port)
            counters["let_in_by_an_old_proof"] = await _sessions(end)
            # What alpha has said, from beta.
            beta = Recorded(node, "beta")
            node.keyring.expect("beta", beta.pair.fingerprint, 0)
            await until_let_in(beta, node.port)
            beta.raw(first.said(Up))
            beta.fire("load/own", {})
            await until(lambda: not beta.is_up or bool(beta.taken_s))
            beta.leave()
            counters["taken_from_another"] = await _count(bus) - EVENTS - counters["stored_again"]
            # The bytes of a whole connection.
            recorded = await _record_bytes(node, Recorded(node, "alpha"))
            before = await _count(bus)
            for _ in range(3):
                await _send_bytes(node.port, recorded)
            counters["let_in_by_recorded_bytes"] = await _sessions(end)
            counters["taken_from_recorded_bytes"] = await _count(bus) - before
            assert len(recorded) > EVENTS * 20
            # A minion that has lost its log begins anew, at the same offsets.
            anew = Recorded(node, "alpha")
            await until_let_in(anew, node.port)
            anew.fire_all("load/anew")
            await anew.all_taken()
            anew.leave()
            counters["refused_after_loss"] = EVENTS - await _count(bus, "load/anew")
            await all_closed()
            assert all(key.state is State.ACCEPTED for key in node.keyring.all_keys())

    play(tmp_path, scene)
    report("C-10", seed=0, runs=2 * EVENTS + 1 + EVENTS + 3 + EVENTS, counters=counters, without=without)


def test_what_was_said_before_counts_for_nothing(tmp_path: Path) -> None:
    """Nothing is stored twice, nobody gets in, and what is new is taken."""
    _replay(tmp_path)


def test_a_master_that_takes_it_for_new_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    another_source_each_time(monkeypatch.setattr)
    with control("C-10", without="one source for each outbox", match='"stored_again": [1-9]'):
        _replay(tmp_path, without="one source for each outbox")
