"""MinionEnd: the way from a minion's outbox to its master, over TLS; and jobs on their way down onto the minion's bus.

The outbox is the minion's own log. A durable cursor says how far the master has it: it moves when the master has said
that it is taken, so that a minion that is killed, or a master that is away for a day, costs nothing but time.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from sylvite.auth.enrolment import (
    BadEnrolment,
    Pins,
    Succession,
    Token,
    Trust,
    WrongMaster,
    decode,
    judge_master,
    pins_after_session,
    pins_after_succession,
)
from sylvite.auth.keyring_values import State
from sylvite.auth.keys import Fingerprint, InvalidKey, KeyPair
from sylvite.client.async_client import AsyncClient
from sylvite.client.async_subscription import AsyncSubscription
from sylvite.client.sync_connection import random_chance
from sylvite.core.event import Event, Gap, pack_data, unpack_data
from sylvite.core.known_tags import BEACONS
from sylvite.core.known_tags import OUTBOX as OUTBOX_TAG
from sylvite.core.known_tags import RETURN as RETURN_TAG
from sylvite.errors import ConnectionLost, InvalidData, RemoteProtocolError, SylviteError
from sylvite.link import strangers
from sylvite.link.jobs_had import JobsHad
from sylvite.link.master_wire import MasterWire
from sylvite.link.messages import TAKEN_OVER, Verdict
from sylvite.link.patience import Patience, PatienceSettings
from sylvite.link.renewal import Renewal
from sylvite.link.strangers import Strangers
from sylvite.link.tls import minion_context, shown_by
from sylvite.link.tls_pipe import TlsPipe
from sylvite.link.uplink import Load, Uplink
from sylvite.link.verdict_log import VerdictLog

CONNECT_S = 10.0
HANDSHAKE_S = 30.0
VERDICT_S = 5.0
PING_S = 15.0
SILENT_S = 45.0
BACK_OFF_S = (1.0, 10.0)
"""Before connecting again: at least, and what may be added to it."""
JOBS = "salt/job/*/publish"
JOBS_SINCE = "1h"
"""Of so long ago it is known which jobs have come, also before a start."""
MISSED_TAG = "salt/minion/{}/missed"
logger = logging.getLogger("sylvite.link")


def _load_of(event: Event) -> Mapping[str, Any]:
    """Return what goes up: what was published, and of beacons' returns the list of events that is in it."""
    if event.tag != BEACONS:
        return event.data
    return {"events": event.data.get("beacons"), "pretag": None}


class MinionEnd:
    """`is_over`: set where the minion gives up: every master has rejected its key, or is not to be trusted.

    `stranger`: what was wrong with the master that was met last; None where it is trusted, or was not reached.
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
        patience: PatienceSettings | None = None,
        verdict_s: float | None = None,
        keep_pins: Callable[[Pins], None] = lambda _: None,
        on_up: Callable[[], None] = lambda: None,
        on_renewed: Callable[[KeyPair], None] = lambda _: None,
    ) -> None:
        """`masters`: in the order in which they are tried.  `verdict_s`: how long one may take to say what it thinks of our key.

        `token`: for the first time only.  `keep_pins`: is told whenever the pins have changed, and keeps them.  `on_up`:
        is called whenever a master has let us in; `on_renewed`: where it has with the key of `renew`.
        """
        self.uplink = Uplink(pair, minion)
        self.is_over = asyncio.Event()
        self.stranger: SylviteError | None = None
        self._changed = asyncio.Event()
        """Set when something has come from the master, or a connection is over."""
        self._room = asyncio.Event()
        self._bus, self._masters, self._pins = bus, list(masters), pins
        self._minion, self._token, self._keep_pins, self._on_up = minion, token, keep_pins, on_up
        self._renewal, self._verdicts = Renewal(pair, on_renewed), VerdictLog(minion)
        self._strangers = Strangers(minion)
        least_s, most_s = BACK_OFF_S
        settings = patience or PatienceSettings(recon_default_s=least_s, recon_max_s=most_s)
        self._patience = Patience(settings, random_chance, len(self._masters))
        self._verdict_s = VERDICT_S if verdict_s is None else verdict_s
        self._tls = minion_context()
        self._wire: MasterWire | None = None
        self._found: tuple[Fingerprint, Trust] | None = None
        self.refused = ""
        """Why the connection has ended, or is about to."""
        self._outbox: AsyncSubscription | None = None
        self._gap: Gap | None = None
        """Of the outbox, that no master was told of."""
        self._missed_count = 0
        self._jobs_had = JobsHad()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin: connect, and go on connecting, until `stop`.  Raises SylviteError: the minion's own bus is not there."""
        had = await self._bus.subscribe(fnmatch=JOBS, since=JOBS_SINCE, until_end=True, on_gap=lambda _: None)
        async for event in had:
            self._jobs_had.is_new(event.tag)
        self._outbox = await self._bus.subscribe(
            exact=(OUTBOX_TAG, RETURN_TAG, BEACONS), cursor="uplink", since="oldest", ack="manual", on_gap=self._missed
        )
        self._tasks = [
            asyncio.create_task(self._connect(), name="uplink: connect"),
            asyncio.create_task(self._offer(self._outbox), name="uplink: offer"),
            asyncio.create_task(self._keep_cursor(self._outbox), name="uplink: cursor"),
        ]

    async def stop(self) -> None:
        if self.is_up:
            self.uplink.say_goodbye("the minion is stopping")
            self._write()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell(self, facts: bytes) -> None:
        """Say this of the minion, packed grains, to each master.  Raises EventTooBig."""
        self.uplink.tell(facts)
        self._write()

    def renew(self, successor: KeyPair) -> None:
        """Show the master the key that is to be used next, and then use it.  Once it is under way, nothing more happens."""
        if self._renewal.begin(successor) and self.is_up:
            self._offer_successor()

    def _offer_successor(self) -> None:
        if (successor := self._renewal.offer()) is not None:
            self.uplink.offer_successor(successor)
            self._write()

    @property
    def is_up(self) -> bool:
        return self._wire is not None and self.uplink.is_up

    # -- The connection ----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        attempt = 0
        while not self._patience.gives_up:
            host, port = self._masters[attempt % len(self._masters)]
            self.refused, self.stranger = "", None
            try:
                verdict = await self._session(host, port)
            except (WrongMaster, InvalidKey) as error:
                self.stranger, verdict = error, None
                await self._tell_stranger(f"{host}:{port}", error)
            except (OSError, ssl.SSLError, SylviteError) as error:
                logger.warning("the master at %s:%d is not reached: %s", host, port, error)
                verdict = None
            self.uplink.use(self._renewal.key_after(verdict))
            if verdict is not None and verdict.state == State.ACCEPTED:
                self._patience.was_in()
                # The one that has let us in is tried first: it may be back in a moment.
                pause_s = self._patience.after_loss(taken_over=TAKEN_OVER in self.refused)
            elif verdict is not None:
                self._verdicts.tell(f"{host}:{port}", verdict)
                pause_s = self._patience.after_verdict(verdict)
                attempt += 1
            else:
                pause_s = self._patience.after_loss(wrong_master=self.stranger is not None)
                attempt += 1
            if not self._patience.gives_up:
                await asyncio.sleep(pause_s)
        if self.stranger is None:
            logger.error("the key of this minion was rejected; with rejected_retry it would ask again")
        self.is_over.set()

    async def _session(self, host: str, port: int) -> Verdict | None:
        """Connect to a master and stay until that ends; return what it has said of our key."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_S):
            tls = TlsPipe(self._tls, server_side=False)
            _, wire = await loop.create_connection(lambda: MasterWire(self, tls), host, port)
        try:
            # Of many that come at once, each has to wait for its turn.
            await asyncio.wait([wire.stands, wire.gone], timeout=HANDSHAKE_S, return_when=asyncio.FIRST_COMPLETED)
            if not wire.tls.stands and not wire.gone.done():
                raise ConnectionLost("it has not answered in time")
            await self._stay(wire, loop.time() + self._verdict_s)
        finally:
            verdict = self.uplink.verdict
            wire.end()
            if self._wire is wire:
                self._wire = None
                self.uplink.lost()
                self._changed.set()
        if self.stranger is not None:
            raise self.stranger
        if verdict is None and self.refused:
            raise ConnectionLost(self.refused)
        if self.refused and verdict is not None and verdict.state == State.ACCEPTED:
            logger.warning("the connection to the master at %s:%d has ended: %s", host, port, self.refused)
        return verdict

    async def _stay(self, wire: MasterWire, verdict_by_s: float) -> None:
        loop = asyncio.get_running_loop()
        while not wire.gone.done():
            has_verdict = self.uplink.verdict is not None
            await asyncio.wait([wire.gone], timeout=PING_S if has_verdict else min(PING_S, self._verdict_s / 10))
            if wire.gone.done():
                return
            if self.uplink.verdict is None:
                if loop.time() > verdict_by_s:
                    raise ConnectionLost("it has not said in time what it thinks of our key")
            elif time.monotonic() - wire.heard_s > SILENT_S:
                self.refused = "nothing was heard of it"
                return
            elif has_verdict:
                self.uplink.ping(0)
                self._write()

    def connected(self, wire: MasterWire) -> bool:
        """TLS stands: say whether it is with a master that may be trusted; nothing is said before."""
        try:
            fingerprint = shown_by(wire.tls.peer)
            trust = judge_master(fingerprint, self._pins, time.time_ns())
            self.uplink.connect(fingerprint, self._token)
        except (WrongMaster, InvalidKey) as error:
            self.stranger = error
            wire.end()
            return False
        self._wire, self._found = wire, (fingerprint, trust)
        return True

    async def _tell_stranger(self, master: str, error: SylviteError) -> None:
        facts = self._strangers.met(master, error, [pin.fingerprint for pin in self._pins.pins], time.monotonic())
        if facts is None:
            logger.debug("the master at %s is still not to be trusted: %s", master, error)
            return
        logger.error(
            "the master at %s is not to be trusted, and was told nothing: %s%s", master, error,
            ". Compare with `sylvite keys finger` there: if it has another key, set master_finger; if not, somebody is in between"
            if self._pins.pins else "",
        )  # fmt: skip
        tag = strangers.TAG.format(self._minion)
        await self._publish(tag, facts)
        await self._publish(OUTBOX_TAG, {"tag": tag, "data": facts, "events": None, "pretag": None})

    def received(self, wire: MasterWire, data: bytes) -> None:
        if wire is not self._wire:
            return
        was_up = self.uplink.is_up
        try:
            self.uplink.feed(data)
        except (ConnectionLost, RemoteProtocolError, SylviteError) as error:
            self.refused = str(error)
            wire.end()
            return
        if self.uplink.is_up and not was_up:
            self._let_in()
        if self.uplink.has_room():
            self._room.set()
        self._write()
        if self.uplink.downs:
            self._bring_down()
        if (answer := self.uplink.succeeded) is not None:
            self.uplink.succeeded = None
            self._renewal.answered(answer)
            self.refused = "it goes on with another key of ours"
            wire.end()
        while self.uplink.statements:
            self._learn(self.uplink.statements.popleft())
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
        self._verdicts.was_in()
        self._strangers.was_in()
        self._renewal.was_in()
        self._offer_successor()
        self._tell_missed()
        self._on_up()

    def _learn(self, statement: bytes) -> None:
        """The master says which key it will have next: it is trusted from now on."""
        try:
            pins = pins_after_succession(self._pins, decode(statement, Succession), time.time_ns())
        except (BadEnrolment, WrongMaster) as error:
            logger.error("what the master says of its next key is not believed: %s", error)
            return
        if pins != self._pins:
            logger.info("the master will have another key: %s", pins.pins[-1].fingerprint)
            self._pins = pins
            self._keep_pins(pins)

    def _write(self) -> None:
        if self._wire is not None:
            self._wire.write(self.uplink.take_bytes())

    # -- Up ----------------------------------------------------------------------------------------------------------

    async def _offer(self, outbox: AsyncSubscription) -> None:
        async for event in outbox:
            while not self.uplink.has_room():
                self._room.clear()
                await self._room.wait()
            self.uplink.offer(Load(event.epoch, event.offset, pack_data(_load_of(event))))
            self._write()

    async def _keep_cursor(self, outbox: AsyncSubscription) -> None:
        while True:
            await self._changed.wait()
            taken, self.uplink.done = self.uplink.done, None
            self._changed.clear()
            if taken is not None:
                await outbox.ack(taken.offset)

    def _missed(self, gap: Gap) -> None:
        """The outbox is bounded, and what was oldest has gone.

        The master is told once it is there: told before, the outbox could lose that too.
        """
        logger.error("the outbox has a gap; the master will not see what was in it: %s", gap)
        former = self._gap
        if former is not None:
            count = None if former.count is None or gap.count is None else former.count + gap.count
            gap = Gap(min(former.first, gap.first), max(former.next, gap.next), gap.reason, count)
        self._gap = gap
        if self.is_up:
            self._tell_missed()

    def _tell_missed(self) -> None:
        gap, self._gap = self._gap, None
        if gap is None:
            return
        self._missed_count += gap.count or 0
        facts = {
            "first": gap.first, "next": gap.next, "count": gap.count, "reason": gap.reason, "total": self._missed_count,
        }  # fmt: skip
        event = {"tag": MISSED_TAG.format(self._minion), "data": facts, "events": None, "pretag": None}
        self._spawn(self._publish(OUTBOX_TAG, event), "gap")

    # -- Down --------------------------------------------------------------------------------------------------------

    def _bring_down(self) -> None:
        while self.uplink.downs:
            down = self.uplink.downs.popleft()
            if not self._jobs_had.is_new(down.tag):
                continue
            try:
                data = unpack_data(down.data)
            except InvalidData as error:
                logger.error("what the master sent under %s cannot be read: %s", down.tag, error)
                continue
            self._spawn(self._publish(down.tag, data), "down")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"uplink: {name}")
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _publish(self, tag: str, data: Mapping[str, object]) -> None:
        try:
            await self._bus.publish(tag, data)
        except SylviteError as error:
            logger.error("an event %s could not be published on the minion's bus: %s", tag, error)
