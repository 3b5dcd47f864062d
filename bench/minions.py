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
from typing import Any, Protocol, cast

from bench.processes import Line
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keys import KeyPair, make_pair
from sylvite.core.event import pack_data, unpack_data
from sylvite.link.tls import minion_context, shown_by
from sylvite.link.tls_pipe import TlsPipe
from sylvite.link.uplink import Load, Uplink

AT_ONCE = 50
"""Connections that are made at the same time."""
PING_S = 15.0
LET_IN_S = 300.0


class Minion(asyncio.Protocol):
    """One of them.  `is_in`: set when the master has let it in."""

    def __init__(self, id_: str, pair: KeyPair, context: ssl.SSLContext) -> None:
        self.is_in = asyncio.Event()
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
    """Return these minions, once all have been let in."""
    context, room = minion_context(), asyncio.Semaphore(AT_ONCE)
    minions = [Minion(id_, pair, context) for id_, pair in pairs.items()]
    async with asyncio.timeout(LET_IN_S):
        await asyncio.gather(*(_connect(minion, port, room) for minion in minions))
    return minions


async def _connect(minion: Minion, port: int, room: asyncio.Semaphore) -> None:
    async with room:
        await asyncio.get_running_loop().create_connection(lambda: minion, "127.0.0.1", port)
        await minion.is_in.wait()


async def stay(minions: Sequence[Minion]) -> None:
    """Let the master see that they live, for ever."""
    while True:
        await asyncio.sleep(PING_S)
        for minion in minions:
            minion.ping()


class Measure(Protocol):
    """Measures with so many minions, and returns a table."""

    def __call__(self, counts: Sequence[int], *, quick: bool, with_salt: bool) -> str: ...


def run_alone(program: str, about: str, counts: Sequence[int], measure: Measure) -> int:
    """Run one measurement with simulated minions from a command line; return the exit code."""
    parser = argparse.ArgumentParser(prog=program, description=about.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small part of it: to see that it runs")
    parser.add_argument(
        "--minions", default=",".join(map(str, counts)), metavar="N,...", help="how many simulated ones"
    )
    parser.add_argument("--without-salt", action="store_true")
    given = parser.parse_args()
    chosen = [int(count) for count in given.minions.split(",") if count]
    print(measure(chosen, quick=given.quick, with_salt=not given.without_salt))
    return 0
