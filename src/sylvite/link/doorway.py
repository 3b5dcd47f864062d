"""Doorway: connections that have shown nothing yet.  How many there may be, and when the work for each is done.

Anybody can connect, and each handshake costs us half a millisecond and more, and memory. So those who come wait in a line
that costs little; handshakes are begun for so many of them as there may be half open, and what they have sent is looked at
for one of them at a time. Whatever else there is to do comes between: minions that are let in do not notice.

Where there are too many, the one that has kept us waiting for longest makes room.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from typing import Protocol

IDLE_S = 1.0
"""A connection that has sent nothing for so long may have to make room for a new one."""


FULL_S = 0.02
"""Where all that are half open are about to go on, the line waits for so long."""


class Guest(Protocol):
    """A connection of somebody who was not let in yet."""

    address: str

    def step(self) -> bool:
        """Look at what it has sent; return whether it has to send more."""
        ...

    def turn_away(self) -> None: ...


class Doorway:
    """`turned_away`: how many, for want of room."""

    def __init__(self, line_max: int, per_address_max: int, half_open_max: int) -> None:
        """`line_max`, `per_address_max`: who may be here, in all and from one address; `half_open_max`: with a handshake that was begun."""
        self.turned_away = 0
        self._line_max, self._per_address_max, self._half_open_max = line_max, per_address_max, half_open_max
        self._guests: Counter[str] = Counter()
        self._waiting: OrderedDict[Guest, float] = OrderedDict()
        """That have to send more, and since when; the one that we wait for longest first."""
        self._line: OrderedDict[Guest, None] = OrderedDict()
        self._half_open: set[Guest] = set()
        self._near: OrderedDict[Guest, None] = OrderedDict()
        """Half open, and it is their turn: before the line, so that what was begun is finished."""
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return self._guests.total()

    def enter(self, guest: Guest, now_s: float) -> bool:
        """Say whether there is room for one more; where there is, `leave` is due for it some day."""
        if len(self) >= self._line_max and not self._make_room(now_s):
            self.turned_away += 1
            return False
        if self._guests[guest.address] >= self._per_address_max and not self._make_room(now_s, guest.address):
            self.turned_away += 1
            return False
        self._guests[guest.address] += 1
        self._waiting[guest] = now_s
        return True

    def leave(self, guest: Guest) -> None:
        """It was let in, or is gone."""
        self._guests[guest.address] -= 1
        if not self._guests[guest.address]:
            del self._guests[guest.address]
        self._half_open.discard(guest)
        for each in (self._waiting, self._line, self._near):
            each.pop(guest, None)

    def heard(self, guest: Guest) -> None:
        """It has sent something: its turn comes."""
        self._waiting.pop(guest, None)
        (self._near if guest in self._half_open else self._line)[guest] = None
        self._some.set()

    async def serve(self) -> None:
        """Give each its turn, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            if self._near:
                guest, _ = self._near.popitem(last=False)
            elif not self._line:
                self._some.clear()
                continue
            elif len(self._half_open) < self._half_open_max or self._make_room(loop.time(), half_open=True):
                guest, _ = self._line.popitem(last=False)
                self._half_open.add(guest)
            else:
                await asyncio.sleep(FULL_S)
                continue
            if guest.step():
                self._waiting[guest] = loop.time()
            await asyncio.sleep(0)

    def _make_room(self, now_s: float, address: str | None = None, *, half_open: bool = False) -> bool:
        """Turn away the one that we have waited for longest, of an address, or of those that are half open."""
        for guest, since_s in self._waiting.items():
            if now_s - since_s < IDLE_S:
                return False
            if (address is None or guest.address == address) and (not half_open or guest in self._half_open):
                del self._waiting[guest]
                self._half_open.discard(guest)
                self.turned_away += 1
                guest.turn_away()
                return True
        return False
