"""MasterEnd: the listener of a master.  Minions come in over TLS; what they send goes onto the bus, jobs go down to them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any, cast

from sylvite.auth.enrolment import NONCE_BYTES, Asking
from sylvite.auth.keyring_values import Identity
from sylvite.auth.keys import KeyPair
from sylvite.client.async_client import AsyncClient, AsyncSubscription
from sylvite.core.event import pack_data
from sylvite.errors import AckUnknown, ConnectionLost, RemoteProtocolError, StaleSequence, SylviteError
from sylvite.link.forwarding import Refusal
from sylvite.link.gatekeeper import Gatekeeper
from sylvite.link.known_jobs import KnownJobs
from sylvite.link.minion_session import Arrived, Judgement, MinionSession
from sylvite.link.tls import master_context

PROOF_S = 10.0
HANDSHAKE_S = 5.0
LOOK_S = 0.5
"""How often the keyring is looked at: a key that is revoked has its session ended within a second."""
REPORT_S = 10.0
JOBS_SINCE = "24h"
"""Of so long ago jobs are known, so that what comes back of them is taken."""
JOB_TAGS = ("salt/job/*/new", "salt/job/*/publish")
AGAIN_S = 1.0
"""When what the broker did not take for the moment is brought to it again."""
PASSING = ("no_space", "overloaded", "shutting_down", "log_error")
logger = logging.getLogger("sylvite.link")


class _Wire(asyncio.Protocol):
    """One minion's connection."""

    def __init__(self, end: MasterEnd) -> None:
        self._end = end
        self._transport: asyncio.Transport | None = None
        self._storing: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._address = ""
        self.minion = ""
        """Its id, once it was let in."""
        self.session = end.new_session(self)

    # -- asyncio calls these -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport, and are none.
        self._transport = cast(asyncio.Transport, transport)
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        self._deadline = asyncio.get_running_loop().call_later(PROOF_S, self._is_late)
        self.write()

    def data_received(self, data: bytes) -> None:
        try:
            self.session.feed(data, int(time.time()))
        except ConnectionLost:
            self.end()
            return
        except RemoteProtocolError as error:
            logger.warning("a connection from %s is ended: %s", self._address, error)
            self.end()
            return
        self.write()
        if self.session.closed:
            self.end()
        elif self.session.arrived and self._storing is None and self._transport is not None:
            # What comes meanwhile stays in the socket: so one minion holds no more of us than was read at once.
            self._transport.pause_reading()
            self._storing = asyncio.create_task(self._store(), name="link: store")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._deadline is not None:
            self._deadline.cancel()
        if self._storing is not None:
            self._storing.cancel()
        self._end.left(self)

    # -- The end calls these -----------------------------------------------------------------------------------------

    def judge(self, asking: Asking) -> Judgement:
        return self._end.judge(self, asking, self._address)

    def write(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(self.session.take_bytes())

    def close(self, reason: str) -> None:
        self.session.close(reason)
        self.write()
        self.end()

    def end(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _is_late(self) -> None:
        if self.session.identity is None and self._transport is not None:
            self._transport.abort()

    async def _store(self) -> None:
        session, identity = self.session, self.session.identity
        try:
            while session.arrived and identity is not None:
                loads = list(session.arrived)
                session.arrived.clear()
                await self._end.store(identity, loads)
                if session.identity is not identity:
                    return  # Revoked meanwhile: it is not told that anything was taken.
                session.taken(loads[-1])
                self.write()
        finally:
            self._storing = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


class MasterEnd:
    """`name`: what minions are told of this master.  `sessions`: of the minions that are here, by id.

    `announce`: publishes the events of keys that are due, and waits for that; it is called in a thread.
    """

    def __init__(
        self,
        bus: AsyncClient,
        gate: Gatekeeper,
        announce: Callable[[], None],
        pair: KeyPair,
        *,
        name: str,
        auth_events: bool = True,
    ) -> None:
        self.sessions: dict[str, _Wire] = {}
        self._bus, self._gate, self._announce = bus, gate, announce
        self._pair, self._name, self._auth_events = pair, name, auth_events
        self._wires: set[_Wire] = set()
        self._jobs = KnownJobs()
        self._refusals: dict[str, list[Any]] = {}
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._events: set[asyncio.Task[Any]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            OSError: it cannot be listened on.
            SylviteError: the bus does not answer.
        """
        # From some time ago: what comes back of jobs that went out before this process began is known to be theirs.
        jobs = await self._bus.subscribe(fnmatch=JOB_TAGS, since=JOBS_SINCE, on_gap=lambda _: None)
        self._tasks.append(asyncio.create_task(self._bring_down(jobs), name="link: jobs"))
        self._tasks.append(asyncio.create_task(self._look_after(), name="link: keys"))
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Wire(self), host, port, ssl=master_context(self._pair), ssl_handshake_timeout=HANDSHAKE_S, backlog=1024
        )  # fmt: skip
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Say goodbye to all; what was not stored they say again."""
        if self._server is not None:
            self._server.close()
        for wire in list(self._wires):
            wire.close("the master is stopping")
        for task in (*self._tasks, *self._events):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._events, return_exceptions=True)

    # -- Sessions ----------------------------------------------------------------------------------------------------

    def new_session(self, wire: _Wire) -> MinionSession:
        self._wires.add(wire)
        return MinionSession(
            self._name, self._pair.fingerprint, os.urandom(NONCE_BYTES), wire.judge, self._is_for_minion
        )

    def judge(self, wire: _Wire, asking: Asking, address: str) -> Judgement:
        judgement, event = self._gate.judge(asking, address)
        if self._auth_events:
            self._publish("salt/auth", event)
        if judgement.identity is not None:
            former = self.sessions.get(asking.id)
            self.sessions[asking.id] = wire
            wire.minion = asking.id
            if former is not None and former is not wire:
                former.close("this minion has another connection")
        return judgement

    def left(self, wire: _Wire) -> None:
        self._wires.discard(wire)
        if self.sessions.get(wire.minion) is wire:
            del self.sessions[wire.minion]

    def _is_for_minion(self, minion: str, jid: str) -> bool:
        return self._jobs.is_for(minion, jid)

    async def _look_after(self) -> None:
        last_report = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            if self._gate.is_due():
                await self._announced()
            if self._gate.changed():
                for wire in list(self.sessions.values()):
                    identity = wire.session.identity
                    if identity is not None and not self._gate.still_counts(identity):
                        wire.close("the key does not count any more")
            if time.monotonic() - last_report >= REPORT_S:
                last_report = time.monotonic()
                self._report()

    async def _announced(self) -> None:
        try:
            await asyncio.to_thread(self._announce)
        except SylviteError as error:
            logger.warning("the events of the keys are not on the bus yet: %s", error)

    # -- Up ----------------------------------------------------------------------------------------------------------

    async def store(self, who: Identity, loads: list[Arrived]) -> None:
        """Bring loads of a minion onto the bus, and return once they are synced there."""
        sender = f"minion:{who.id}"
        waiting: list[asyncio.Task[None]] = []
        for load in loads:
            for refusal in load.refusals:
                self._refuse(who, refusal)
            for block in load.blocks:
                bringing = self._bring(who, sender, load.source_epoch, block.seq, block.packed, block.events)
                waiting.append(asyncio.create_task(bringing, name="link: bring"))
        try:
            await asyncio.gather(*waiting)
        finally:
            for task in waiting:
                task.cancel()

    async def _bring(self, who: Identity, sender: str, source_epoch: int, seq: int, block: bytes, count: int) -> None:
        while True:
            try:
                await self._bus.relay(sender, source_epoch, seq, block, count)
            except StaleSequence:
                return  # It came before, and is so old that the log does not tell any more.
            except (AckUnknown, ConnectionLost):
                pass  # Said again it is not stored twice.
            except SylviteError as error:
                if error.code not in PASSING:
                    self._refuse(who, Refusal("", str(error)))
                    return
            else:
                return
            await asyncio.sleep(AGAIN_S)

    def _refuse(self, who: Identity, refusal: Refusal) -> None:
        known = self._refusals.setdefault(who.id, [0, refusal])
        known[0] += 1

    def _report(self) -> None:
        """Say what was refused since the last time: one event for each minion."""
        refusals, self._refusals = self._refusals, {}
        for id_, (count, (tag, reason)) in refusals.items():
            self._publish(
                "salt/link/refused", {"id": id_, "count": count, "first_tag": tag[:256], "reason": reason[:512]}
            )

    def _publish(self, tag: str, data: dict[str, Any]) -> None:
        async def publish() -> None:
            try:
                await self._bus.publish(tag, data)
            except SylviteError as error:
                logger.error("an event %s could not be published: %s", tag, error)

        task = asyncio.create_task(publish(), name="link: event")
        self._events.add(task)
        task.add_done_callback(self._events.discard)

    # -- Down --------------------------------------------------------------------------------------------------------

    async def _bring_down(self, jobs: AsyncSubscription) -> None:
        async for event in jobs:
            minions = self._jobs.hear(event.tag, event.data)
            if event.offset < jobs.end:
                continue
            packed = pack_data(event.data)
            for minion in minions:
                if (wire := self.sessions.get(minion)) is not None:
                    wire.session.send_down(event.tag, packed)
                    wire.write()
