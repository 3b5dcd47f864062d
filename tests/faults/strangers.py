"""Strangers: what who was not let in does to a master, as a program of its own: it shares no loop with those who are disturbed.

    python -m tests.faults.strangers PORT FINGERPRINT SCALE SECONDS

For each line of its input, the name of what is to be done, it does that, and says in a line how often, and what was kept.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sylvite.auth.keys import Fingerprint, make_pair, parse_fingerprint
from sylvite.errors import ConnectionLost
from tests.faults.link_agents import TLS, Agent

AT_ONCE = 50


class Strangers:
    """`kept`: connections that have shown nothing, and that the master has not ended in time."""

    def __init__(self, port: int, master: Fingerprint, scale: int, ended_s: float) -> None:
        self.port, self.master, self.scale, self._ended_s = port, master, scale, ended_s
        self.kept = self.tried = 0

    async def half_open(self) -> None:
        """Connect, some with the beginning of a handshake, and say no more."""
        hello = await self._hello()
        await self._each(
            20 * self.scale, lambda number: self._wait_for_end(hello[: (0, 5, 60)[number % 3]]), at_once=500
        )

    async def slow(self) -> None:
        """Say a byte of the handshake now and then."""
        hello = await self._hello()
        await self._each(self.scale, lambda _: self._wait_for_end(hello, each_s=0.5))

    async def garbage(self) -> None:
        """Connect, say nonsense, go."""
        await self._each(100 * self.scale, lambda number: self._say(bytes([number % 256]) * 200))

    async def huge(self) -> None:
        """A mebibyte where a hello, or after it a certificate, was due."""
        record = b"\x16\x03\x03\x40\x00" + b"\x0b\x0f\xff\xf0" + bytes(16380)
        hello = await self._hello()
        await self._each(self.scale, lambda number: self._say((hello if number % 2 else b"") + record * 64))

    async def enrol(self) -> None:
        """Ask for ids, each with a key of its own."""

        async def ask(number: int) -> None:
            agent = Agent(f"stranger{number}", make_pair(), self.master)
            with suppress(OSError, ConnectionLost):
                await agent.connect(self.port)
            agent.leave()

        await self._each(10 * self.scale, ask)

    async def _each(self, count: int, do: Callable[[int], Awaitable[None]], *, at_once: int = AT_ONCE) -> None:
        gate = asyncio.Semaphore(at_once)

        async def one(number: int) -> None:
            async with gate:
                await do(number)
                self.tried += 1

        await asyncio.gather(*(one(number) for number in range(count)))

    async def _hello(self) -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with suppress(ssl.SSLWantReadError):
            TLS.wrap_bio(incoming, outgoing).do_handshake()
        return outgoing.read()

    async def _say(self, what: bytes) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._ended_s):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(what)
                await writer.drain()
                writer.close()

    async def _wait_for_end(self, said: bytes, each_s: float = 0.0) -> None:
        try:
            async with asyncio.timeout(self._ended_s):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    for byte in said if each_s else ():
                        writer.write(bytes([byte]))
                        await asyncio.sleep(each_s)
                        if reader.at_eof() or writer.is_closing():
                            return
                    writer.write(b"" if each_s else said)
                    while await reader.read(65536):
                        pass
                finally:
                    writer.transport.abort()
        except TimeoutError:
            self.kept += 1
        except OSError:
            pass  # It was ended.


def main(port: str, master: str, scale: str, ended_s: str) -> None:
    strangers = Strangers(int(port), parse_fingerprint(master), int(scale), float(ended_s))
    for line in sys.stdin:
        asyncio.run(getattr(strangers, line.strip())())
        sys.stdout.write(json.dumps({"tried": strangers.tried, "kept": strangers.kept}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
