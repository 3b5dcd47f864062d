"""Doorway: connections that have shown nothing yet.  How many there may be, and when the work for each is done.

Anybody can connect, and each handshake costs us half a millisecond and more. So what those who are not let in yet have
sent is looked at for one of them at a time, and whatever else there is to do comes between: minions that are let in do
not notice.  Where there are too many, the one that has kept us waiting for longest makes room.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from typing import Protocol

IDLE_S = 1.0
"""A connection that has sent nothing for so long may have to make room for a new one."""


class Guest(Protocol):
    """A connection of somebody who was not let in yet."""

    address: str

    @property
    def is_near(self) -> bool:
        """Say whether most is done: such ones come first, so that what was begun is finished."""
        ...

    def step(self) -> bool:
        """Look at what it has sent; return whether it has to send more."""
        ...

    def turn_away(self) -> None: ...


class Doorway:
    """`turned_away`: how many, for want of room."""

    def __init__(self, half_open_max: int, per_address_max: int) -> None:
        self.turned_away = 0
        self._half_open_max, self._per_address_max = half_open_max, per_address_max
        self._guests: Counter[str] = Counter()
        self._waiting: OrderedDict[Guest, float] = OrderedDict()
        """That have to send more, and since when; the one that we wait for longest first."""
        self._beginning: OrderedDict[Guest, None] = OrderedDict()
        self._near: OrderedDict[Guest, None] = OrderedDict()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return self._guests.total()

    def enter(self, guest: Guest, now_s: float) -> bool:
        """Say whether there is room for one more; where there is, `leave` is due for it some day."""
        if len(self) >= self._half_open_max and not self._make_room(None, now_s):
            self.turned_away += 1
            return False
        if self._guests[guest.address] >= self._per_address_max and not self._make_room(guest.address, now_s):
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
        for queue in (self._waiting, self._beginning, self._near):
            queue.pop(guest, None)

    def heard(self, guest: Guest) -> None:
        """It has sent something: its turn comes."""
        self._waiting.pop(guest, None)
        (self._near if guest.is_near else self._beginning)[guest] = None
        self._some.set()

    async def serve(self) -> None:
        """Give each its turn, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            queue = self._near or self._beginning
            if not queue:
                self._some.clear()
                continue
            guest, _ = queue.popitem(last=False)
            if guest.step():
                self._waiting[guest] = loop.time()
            await asyncio.sleep(0)

    def _make_room(self, address: str | None, now_s: float) -> bool:
        for guest, since_s in self._waiting.items():
            if now_s - since_s < IDLE_S:
                return False
            if address is None or guest.address == address:
                del self._waiting[guest]
                self.turned_away += 1
                guest.turn_away()
                return True
        return False
