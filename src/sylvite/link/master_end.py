"""MasterEnd: the listener of a master.  Minions come in over TLS; what they send goes onto the bus, jobs go down to them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from typing import Any

from sylvite.auth.enrolment import NONCE_BYTES, Asking
from sylvite.auth.keyring_values import Identity
from sylvite.auth.keys import KeyPair, PublicKey
from sylvite.client.async_client import AsyncClient
from sylvite.client.async_subscription import AsyncSubscription
from sylvite.core.event import Event, Gap, pack_data
from sylvite.errors import SylviteError
from sylvite.jobs.jid import JidMaker
from sylvite.link import publications
from sylvite.link.doorway import Doorway
from sylvite.link.gate import Gate
from sylvite.link.gatekeeper import FULL_S, auth_event
from sylvite.link.herald import Herald
from sylvite.link.intake import Intake
from sylvite.link.known_jobs import KnownJobs, Minions
from sylvite.link.messages import TAKEN_OVER, Verdict
from sylvite.link.minion_session import Arrived, Judgement, MinionSession
from sylvite.link.minion_wire import READ_BYTES, MinionWire
from sylvite.link.presence import EXPECTED_S
from sylvite.link.recent_jobs import RecentJobs
from sylvite.link.refused_news import RefusedNews
from sylvite.link.roll import Roll
from sylvite.link.settings import LinkSettings
from sylvite.link.tls import master_context
from sylvite.link.twins import Twins

LOOK_S = 0.5
"""How often the keyring is looked at: a key that is revoked has its session ended within a second."""
REPORT_S = 10.0
PING_S = 20.0
"""A minion that has said nothing for so long is asked whether it is still there: it says something every 15 s by itself."""
SILENT_S = 45.0
BEATS_S = 5.0
PARTED_AT_ONCE = 50
JOBS_SINCE = "24h"
"""Of so long ago jobs are known, so that what comes back of them is taken."""
JOB_TAGS = ("salt/job/*/new", "salt/job/*/publish")
TWINS_TAG = "salt/link/twins"
logger = logging.getLogger("sylvite.link")


class MasterEnd:
    """`sessions`: of the minions that are here, by id.  `roll`: keeps who is here; without one, nobody is told."""

    def __init__(
        self,
        bus: AsyncClient,
        gate: Gate,
        pair: KeyPair,
        settings: LinkSettings,
        *,
        herald: Herald | None = None,
        roll: Roll | None = None,
    ) -> None:
        self.sessions: dict[str, MinionWire] = {}
        self.tls = master_context(pair)
        self.door = Doorway(settings.line_max, settings.line_per_address_max, settings.half_open_max)
        self.buffer = memoryview(bytearray(READ_BYTES))
        self._bus, self._gate, self._settings = bus, gate, settings
        self._pair: KeyPair = pair
        self._herald = herald or Herald(bus)
        self._intake = Intake(bus, self._herald)
        self._roll = roll
        self._wires: set[MinionWire] = set()
        self._jobs = KnownJobs()
        self._recent = RecentJobs()
        self._history_end = 0
        """What is published behind this offset is so while this process runs."""
        self._all_back_s = 0.0
        """Until then those who were here when the link last ran have to come back."""
        self._twins, self._refused = Twins(), RefusedNews()
        self._jids = JidMaker(process=os.getpid() if settings.unique_jid else None)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._statement = b""
        """Of this master on its next key."""

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            OSError: it cannot be listened on.
            SylviteError: the bus does not answer.
        """
        # From some time ago: what comes back of jobs that went out before this process began is known to be theirs.
        jobs = await self._bus.subscribe(fnmatch=JOB_TAGS, since=JOBS_SINCE, synced=True, on_gap=self._missed)
        self._history_end, self._all_back_s = jobs.end, time.monotonic() + EXPECTED_S
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: MinionWire(self), host, port, backlog=1024)
        self._begin(self._bring_down(jobs), "jobs")
        self._begin(self._look_after(), "keys")
        self._begin(self._feel_pulses(), "pulses")
        self._begin(self._herald.run(), "events")
        self._begin(self.door.serve(), "door")
        if self._roll is not None:
            self._begin(self._roll.run(), "roll")
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Say goodbye to all; what was not stored they say again."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for wire in list(self._wires):
            wire.close("the master is stopping")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def configure(self, settings: LinkSettings) -> None:
        """Have other settings from now on; how many may be in the doorway stays as it was."""
        self._settings = settings
        if self._roll is not None:
            self._roll.settings = settings

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"link: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s has failed", task.get_name(), exc_info=error)

    # -- Sessions: wires call these ----------------------------------------------------------------------------------

    def new_session(self, wire: MinionWire) -> MinionSession:
        nonce = os.urandom(NONCE_BYTES)
        return MinionSession(
            self._settings.name, self._pair.fingerprint, nonce, wire.judge, self._jobs.is_for, self._make_jid
        )  # fmt: skip

    def enters(self, wire: MinionWire, now_s: float) -> bool:
        """Say whether there is room for one more connection."""
        if len(self._wires) >= self._settings.connections_max or not self.door.enter(wire, now_s):
            return False
        self._wires.add(wire)
        return True

    def asks(self, wire: MinionWire, asking: Asking) -> None:
        self._begin(self._judge(wire, asking), "judge")

    async def _judge(self, wire: MinionWire, asking: Asking) -> None:
        try:
            judgement, event = await self._judged(asking, wire.address)
        except SylviteError as error:
            logger.error("nobody can be let in at the moment: %s", error)
            wire.close("the master cannot look keys up")
            return
        if self._settings.auth_events and self._refused.is_told(event["act"], time.monotonic()):
            self._herald.tell("salt/auth", event)
        if judgement.identity is not None and wire in self._wires:
            self._let_in(wire, judgement.identity)
        wire.decide(judgement)
        if self._statement and wire.session is not None:
            wire.session.announce(self._statement)
        self._bring_missed(wire)

    async def _judged(self, asking: Asking, address: str) -> tuple[Judgement, dict[str, Any]]:
        # Before the key is looked at, as in Salt: who comes too late is not kept waiting, and a token stays good.
        if (full := self._too_many(asking)) is not None:
            return full
        judgement, event = await self._gate.judge(asking, address)
        # Others may have been let in meanwhile.
        full = self._too_many(asking) if judgement.identity is not None else None
        return full if full is not None else (judgement, event)

    def _too_many(self, asking: Asking) -> tuple[Judgement, dict[str, Any]] | None:
        most = self._settings.max_minions
        if most is None or asking.id in self.sessions or len(self.sessions) < most:
            return None
        verdict = Verdict("full", retry_s=FULL_S, detail=f"{most} minions are connected already")
        return Judgement(verdict), auth_event(asking, "full")

    def _let_in(self, wire: MinionWire, identity: Identity) -> None:
        id_ = wire.minion = identity.id
        self._jobs.holds(id_, identity.epoch)
        former = self.sessions.get(id_)
        self.sessions[id_] = wire
        if former is not None:
            if self._twins.replaced(id_, time.monotonic()):
                # One machine does not come back again and again while its connection stands: there are two of them.
                addresses = sorted({former.address, wire.address})
                self._herald.tell(TWINS_TAG, {"id": id_, "addresses": addresses})
            former.close(TAKEN_OVER)
        if self._roll is not None:
            self._roll.came(id_, wire.address)

    def left(self, wire: MinionWire) -> None:
        self._wires.discard(wire)
        if self.sessions.get(wire.minion) is wire:
            del self.sessions[wire.minion]
            if self._roll is not None and not self._stopping:
                self._roll.left(wire.minion, wire.reason)

    def tells(self, wire: MinionWire, identity: Identity, facts: bytes) -> None:
        del wire
        if self._roll is not None:
            self._roll.keep_facts(identity.id, facts)

    def succeeds(self, wire: MinionWire, identity: Identity, successor: PublicKey) -> None:
        self._begin(self._succeed(wire, identity, successor), "successor")

    async def _succeed(self, wire: MinionWire, identity: Identity, successor: PublicKey) -> None:
        try:
            why_not = await self._gate.offer(identity, successor)
        except SylviteError as error:
            why_not = str(error)
        if wire.session is not None:
            wire.session.answer_successor(taken=not why_not, detail=why_not)
            wire.write()

    async def store(self, who: Identity, loads: list[Arrived]) -> None:
        """Bring loads of a minion onto the bus, and return once they are synced there."""
        await self._intake.store(who, loads)

    def _make_jid(self) -> str:
        return self._jids.make(time.time_ns())

    # -- Time passes -------------------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        next_report_s, turned_away, untold = time.monotonic() + REPORT_S, 0, 0
        while True:
            await asyncio.sleep(LOOK_S)
            looks = [self._look_at_keys, self._look_at_own_key]
            is_time = time.monotonic() >= next_report_s
            if is_time and self._roll is not None:
                looks.append(self._forget)
            for look in looks:
                try:
                    await look()
                except SylviteError as error:
                    logger.error("the keys could not be looked at: %s", error)
            if is_time:
                next_report_s = time.monotonic() + REPORT_S
                self._intake.report()
                if self.door.turned_away > turned_away:
                    logger.warning("%d connections were turned away", self.door.turned_away - turned_away)
                    turned_away = self.door.turned_away
                if self._refused.untold > untold:
                    logger.warning("%d more who asked were refused, and are no events", self._refused.untold - untold)
                    untold = self._refused.untold

    async def _look_at_keys(self) -> None:
        here = [wire.session.identity for wire in self.sessions.values() if wire.session and wire.session.identity]
        for identity in await self._gate.ended(here):
            wire = self.sessions.get(identity.id)
            if wire is not None and wire.session is not None and wire.session.identity == identity:
                wire.close("the key does not count any more")
        if await self._gate.is_due():
            try:
                await self._gate.announce()
            except SylviteError as error:
                logger.warning("the events of the keys are not on the bus yet: %s", error)

    async def _forget(self) -> None:
        """Forget what is known of minions that have no accepted key any more: nobody is to find them by their grains."""
        roll = self._roll
        if roll is not None and (holders := await self._gate.new_holders(again=roll.has_more_to_forget)) is not None:
            roll.keep_only(holders)

    async def _look_at_own_key(self) -> None:
        pair, statement = await self._gate.master_keys()
        if pair.fingerprint != self._pair.fingerprint:
            logger.warning("this master has another key from now on: %s", pair.fingerprint)
            self._pair, self.tls = pair, master_context(pair)
            self._begin(self._part_with(list(self.sessions.values())), "another key")
        if statement != self._statement:
            self._statement = statement
            for wire in list(self.sessions.values()) if statement else ():
                if wire.session is not None:
                    wire.session.announce(statement)
                    wire.write()

    async def _part_with(self, wires: list[MinionWire]) -> None:
        """Have minions come again, a few at a time, so that they see the new key, and what they trust moves on."""
        for number, wire in enumerate(wires):
            wire.close("the master has another key")
            if number % PARTED_AT_ONCE == 0:
                await asyncio.sleep(LOOK_S)

    async def _feel_pulses(self) -> None:
        while True:
            await asyncio.sleep(BEATS_S)
            now_s = asyncio.get_running_loop().time()
            for wire in list(self.sessions.values()):
                # One whose loads wait for the broker is not listened to: it is told that we live, and not taken for gone.
                if now_s - wire.heard_s > SILENT_S and not wire.is_storing:
                    wire.silent()
                elif now_s - wire.heard_s > PING_S and wire.session is not None:
                    wire.session.ping(0)
                    wire.write()

    # -- Down --------------------------------------------------------------------------------------------------------

    async def _bring_down(self, jobs: AsyncSubscription) -> None:
        async for event in jobs:
            minions = self._jobs.hear(event.tag, event.data) if publications.counts(event) else None
            if not minions:
                continue
            # Of a job of before this process began nobody knows whether it went down, and to whom.
            is_live = event.offset >= self._history_end and time.monotonic() >= self._all_back_s
            left_s = publications.left_s(
                event, is_live=is_live, now_ns=time.time_ns(), wait_s=self._settings.job_wait_s
            )
            if left_s > 0:
                self._send_down(event, minions, left_s)
            elif (master := publications.master_of(event)) and event.offset >= self._history_end:
                logger.warning("%s of %s came too late, and does not go down: nobody waits for it", event.tag, master)

    def _send_down(self, event: Event, minions: Minions, keep_s: float) -> None:
        packed = pack_data(event.data)
        for minion in minions:
            wire = self.sessions.get(minion)
            if wire is not None and wire.session is not None:
                wire.session.send_down(event.tag, packed)
                wire.write()
        self._recent.add(event.tag, packed, minions, time.monotonic(), keep_s)

    def _bring_missed(self, wire: MinionWire) -> None:
        """Bring a minion that has come in what went down a moment ago: it may have been away, or not have got it."""
        if wire.session is not None and wire.session.identity is not None:
            for tag, packed in self._recent.of(wire.minion, time.monotonic()):
                if self._jobs.is_for(wire.minion, tag.split("/")[2]):  # And not for a former holder of its id.
                    wire.session.send_down(tag, packed)
            wire.write()

    def _missed(self, gap: Gap) -> None:
        if gap.next > self._history_end:
            logger.warning("jobs may not have gone down to minions: %s", gap)
