"""MinionEnd: the way from a minion's outbox to its master, over TLS; and jobs on their way down onto the minion's bus.

The outbox is the minion's own log. A durable cursor says how far the master has it: it moves when the master has said
that it is taken, so that a minion that is killed, or a master that is away for a day, costs nothing but time.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from typing import cast

from sylvite.auth.enrolment import Pins, Token, Trust, WrongMaster, judge_master, pins_after_session
from sylvite.auth.keys import Fingerprint, InvalidKey, KeyPair
from sylvite.client.async_client import AsyncClient, AsyncSubscription
from sylvite.client.sync_connection import random_chance
from sylvite.core.event import Event, pack_data, unpack_data
from sylvite.errors import ConnectionLost, InvalidData, RemoteProtocolError, SylviteError
from sylvite.link.tls import minion_context, shown_by
from sylvite.link.uplink import Load, Uplink

OUTBOX_TAG = "fire_master"
"""On the minion's bus: what is to go up.  Salt's name for it (spec/salt-events.md 3.8)."""
RETURN_TAG = "__schedule_return"
CONNECT_S = 10.0
PING_S = 15.0
SILENT_S = 45.0
BACK_OFF_S = (1.0, 60.0)
logger = logging.getLogger("sylvite.link")


class _Wire(asyncio.Protocol):
    """One connection to a master."""

    def __init__(self, end: MinionEnd) -> None:
        self._end = end
        self.transport: asyncio.Transport | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard_s = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._end.connected(self)

    def data_received(self, data: bytes) -> None:
        self.heard_s = time.monotonic()
        self._end.received(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self.gone.done():
            self.gone.set_result(None)

    def end(self) -> None:
        if self.transport is not None:
            self.transport.close()


class MinionEnd:
    """`keep_pins`: is told whenever the pins have changed, and keeps them; `token`: for the first time only.

    `wait_s`: before asking again whether the key is accepted, unless the master says sooner.  `on_up`: is called whenever a master has let us in.
    """

    def __init__(
        self,
        bus: AsyncClient,
        pair: KeyPair,
        minion: str,
        masters: Sequence[tuple[str, int]],
        pins: Pins,
        *,
        token: Token | None = None,
        wait_s: float = 10.0,
        keep_pins: Callable[[Pins], None] = lambda _: None,
        on_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.uplink = Uplink(pair, minion)
        self._changed = asyncio.Event()
        """Set when something has come from the master, or a connection is over."""
        self._room = asyncio.Event()
        self._taken: Event | None = None
        self._bus, self._masters, self._pins = bus, list(masters), pins
        self._token, self._keep_pins, self._on_up = token, keep_pins, on_up
        self._wait_s, self._tls = wait_s, minion_context()
        self._wire: _Wire | None = None
        self._found: tuple[Fingerprint, Trust] | None = None
        self._refused: str = ""
        self._outbox: AsyncSubscription | None = None
        self._sent: dict[tuple[int, int], Event] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin: connect, and go on connecting, until `stop`.  Raises SylviteError: the minion's own bus is not there."""
        self._outbox = await self._bus.subscribe(
            exact=(OUTBOX_TAG, RETURN_TAG), cursor="uplink", since="oldest", ack="manual", on_gap=self._missed
        )
        self._tasks = [
            asyncio.create_task(self._connect(), name="uplink: connect"),
            asyncio.create_task(self._offer(self._outbox), name="uplink: offer"),
            asyncio.create_task(self._keep_cursor(self._outbox), name="uplink: cursor"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._wire is not None:
            self.uplink.say_goodbye("the minion is stopping")
            self._write()
            self._wire.end()

    @property
    def is_up(self) -> bool:
        return self._wire is not None and self.uplink.is_up

    # -- The connection ----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        attempt = 0
        while True:
            host, port = self._masters[attempt % len(self._masters)]
            self._refused = ""
            stood, pause_s = False, 0.0
            try:
                stood, pause_s = await self._session(host, port)
            except (OSError, ssl.SSLError, SylviteError) as error:
                logger.warning("the master at %s:%d is not reached: %s", host, port, error)
            attempt = 0 if stood else attempt + 1
            # Full jitter: of many minions that have lost their master at once, not two come back together.
            longest = min(BACK_OFF_S[0] * 2 ** min(attempt, 6), BACK_OFF_S[1])
            await asyncio.sleep(pause_s or random_chance() * longest)

    async def _session(self, host: str, port: int) -> tuple[bool, float]:
        """Connect to a master and stay until that ends; return whether it let us in, and when to come again."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_S):
            _, wire = await loop.create_connection(lambda: _Wire(self), host, port, ssl=self._tls)
        stood = False
        try:
            while not wire.gone.done():
                await asyncio.wait([wire.gone], timeout=PING_S)
                stood = stood or self.uplink.is_up
                if wire.gone.done():
                    break
                if time.monotonic() - wire.heard_s > SILENT_S:
                    raise ConnectionLost("it has been silent for too long")
                self.uplink.ping(0)
                self._write()
        finally:
            verdict = self.uplink.verdict
            wire.end()
            if self._wire is wire:
                self._wire = None
                self.uplink.lost()
                self._changed.set()
        if verdict is not None and not stood:
            logger.info("the master says of our key: %s %s", verdict.state, verdict.detail)
            return False, min(verdict.retry_s, self._wait_s)
        if self._refused:
            raise ConnectionLost(self._refused)
        return stood, 0.0

    def connected(self, wire: _Wire) -> None:
        """TLS stands: see whose key it is before anything is said."""
        assert wire.transport is not None
        try:
            fingerprint = shown_by(cast(ssl.SSLObject, wire.transport.get_extra_info("ssl_object")))
            trust = judge_master(fingerprint, self._pins, time.time_ns())
        except (WrongMaster, InvalidKey) as error:
            self._refused = str(error)
            wire.end()
            return
        self._wire, self._found = wire, (fingerprint, trust)
        self.uplink.connect(fingerprint, self._token)

    def received(self, wire: _Wire, data: bytes) -> None:
        if wire is not self._wire:
            return
        was_up = self.uplink.is_up
        try:
            self.uplink.feed(data)
        except (ConnectionLost, RemoteProtocolError, SylviteError) as error:
            self._refused = str(error)
            wire.end()
            return
        if self.uplink.is_up and not was_up:
            self._let_in()
        self._acknowledge()
        if self.uplink.has_room():
            self._room.set()
        self._write()
        if self.uplink.downs:
            self._bring_down()
        self._changed.set()

    def _let_in(self) -> None:
        assert self._found is not None
        fingerprint, trust = self._found
        pins = pins_after_session(self._pins, fingerprint, trust, time.time_ns())
        if pins != self._pins or self._token is not None:
            # A token is used once: what it says of the master has to be known without it from now on.
            self._pins = pins
            self._keep_pins(pins)
        self._token = None
        self._on_up()

    def _write(self) -> None:
        wire = self._wire
        if wire is not None and wire.transport is not None and not wire.transport.is_closing():
            wire.transport.writelines(self.uplink.take_bytes())

    # -- Up ----------------------------------------------------------------------------------------------------------

    async def _offer(self, outbox: AsyncSubscription) -> None:
        async for event in outbox:
            while not self.uplink.has_room():
                self._room.clear()
                await self._room.wait()
            self._sent[event.epoch, event.offset] = event
            self.uplink.offer(Load(event.epoch, event.offset, pack_data(event.data)))
            self._write()

    def _acknowledge(self) -> None:
        done, self.uplink.done = self.uplink.done, None
        while done is not None and self._sent:
            place = next(iter(self._sent))
            self._taken = self._sent.pop(place)
            if place == (done.epoch, done.offset):
                break

    async def _keep_cursor(self, outbox: AsyncSubscription) -> None:
        while True:
            await self._changed.wait()
            taken, self._taken = self._taken, None
            self._changed.clear()
            if taken is not None:
                await outbox.ack(taken)

    def _missed(self, gap: object) -> None:
        logger.error("the outbox has a gap; the master will not see what was in it: %s", gap)

    # -- Down --------------------------------------------------------------------------------------------------------

    def _bring_down(self) -> None:
        while self.uplink.downs:
            down = self.uplink.downs.popleft()
            try:
                data = unpack_data(down.data)
            except InvalidData as error:
                logger.error("what the master sent under %s cannot be read: %s", down.tag, error)
                continue
            task = asyncio.create_task(self._publish(down.tag, data), name="uplink: down")
            self._tasks.append(task)
            task.add_done_callback(self._tasks.remove)

    async def _publish(self, tag: str, data: dict[str, object]) -> None:
        try:
            await self._bus.publish(tag, data)
        except SylviteError as error:
            logger.error("a job of the master could not be published on the minion's bus: %s", error)
