"""Tail: the newest events, decoded and encoded once for however many streams watch them.

It is a cache of the end of the log and nothing more: a stream that has fallen out of it reads from the log (reading.py).
There is one only while somebody watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from sylvite.api.following import Fallen, Following, Kind, Write
from sylvite.client.async_client import AsyncClient
from sylvite.client.start import Since
from sylvite.core.event import Event, Gap
from sylvite.errors import SylviteError

ENTRIES_MAX = 4096
BYTES_MAX = 16 * 1024 * 1024
TOLD_MAX = 256
TOLD_BYTES_MAX = 64 * 1024
"""What one is written at once, or one entry where that is larger."""
CREDIT_BYTES = 1024 * 1024
logger = logging.getLogger("sylvite.api")


class Entry:
    """An event or a gap, and its forms as text, each made once, when it is first wanted."""

    __slots__ = ("_forms", "item")

    def __init__(self, item: Event | Gap) -> None:
        self.item = item
        self._forms: dict[str, bytes] = {}

    def form(self, name: str, make: Callable[[Entry], bytes]) -> bytes:
        found = self._forms.get(name)
        if found is None:
            found = self._forms[name] = make(self)
        return found

    @property
    def json(self) -> bytes:
        """What the others are made of: one line of JSON."""
        return self.form("json", lambda entry: encode_item(entry.item))

    @property
    def next(self) -> int:
        """The offset behind it."""
        return self.item.offset + 1 if isinstance(self.item, Event) else self.item.next


_encoder = msgspec.json.Encoder()


def encode_item(item: Event | Gap) -> bytes:
    """Return an event as one line of JSON, its envelope around its data; or a gap."""
    return _encoder.encode(item.envelope() if isinstance(item, Event) else item)


class Tail:
    """`first`, `next`: numbers of entries, which only grow; a reader remembers the number that it wants next."""

    def __init__(self, bus: AsyncClient) -> None:
        self.first = self.next = 0
        self._bus = bus
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._begin = 0
        """The offset from which on it has seen everything, where it has no entries."""
        self._watchers = 0
        self._task: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._waiting: set[asyncio.Future[bool]] = set()
        self._following = Following()
        self._told = self._untold_bytes = 0
        """The number up to which followers have been told, and the place of the last event before it."""
        self._told_place: Since = None
        self._telling: asyncio.Handle | None = None

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None]:
        """Keep it going meanwhile; it stands when this is entered.  Raises SylviteError: the broker does not answer."""
        self._watchers += 1
        try:
            async with self._changing:
                if not self.is_running:
                    await self._start()
            yield
        finally:
            self._watchers -= 1
            async with self._changing:
                if self._watchers == 0:
                    await self._stop()

    def place_of(self, offset: int) -> int | None:
        """Return the number of the first entry at or behind an offset; None where earlier ones may be missing here."""
        if not self.is_running or offset < (self._entries[0].next - 1 if self._entries else self._begin):
            return None
        return self.first + bisect_left(self._entries, offset, key=lambda entry: entry.next - 1)

    @property
    def end(self) -> int:
        """The offset behind the newest entry."""
        return self._entries[-1].next if self._entries else self._begin

    def take(self, number: int, most: int, bytes_max: int) -> list[Entry]:
        """Return up to so many entries, fewer where they are large, from a number on, which must not be below `first`."""
        found: list[Entry] = []
        size, start = 0, number - self.first
        for index in range(start, min(start + most, len(self._entries))):
            found.append(self._entries[index])
            size += len(found[-1].json)
            if size >= bytes_max:
                break
        return found

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next entry, for so long; return whether there is news."""
        # One future and one timer: each event wakes thousands who wait here, and `asyncio.wait` costs several times as much.
        loop = asyncio.get_running_loop()
        news: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(timeout_s, partial(_tell, news, is_there=False))
        self._waiting.add(news)
        try:
            return await news
        finally:
            timer.cancel()
            self._waiting.discard(news)

    async def follow(self, kind: Kind, write: Write) -> Fallen:
        """Follow what comes.  The caller has had all that is there."""
        self._tell_followers()
        return await self._following.follow(kind, write, self.next)

    def _append(self, item: Event | Gap) -> None:
        entry = Entry(item)
        self._entries.append(entry)
        self._bytes += len(entry.json)
        self._untold_bytes += len(entry.json)
        self.next += 1
        while len(self._entries) > ENTRIES_MAX or (self._bytes > BYTES_MAX and len(self._entries) > 1):
            self._bytes -= len(self._entries.popleft().json)
            self.first += 1
        self._tell_news()

    def _tell_news(self) -> None:
        for news in self._waiting:
            _tell(news, is_there=True)
        self._waiting = set()
        # What comes together is written together; but there is only so much that is remembered.
        if self.next - self._told >= TOLD_MAX or self._untold_bytes >= TOLD_BYTES_MAX:
            self._tell_followers()
        elif self._telling is None:
            self._telling = asyncio.get_running_loop().call_soon(self._tell_followers)

    def _tell_followers(self) -> None:
        """Write to followers what they have not had."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._untold_bytes = 0
        while self._told < self.next:
            entries = self.take(self._told, TOLD_MAX, TOLD_BYTES_MAX)
            number, place = self._told, self._told_place
            self._told += len(entries)
            self._told_place = place_behind(entries, place)
            self._following.tell(entries, number, place)

    async def _start(self) -> None:
        subscription = await self._bus.subscribe(on_gap=self._append, credit_bytes=CREDIT_BYTES)
        self._entries.clear()
        self._bytes = 0
        self.first = self._told = self.next
        self._told_place = self._begin = subscription.end

        async def run() -> None:
            try:
                async with subscription:
                    async for event in subscription:
                        self._append(event)
            except SylviteError as error:
                logger.error("the newest events cannot be watched: %s", error)
            finally:
                # Whoever waits looks again, and goes on with the log.
                self._tell_followers()
                self._following.end(self._told, self._told_place)
                self._tell_news()

        self._task = asyncio.create_task(run(), name="api: tail")

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()


def place_behind(entries: Sequence[Entry], before: Since) -> Since:
    """Return the place behind the last event of these."""
    for entry in reversed(entries):
        if isinstance(entry.item, Event):
            return entry.item.position
    return before


def _tell(news: asyncio.Future[bool], *, is_there: bool) -> None:
    if not news.done():
        news.set_result(is_there)
