"""Simulated minions: as many sessions of the link as are wanted, in one process, that answer a job at once.

Each has a key, TLS and a session of its own, as a minion has; what it has not is a bus, and functions: a return is made up
as soon as the job arrives.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from bench.processes import Line
from bench.sections import parser_of
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keys import KeyPair, make_pair
from sylvite.core.event import pack_data, unpack_data
from sylvite.link.tls import minion_context, shown_by
from sylvite.link.tls_pipe import TlsPipe
from sylvite.link.uplink import Load, Uplink

AT_ONCE = 50
"""Connections that are made at the same time."""
AGAIN_S = 0.2
"""Between two tries of one minion to connect."""
PING_S = 15.0
LET_IN_S = 300.0


class Minion(asyncio.Protocol):
    """One of them.  `is_in`: set when the master has let it in; `is_gone`: when the connection is lost."""

    def __init__(self, id_: str, pair: KeyPair, context: ssl.SSLContext) -> None:
        self.is_in, self.is_gone = asyncio.Event(), asyncio.Event()
        self._id, self._uplink = id_, Uplink(pair, id_)
        self._tls = TlsPipe(context, server_side=False)
        self._epoch, self._offset = time.time_ns(), 0
        self._transport: asyncio.Transport | None = None
        self._greeted = False
        self._to_fire: Iterator[bytes] = iter(())
        self._taken = 0

    @property
    def is_firing(self) -> bool:
        """Say whether the master has not taken all yet."""
        if (done := self._uplink.done) is not None:
            self._taken = done.offset + 1
        return self._taken < self._offset

    def fire(self, loads: Iterator[bytes]) -> None:
        """Send these up, packed, as fast as the master takes them."""
        self._to_fire = loads
        self._write()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._tls.start())

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self.is_gone.set()

    def data_received(self, data: bytes) -> None:
        plain, answer = self._tls.feed(data)
        if answer and self._transport is not None:
            self._transport.write(answer)
        if self._tls.stands and not self._greeted:
            self._greeted = True
            self._uplink.connect(shown_by(self._tls.peer))
        for piece in plain:
            self._uplink.feed(piece)
        while self._uplink.downs:
            self._answer(unpack_data(self._uplink.downs.popleft().data))
        self._write()
        if self._uplink.is_up:
            self.is_in.set()

    def ping(self) -> None:
        self._uplink.ping(0)
        self._write()

    def _answer(self, job: Mapping[str, Any]) -> None:
        load = {
            "cmd": "_return", "id": self._id, "jid": job["jid"], "fun": job["fun"], "fun_args": job["arg"],
            "return": True, "retcode": 0, "success": True, "user": job["user"],
        }  # fmt: skip
        self._offer(pack_data(load))

    def _offer(self, packed: bytes) -> None:
        self._uplink.offer(Load(self._epoch, self._offset, packed))
        self._offset += 1

    def _write(self) -> None:
        while self._uplink.has_room() and (packed := next(self._to_fire, None)) is not None:
            self._offer(packed)
        parts = self._uplink.take_bytes()
        if parts and self._transport is not None:
            self._transport.writelines(self._tls.wrap(parts))


def let_in(keys: Path, count: int) -> dict[str, KeyPair]:
    """Make so many minions, and accept their keys; return their pairs by id."""
    pairs = {f"m{number:05}": make_pair() for number in range(count)}
    with Keyring.open(keys) as keyring:
        for id_, pair in pairs.items():
            keyring.ask(id_, pair.public, "127.0.0.1", time.time_ns())
            keyring.accept(id_, pair.fingerprint, time.time_ns())
        announce(keyring, lambda _: None)
    return pairs


def run(line: Line, pairs: Mapping[str, KeyPair], port: int) -> None:
    """Be these minions, until the process is ended; say that all have been let in."""
    asyncio.run(_run(line, pairs, port))


async def _run(line: Line, pairs: Mapping[str, KeyPair], port: int) -> None:
    minions = await connected(pairs, port)
    line()
    await stay(minions)


async def connected(pairs: Mapping[str, KeyPair], port: int) -> list[Minion]:
    """Return these minions, once all have been let in; who is turned away comes again."""
    context, room = minion_context(), asyncio.Semaphore(AT_ONCE)

    async def come(id_: str, pair: KeyPair) -> Minion:
        async with room:
            while not await _is_let_in(minion := Minion(id_, pair, context), port):
                await asyncio.sleep(AGAIN_S)
            return minion

    async with asyncio.timeout(LET_IN_S):
        return await asyncio.gather(*(come(id_, pair) for id_, pair in pairs.items()))


async def _is_let_in(minion: Minion, port: int) -> bool:
    try:
        await asyncio.get_running_loop().create_connection(lambda: minion, "127.0.0.1", port)
    except OSError:
        return False  # Nobody listens for the moment.
    waiting = [asyncio.create_task(event.wait()) for event in (minion.is_in, minion.is_gone)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    return minion.is_in.is_set() and not minion.is_gone.is_set()


async def stay(minions: Sequence[Minion]) -> None:
    """Let the master see that they live, for ever."""
    while True:
        await asyncio.sleep(PING_S)
        for minion in minions:
            minion.ping()


def count_parser(program: str, about: str, counts: Sequence[int]) -> argparse.ArgumentParser:
    """Return the command line of a measurement with simulated minions."""
    parser = parser_of(program, about)
    parser.add_argument("--minions", default=counts, type=_counts, metavar="N,...", help="how many simulated ones")
    parser.add_argument("--without-salt", action="store_true")
    return parser


def _counts(text: str) -> list[int]:
    return [int(count) for count in text.split(",") if count]
