"""Groups: readers on several masters that share the events of all of them, each event for one of them.

    async with Group(connection, "billing", "myco/*") as group:
        async for batch in group.read():
            handle(batch.events)
            await batch.acknowledge()

The work is split by the master that an event comes from: each *part* is held by one member at a time, by a lease, and read from the
stream in that master's order.  How far it is, is beside the leases (positions.py); who holds what, roster.py works out.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType, TracebackType
from typing import Any, Self

import nats.errors
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from sylvite.client.subscription import Patterns, read_filter
from sylvite.cluster import roster
from sylvite.cluster.carried import Place
from sylvite.cluster.connection import Connection
from sylvite.cluster.ending import end_all
from sylvite.cluster.holding import Batch, Holding, Work
from sylvite.cluster.leases import Leases, now_s
from sylvite.cluster.positions import Positions
from sylvite.cluster.roster import SAY_S, Member, Reads, Roster, share
from sylvite.cluster.stream import Stream, log_subject, node_of, say_subject, stream_name
from sylvite.cluster.tenure import LIFE_S
from sylvite.core.event import Event
from sylvite.errors import ClusterError, ClusterUnreachable, InvalidSetting

HEAR_S = 0.5
"""How long one who comes listens for the others, who speak up at once, before it looks for work."""
_is_group = re.compile(r"[A-Za-z0-9_-]{1,80}").fullmatch
NOWHERE_ELSE: Mapping[str, Place] = MappingProxyType({})
logger = logging.getLogger("sylvite.cluster.groups")


class Group:
    """A member of a group, over a connection that somebody else closes: `async with`."""

    def __init__(
        self,
        connection: Connection,
        name: str,
        *patterns: str,
        where: str | None = None,
        exclude: Patterns = (),
        newest: bool = False,
        places: Mapping[str, Place] = NOWHERE_ELSE,
        life_s: float = LIFE_S,
        **matching: Any,
    ) -> None:
        """`patterns`, `where`, `exclude` and the others: which events, as `subscribe` of a client takes them; what they leave out
        is done.  `newest`: a group that is new begins with what comes; else with the oldest in the stream.  `places`: in the log of
        these masters, with what is behind that.  `life_s`: after so long a silence the parts of a member are taken over.

        Raises:
            InvalidSetting: this is no name of a group, or this master has none.
            InvalidPattern, InvalidExpression: as `subscribe`.
        """
        self.name = check_group(name)
        node = connection.settings.node
        self._connection = connection
        self._stream = Stream(connection, node)
        self._ourselves = Member(time.time_ns(), secrets.token_hex(8), node)
        self._roster = Roster(name, self._ourselves)
        self._ready: asyncio.Queue[Batch | None] = asyncio.Queue()
        self._work = Work(
            name, Leases(connection, life_s=life_s), Positions(connection), self._stream, newest, places, {},
            _wants(patterns, where=where, exclude=exclude, **matching), self._ready.put_nowait,
        )  # fmt: skip
        self._holdings: dict[str, Holding] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._must_say = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Raises ClusterError: the servers do not answer, or refuse, or what is there is none of ours."""
        await self._stream.open()
        await self._work.begin()
        with self._connection.asking("listening to other members"):
            said = say_subject(self._connection.settings)
            self._said = await self._connection.nats.subscribe(said, cb=self._heard)  # type: ignore[reportUnknownMemberType] - nats-py leaves a type in it open
        self._own = [
            self._start(each, f"group {self.name}")
            for each in (self._speak(), self._look_for_work(), self._until_closed())
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await end_all(self._own)
        for holding in self._holdings.values():
            holding.leaving.set()
            holding.closing.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._say(leaving=True)
        with suppress(nats.errors.Error, OSError):  # It has gone with the connection.
            await self._said.unsubscribe()

    @property
    def parts(self) -> list[str]:
        """The masters whose events are ours as far as we know; whether we have them already is another thing."""
        return sorted(node for node, holding in self._holdings.items() if not holding.leaving.is_set())

    async def read(self) -> AsyncGenerator[Batch]:
        """Yield what is to be handled, for ever.  The next of the same master comes when a batch is acknowledged.

        Raises:
            ClusterUnreachable: the connection does not come back, as when the servers take our credentials no longer.
        """
        while (batch := await self._ready.get()) is not None:
            if batch.take():
                yield batch
        assert self._error is not None
        raise self._error

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Begin a task; what ends it too early is raised by `read`, where somebody sees it."""

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self._error = error
                self._ready.put_nowait(None)

        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(ended)
        return task

    async def _until_closed(self) -> None:
        await self._connection.closed.wait()
        raise ClusterUnreachable(self._connection.servers, "the connection is closed")

    # -- Who is there --------------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        while True:
            self._must_say.clear()
            await self._say()
            with suppress(TimeoutError):
                async with asyncio.timeout(SAY_S):
                    await self._must_say.wait()

    async def _say(self, *, leaving: bool = False) -> None:
        ourselves, settings = self._ourselves, self._connection.settings
        word = Reads(self.name, ourselves.session, ourselves.since_ns, leaving)
        with suppress(ClusterUnreachable), self._connection.asking("speaking to other members"):  # It is said again.
            await self._connection.nats.publish(say_subject(settings, ourselves.node), roster.encode(word))

    async def _heard(self, message: Msg) -> None:
        word = roster.decode(message.data)
        if word is not None and self._roster.hear(node_of(message.subject), word, now_s()):
            self._must_say.set()

    # -- What is ours --------------------------------------------------------------------------------------------------

    async def _look_for_work(self) -> None:
        await asyncio.sleep(HEAR_S)
        while True:
            try:
                self._divide(await self._nodes())
            except ClusterError as error:
                logger.warning("group %s: %s", self.name, error)
            await asyncio.sleep(SAY_S)

    def _divide(self, nodes: Iterable[str]) -> None:
        """Begin to hold what is ours, and give back what is not."""
        shares = share(self._roster.members(now_s()), nodes)
        ours = {node for node, session in shares.items() if session == self._ourselves.session}
        for node, holding in self._holdings.items():
            if node not in ours:
                holding.leaving.set()
        for node in sorted(ours - self._holdings.keys()):
            self._holdings[node] = Holding(self._work, node)
            self._start(self._hold(node), f"group {self.name}: {node}")

    async def _hold(self, node: str) -> None:
        await self._holdings[node].run()
        del self._holdings[node]

    async def _nodes(self) -> list[str]:
        """Return the masters that there is something of in the stream.  Raises ClusterError."""
        name = stream_name(self._connection.settings)
        with self._connection.asking(f"looking at the stream {name}"):
            try:
                info = await self._connection.jetstream.stream_info(
                    name, subjects_filter=log_subject(self._connection.settings, "*")
                )
            except NotFoundError:
                return []
        return sorted(map(node_of, info.state.subjects or {}))


def check_group(name: str) -> str:
    """Return the name of a group.  Raises InvalidSetting."""
    if _is_group(name) is None:
        raise InvalidSetting("group", name[:80], "must be 1 to 80 letters, digits, - or _")
    return name


def _wants(patterns: Iterable[str], **matching: Any) -> Callable[[Event], bool]:
    """Return what says whether an event is to be handed out.  Raises InvalidPattern, InvalidExpression."""
    filter_ = read_filter(patterns, **matching)
    matches = filter_.matcher()
    if filter_.where is None:
        return lambda event: matches(event.tag)
    from sylvite.core.predicate import compile_predicate  # loaded by those who need it

    holds = compile_predicate(filter_.where).matches

    def wants(event: Event) -> bool:
        return matches(event.tag) and holds(
            event.tag, event.data, event.stamp_ns, event.sender, event.offset, event.cause, time.time_ns()
        )

    return wants
