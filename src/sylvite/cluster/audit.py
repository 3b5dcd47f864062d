"""Audit: is in the stream what was put there, and here what the others have put there?  Where not, it is sent again.

Every few seconds each bridge says how far the stream has its log.  Who has read all of the stream and has less, asks for it; and
each one looks whether the stream is still the one that it was, and still ends where it did.
"""

from __future__ import annotations

import asyncio
import logging
import time

from nats.aio.msg import Msg

from sylvite.client.async_client import AsyncClient
from sylvite.cluster import words
from sylvite.cluster.carried import NOWHERE, Forged, Place, decode
from sylvite.cluster.down import Down
from sylvite.cluster.stream import Stream, StreamState, node_of, say_subject
from sylvite.cluster.telling import Telling
from sylvite.cluster.up import Up, first_to_send
from sylvite.cluster.words import Again, At
from sylvite.errors import ClusterError, ClusterUnreachable, SylviteError

SAY_S = 2.0
LOOK_S = 5.0
LATE_S = 4.0
"""A hole, or less than what a master says, has to last for so long: what is on its way arrives."""
ASK_S = 5.0
SILENT_S = 15.0
logger = logging.getLogger("sylvite.cluster")


class Other:
    """Another master, as it speaks."""

    def __init__(self) -> None:
        self.is_here = False
        self.begin()

    def begin(self) -> None:
        """With a new session nothing is known but that it was here; it has not been heard because we were not there."""
        self.at: At | None = None
        self.heard_s = time.monotonic()
        self.less_since_s: float | None = None
        self.asked_s = 0.0


class Audit:
    def __init__(
        self,
        bus: AsyncClient,
        stream: Stream,
        up: Up,
        down: Down,
        telling: Telling,
        state: StreamState,
        others: dict[str, Other],
    ) -> None:
        """`state`: of the stream, when the session began; `others`: who was there in the one before, and is added to."""
        self._bus, self._stream, self._up, self._down, self._telling = bus, stream, up, down, telling
        self._state = state
        self._others = others
        for other in others.values():
            other.begin()
        self._nats = stream.connection.nats
        self._behind_at: int | None = None
        """Where our reader was when it had nothing to give, though there was more."""

    async def run(self) -> None:
        """Look until it is cancelled.  Raises ClusterError: everything has to begin anew, for the stream is another one."""
        with self._stream.connection.asking("listening to other masters"):
            subject = say_subject(self._stream.settings)
            said = await self._nats.subscribe(subject, cb=self._heard)  # type: ignore[reportUnknownMemberType] - nats-py leaves a type in it open
        look_at_s = time.monotonic() + LOOK_S
        try:
            while True:
                await self._say(self._at(waiting=await self._count_waiting()))
                self._ask_for_what_is_missing()
                self._note_silence()
                if time.monotonic() >= look_at_s:
                    await self._look()
                    look_at_s = time.monotonic() + LOOK_S
                await asyncio.sleep(SAY_S)
        finally:
            if not self._nats.is_closed:
                await said.unsubscribe()

    # -- What we say, and hear -----------------------------------------------------------------------------------------

    def _at(self, *, leaving: bool = False, waiting: int | None = None) -> At:
        return At(self._state.id, *self._up.place, leaving, waiting)

    async def _count_waiting(self) -> int | None:
        """Return how many events of our log may still have to get into the stream; None where nobody can say."""
        until = self._up.until
        if not until:
            return None
        try:
            return max(0, (await self._bus.ask("log", timeout_s=SAY_S))["end"] - until)
        except SylviteError:
            return None  # Our own bus is away for the moment.

    async def _say(self, word: words.Word) -> None:
        try:
            with self._stream.connection.asking("speaking to other masters"):
                await self._nats.publish(say_subject(self._stream.settings, self._stream.node), words.encode(word))
        except ClusterUnreachable:
            pass  # Between two servers: it is said again.

    async def leave(self) -> None:
        """Tell the others that this master is not there for a while."""
        if self._nats.is_connected:
            await self._say(self._at(leaving=True))

    async def _heard(self, message: Msg) -> None:
        node = node_of(message.subject)
        word = words.decode(message.data)
        if isinstance(word, Again) and word.node == self._stream.node:
            # Also of our own name: a group that reads on this master may lack some of it (holding.py).
            await self._send_again(word.offset, f"{node} lacks some of it")
        elif isinstance(word, At) and node != self._stream.node:
            self._note(node, word)

    async def _send_again(self, offset: int, reason: str) -> None:
        """Send the log again from an offset on, but no more of it than the stream keeps."""
        first = max(offset, await first_to_send(self._bus, self._stream.settings))
        if self._up.reseed(first, is_anew=first > offset):
            self._telling.tell("reseeded", node=self._stream.node, first=first, reason=reason)

    def _note(self, node: str, at: At) -> None:
        other = self._others.setdefault(node, Other())
        other.at, other.heard_s = at, time.monotonic()
        if at.leaving and other.is_here:
            self._telling.tell("left", node, node=node)
        elif not other.is_here and not at.leaving:
            self._telling.tell("joined", node, node=node)
        other.is_here = not at.leaving

    def _note_silence(self) -> None:
        now_s = time.monotonic()
        for node, other in self._others.items():
            if other.is_here and now_s - other.heard_s > SILENT_S:
                other.is_here = False
                self._telling.tell("lost", node, node=node, silent_s=round(now_s - other.heard_s))

    # -- What we lack --------------------------------------------------------------------------------------------------

    def _ask_for_what_is_missing(self) -> None:
        now_s, incoming = time.monotonic(), self._down.incoming
        for node, hole in incoming.holes.items():
            if now_s - hole.since_s > LATE_S:
                self._ask(node, hole.offset, now_s)
        idle_since_s = self._down.idle_since_s
        for node, other in self._others.items():
            at = other.at
            if at is None or not at.epoch or at.stream != self._down.state.id or incoming.has(node, at.epoch, at.until):
                other.less_since_s = None
            elif other.less_since_s is None:
                other.less_since_s = now_s
            elif (
                self._behind_at is None
                and idle_since_s is not None
                and now_s - max(other.less_since_s, idle_since_s) > LATE_S
            ):
                self._ask(node, incoming.offset_of(node, at.until), now_s)

    def _ask(self, node: str, offset: int, now_s: float) -> None:
        other = self._others.setdefault(node, Other())
        if now_s - other.asked_s < ASK_S:
            return
        other.asked_s = now_s
        self._telling.tell("lacks", node, node=node, first=offset)
        asyncio.get_running_loop().create_task(self._say(Again(node, offset)))

    # -- What the stream lacks -----------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Raises ClusterError: the stream is another one."""
        place = self._up.place  # What is confirmed after this is not looked for.
        try:
            state = await self._stream.state()
            last = await self._stream.last_of_ours() if state is not None else None
        except ClusterUnreachable as error:
            logger.warning("the stream could not be looked at: %s", error)
            return
        if state is None or state.id != self._state.id:
            what = "is gone" if state is None else "is another one"
            self._telling.tell("stream_lost", node=self._stream.node, reason=f"the stream {what}")
            raise ClusterError(f"the stream {self._stream.name} {what}")
        if state.last < self._down.number:
            self._telling.tell("rolled_back", node=self._stream.node, had=self._down.number, has=state.last)
            raise ClusterError(f"the stream {self._stream.name} ends before @{state.last}, and did not")
        self._check_reader(state)
        kept_s = self._stream.settings.keep_s
        is_young = self._up.confirmed_s and (kept_s is None or time.monotonic() - self._up.confirmed_s < kept_s / 2)
        if place.epoch and (is_young or (last is None and state.first <= 1)):  # Else it may be too old to be there.
            await self._look_at_ours(place, last)

    def _check_reader(self, state: StreamState) -> None:
        """Raises ClusterError: nothing comes, though there is more.

        A replica may be left behind for good after kills of its server ("Expected first catchup entry to be a snapshot", in the
        log of nats-server 2.15.1), and who reads for us may read there.  Another one may be elsewhere.
        """
        down = self._down
        is_behind = down.idle_since_s is not None and down.number < state.last and state.first <= state.last
        before, self._behind_at = self._behind_at, down.number if is_behind else None
        if is_behind and before == down.number:
            raise ClusterError(f"who reads the stream for us is left behind at @{down.number} of @{state.last}")

    async def _look_at_ours(self, expected: Place, last: bytes | None) -> None:
        place = NOWHERE
        if last is not None:
            try:
                place = decode(self._stream.node, last).place
            except Forged as error:
                self._telling.tell(
                    "refused", node=self._stream.node, reason=f"the last message under our name: {error}"
                )
        if place.epoch == expected.epoch and place.until >= expected.until:
            return
        offset = place.until if place.epoch == expected.epoch else 0
        await self._send_again(offset, "the stream ends before what it had")
