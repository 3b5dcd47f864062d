"""Reading: one reader's way through the history up to now and on, with what it may see of it.

Near the end it shares the tail with all others; further back, or with a condition on the data, which the broker checks, it has a
subscription of its own.  There is no seam: each event comes once, and in order.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple, cast

from sylvite.api.access import Caller
from sylvite.api.following import Kind, Write
from sylvite.api.forms import Form
from sylvite.api.tail import Entry, Tail, place_behind
from sylvite.api.turns import Turns
from sylvite.auth.policy import Remembered
from sylvite.client.async_client import AsyncClient
from sylvite.client.async_subscription import AsyncSubscription
from sylvite.client.start import Since
from sylvite.core.event import Gap, Position
from sylvite.core.pattern import Filter
from sylvite.errors import EventsMissed

AT_ONCE = 256
BYTES_AT_ONCE = 64 * 1024
"""What a reader who takes nothing holds of us, or one event where that is larger."""
CREDIT_BYTES = 64 * 1024
"""Of a subscription of its own: what a slow reader holds of us."""


class Page(NamedTuple):
    """`behind`: the last event that was looked at, which a next page begins behind; `is_end`: nothing is behind it now."""

    entries: list[Entry]
    behind: Position | None
    is_end: bool


class Straight(NamedTuple):
    """A way to write to a client.  `frame`: how his connection carries a text."""

    form: Form
    frame: Callable[[bytes], bytes]
    write: Write


class Reading:
    """`since`: where it starts; None is now.  `wanted`: which tags, and `where`.  `caller`: who reads, and what he may see at all."""

    def __init__(
        self, bus: AsyncClient, tail: Tail, turns: Turns, caller: Caller, wanted: Filter, since: Since = None
    ) -> None:
        """Raises InvalidPattern."""
        self._bus, self._tail, self._turns, self._wanted, self._since = bus, tail, turns, wanted, since
        self._who = caller.token.id
        matches, grant = wanted.matcher(), caller.grant
        self._scopes = grant.scopes
        self._sees: Callable[[str], bool] = Remembered(lambda tag: matches(tag) and grant.may_read(tag))

    def sees(self, entry: Entry) -> bool:
        return isinstance(entry.item, Gap) or self._sees(entry.item.tag)

    async def page(self, most: int, within_s: float, bytes_max: int) -> Page:
        """Return up to so many entries of what is there now: fewer at its end, after a while, or where they are large.

        Raises:
            TooManyRequests: he reads as much of the history as he may at once.
            SylviteError: the broker refuses it, or does not answer.
        """
        with self._turns.history(self._who):
            page = await self._page(most, within_s, bytes_max)
        self._turns.took(sum(len(entry.json) for entry in page.entries))
        return page

    async def _page(self, most: int, within_s: float, bytes_max: int) -> Page:
        entries: list[Entry] = []
        size = looked = 0
        until_s = time.monotonic() + within_s
        behind: Position | None = None
        async with await self._subscribe(self._since, until_end=True) as own:
            while len(entries) < most and size < bytes_max:
                try:
                    event = await own.next(max(until_s - time.monotonic(), 0.0))
                except EventsMissed as missed:
                    entries.append(Entry(cast("Gap", missed.gap)))
                    continue
                if event is None:
                    return Page(entries, behind, own.ended)
                behind = event.position
                if looked % AT_ONCE == 0:
                    await self._turns.take(self._who)
                looked += 1
                if self._sees(event.tag):
                    entries.append(Entry(event))
                    size += len(entries[-1].json)
                if time.monotonic() >= until_s:
                    break
        return Page(entries, behind, is_end=False)

    async def pieces(self, idle_s: float, straight: Straight | None = None) -> AsyncGenerator[list[Entry]]:
        """Yield entries as they come, some at a time; an empty list when there were none for so long.  Without an end.

        `straight`: what the client may be written to directly: entries that he has had so are not yielded.

        Raises:
            SylviteError: the broker refuses it, or does not answer.
        """
        if self._wanted.where is not None:
            async with await self._subscribe(self._since) as own:
                while True:
                    yield await self._own(own, idle_s)
        async with self._tail.watched():
            number = self._tail.next if self._since is None else None
            place: Since = self._tail.end if self._since is None else self._since
            while True:
                if number is None:
                    async with await self._subscribe(place) as own:
                        while number is None:
                            found = await self._own(own, idle_s)
                            yield found
                            if found:
                                place = place_behind(found, place)
                                number = self._tail.place_of(found[-1].next)
                elif number < self._tail.first or not self._tail.is_running:
                    # It was too slow, or the tail is another one by now: the log has it all.
                    number = None
                elif found := self._tail.take(number, AT_ONCE, BYTES_AT_ONCE):
                    number += len(found)
                    place = place_behind(found, place)
                    if seen := [entry for entry in found if self.sees(entry)]:
                        yield seen
                elif straight is not None:
                    number, written = await self._tail.follow(self._kind(straight, idle_s), straight.write)
                    place = place if written is None else written
                elif not await self._tail.wait(idle_s):
                    yield []

    def _kind(self, straight: Straight, idle_s: float) -> Kind:
        form, frame = straight.form, straight.frame

        def text(entries: Sequence[Entry]) -> bytes:
            seen = b"".join([entry.form(form.name, form.entry) for entry in entries if self.sees(entry)])
            return frame(seen) if seen else b""

        return Kind((form.name, self._wanted, self._scopes), text, frame(form.heartbeat()), idle_s)

    async def _subscribe(self, since: Since, *, until_end: bool = False) -> AsyncSubscription:
        wanted = self._wanted
        return await self._bus.subscribe(
            startswith=wanted.startswith, endswith=wanted.endswith, find=wanted.find, regex=wanted.regex,
            fnmatch=wanted.fnmatch, exact=wanted.exact, exclude=wanted.exclude, where=wanted.where, since=since,
            until_end=until_end, credit_bytes=CREDIT_BYTES,
        )  # fmt: skip

    async def _own(self, own: AsyncSubscription, idle_s: float) -> list[Entry]:
        """Return the next events of a subscription of its own that may be seen, or none after a while."""
        found: list[Entry] = []
        size, is_ours = 0, False
        until_s = time.monotonic() + idle_s
        while len(found) < AT_ONCE and size < BYTES_AT_ONCE and (left_s := until_s - time.monotonic()) > 0:
            try:
                event = await own.next(0.0 if found else left_s)
            except EventsMissed as missed:
                found.append(Entry(cast("Gap", missed.gap)))
                continue
            if event is None:
                break
            if not is_ours:
                await self._turns.take(self._who)
                is_ours = True
            if self._sees(event.tag):
                found.append(Entry(event))
                size += len(found[-1].json)
        self._turns.took(size)
        return found
